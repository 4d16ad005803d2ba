"""The errors that this program expects; everything else is a bug.

ModelcarError              1  (never raised itself)
├── InvalidInput           2  what was typed cannot be meant: a reference, a name, an option
├── NotAuthorised          3  a registry, a hub, a cluster or a model server said no to who we are
├── NotFoundOrRefused      4  it is not there, or its owner refuses it
├── NetworkGaveUp          5  no answer, a broken answer, TLS that cannot be trusted
├── IntegrityFailure       6  bytes that are not what their digest, size or header says
├── LocalFailure           7  a file or a disk of this machine
├── ClusterFailure         8  the cluster or helm could not do it
└── WaitTimedOut           9  the wait ended; what was started goes on

The number is the exit code (DESIGN D12). `message` says what we were doing, what was given and who refused;
`hint` says what to do next. Only `kubectl_modelcar.cli` turns them into text.
"""


class ModelcarError(Exception):
    """Base of all expected errors."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(ModelcarError):
    """What was typed cannot be meant."""

    exit_code = 2


class NotAuthorised(ModelcarError):
    """Who we are was refused, or nobody was named."""

    exit_code = 3


class NotFoundOrRefused(ModelcarError):
    """It is not there, or its owner refuses it."""

    exit_code = 4


class NetworkGaveUp(ModelcarError):
    """No answer, a broken answer, or TLS that cannot be trusted."""

    exit_code = 5


class IntegrityFailure(ModelcarError):
    """Bytes that are not what their digest, size or header says."""

    exit_code = 6


class LocalFailure(ModelcarError):
    """A file or a disk of this machine."""

    exit_code = 7


class ClusterFailure(ModelcarError):
    """The cluster or helm could not do it."""

    exit_code = 8


class WaitTimedOut(ModelcarError):
    """The wait ended; what was started goes on."""

    exit_code = 9
