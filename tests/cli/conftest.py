"""What the tests of push, pull and inspect as they are typed share."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Invoked
from tests.real.models import write


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """Stand in a folder that holds the model as `model`: what is typed, and shown, is short then."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "model")
    return tmp_path


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Wait no second; return those that would have been waited."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture
def refused(invoke) -> Callable[..., tuple[int, str, str]]:
    """Give a function that runs a command that must fail, and returns its code, its error and its hint.

    There is one line of each, at the end of stderr, and nothing on stdout; progress may come before.
    """

    def refused(*arguments: object) -> tuple[int, str, str]:
        done = invoke(*arguments)
        *before, error, hint = done.err.splitlines()
        assert done.out == ""
        assert not [line for line in before if line.startswith(("error:", "hint:", "Traceback"))]
        assert (error[:7], hint[:6]) == ("error: ", "hint: ")
        return done.code, error[7:], hint[6:]

    return refused


@pytest.fixture
def timeless() -> Callable[[Invoked], Invoked]:
    """Give a function that replaces the seconds of plain progress by `_`."""

    def timeless(done: Invoked) -> Invoked:
        return Invoked(done.code, done.out, re.sub(r"\d+\.\d s\)", "_ s)", done.err))

    return timeless
