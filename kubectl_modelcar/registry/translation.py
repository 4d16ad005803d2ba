"""The puller's errors as ours; it cannot raise ours because it runs alone in pods."""

from collections.abc import Iterator
from contextlib import contextmanager

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import (
    IntegrityFailure,
    InvalidInput,
    LocalFailure,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)

_HINTS = {
    InvalidInput: "say which image is meant: oci:FOLDER:TAG",
    NotAuthorised: "log in to the registry, or use --authfile FILE",
    NotFoundOrRefused: "check the name: IMAGE is HOST/REPO[:TAG] or oci:FOLDER[:TAG]",
    NetworkGaveUp: "check the network, then try again",
    IntegrityFailure: "push the image again, or ask whoever made it",
    LocalFailure: "check the path, its permissions and the free space",
}
"""What to do next where the puller, which does not know our options, says nothing."""
_BY_CODE = {kind.exit_code: kind for kind in _HINTS}


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise the puller's errors as ModelcarError of the same exit code."""
    try:
        yield
    except puller.PullError as error:
        kind = _BY_CODE.get(error.exit_code, ModelcarError)
        raise kind(error.message, error.hint or _HINTS.get(kind)) from error
