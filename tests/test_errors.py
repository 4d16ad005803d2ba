"""Tests of the errors that are expected."""

import re

import pytest

from kubectl_modelcar import errors
from kubectl_modelcar.errors import ModelcarError

KINDS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ModelcarError)
}


def test_exit_codes():
    """The contract of DESIGN D12."""
    assert {name: kind.exit_code for name, kind in KINDS.items()} == {
        "ModelcarError": 1,
        "InvalidInput": 2,
        "NotAuthorised": 3,
        "NotFoundOrRefused": 4,
        "NetworkGaveUp": 5,
        "IntegrityFailure": 6,
        "LocalFailure": 7,
        "ClusterFailure": 8,
        "WaitTimedOut": 9,
    }


def test_the_drawn_tree():
    """The docstring's tree says the same as the code."""
    drawn = re.findall(r"^(?:├── |└── )?(\w+) +(\d)\b", errors.__doc__, re.MULTILINE)
    assert {name: int(code) for name, code in drawn} == {name: kind.exit_code for name, kind in KINDS.items()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_text(kind):
    """Message and hint are kept apart; an error alone says its message."""
    error = kind("what happened", "what to do")
    assert (error.message, error.hint, str(error)) == ("what happened", "what to do", "what happened")


def test_no_hint():
    """A hint is optional."""
    assert ModelcarError("what happened").hint is None
