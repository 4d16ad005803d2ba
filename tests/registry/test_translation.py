"""Tests of the puller's errors as ours."""

import pytest

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
from kubectl_modelcar.registry.translation import our_errors


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2, InvalidInput),
        (3, NotAuthorised),
        (4, NotFoundOrRefused),
        (5, NetworkGaveUp),
        (6, IntegrityFailure),
        (7, LocalFailure),
        (99, ModelcarError),
    ],
)
def test_kinds(code, kind):
    """The exit codes are the same on both sides; message and hint are the puller's."""
    with pytest.raises(ModelcarError) as caught, our_errors():
        raise puller.PullError(code, "what", "next")
    assert (type(caught.value), caught.value.message, caught.value.hint) == (kind, "what", "next")


@pytest.mark.parametrize("code", [2, 3, 4, 5, 6, 7])
def test_a_hint_is_always_there(code):
    """The puller alone does not know our options."""
    with pytest.raises(ModelcarError) as caught, our_errors():
        raise puller.PullError(code, "what")
    assert caught.value.hint


def test_other_errors_pass():
    """A bug stays a bug."""
    with pytest.raises(ZeroDivisionError), our_errors():
        raise ZeroDivisionError
