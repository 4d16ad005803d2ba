"""Tests of the stand-in for running programs."""

import pytest

from kubectl_modelcar.process import CannotStart
from tests.fakes.programs import FakePrograms


class TestFakePrograms:
    """What it answers."""

    def test_by_beginning(self):
        """The answer told last wins, and the run is remembered."""
        programs = FakePrograms()
        programs.answer("helm", stdout="any")
        programs.answer("helm", "status", stderr="no", returncode=1)
        answers = [
            programs(["helm", "status", "x"], stdin="in", env={"A": "1"}, timeout=1).stderr,
            programs(["helm", "list"], timeout=1).stdout,
        ]
        assert (answers, programs.runs) == (
            ["no", "any"],
            [(["helm", "status", "x"], "in", {"A": "1"}), (["helm", "list"], None, {})],
        )

    def test_unknown_command_lines(self):
        """What no test foresaw is a failure."""
        with pytest.raises(AssertionError):
            FakePrograms()(["rm", "-rf"], timeout=1)

    def test_absent_program(self):
        """A program can be missing."""
        programs = FakePrograms()
        programs.absent("helm")
        with pytest.raises(CannotStart):
            programs(["helm", "version"], timeout=1)
