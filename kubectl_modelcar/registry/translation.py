"""The puller's errors as ours; it cannot raise ours because it runs alone in pods."""

from collections.abc import Iterator
from contextlib import contextmanager

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import (
    IntegrityFailure,
    LocalFailure,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)

_BY_CODE = {
    kind.exit_code: kind for kind in (NotAuthorised, NotFoundOrRefused, NetworkGaveUp, IntegrityFailure, LocalFailure)
}


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise the puller's errors as ModelcarError of the same exit code."""
    try:
        yield
    except puller.PullError as error:
        raise _BY_CODE.get(error.exit_code, ModelcarError)(error.message, error.hint) from error
