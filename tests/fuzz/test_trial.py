"""The fuzzing itself: it finds what it is for, and the same again."""

import subprocess
import sys
import time

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import InvalidInput
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import Target, Trials, input_of


def trials(check, **limits):
    """Return trials of a parser that does nothing but `check`."""
    return Trials(Target("any", lambda _: check(), lambda _: b""), **limits)


def raising(error):
    """Return a check that fails so."""

    def check():
        raise error

    return check


def spinning():
    """Use the processor for longer than is allowed."""
    end = time.process_time() + 5
    while time.process_time() < end:
        pass


class TestTrials:
    @pytest.mark.parametrize(
        "error", [InvalidInput("no"), puller.PullError(puller.REFUSED, "no")], ids=["ours", "the puller's"]
    )
    def test_an_error_of_ours_is_an_outcome(self, error):
        """It is named by its kind and the line that it came from."""
        outcome = trials(raising(error)).run(b"")
        assert outcome.defect == ""
        assert outcome.place.startswith(f"{type(error).__name__} test_trial.py:")

    @pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), MemoryError(), AssertionError("held not")])
    def test_any_other_is_a_defect(self, error):
        """The defect is the traceback."""
        assert type(error).__name__ in trials(raising(error)).run(b"").defect

    def test_what_a_caller_documents_is_no_defect(self):
        """A target may name more kinds."""
        target = Target("any", lambda _: raising(KeyError("x"))(), lambda _: b"", own=(KeyError,))
        assert Trials(target).run(b"").defect == ""

    def test_a_slow_input_is_a_defect(self):
        """It is stopped where it is, and not waited for."""
        started = time.process_time()
        assert trials(spinning, slow=0.05).run(b"").defect.endswith("it takes more than 0.05 s")
        assert time.process_time() - started < 2

    def test_a_large_input_is_a_defect(self):
        """The memory that an input took is counted even when it is given back."""
        assert "MiB of memory" in trials(lambda: bytearray(b"x" * (400 << 20)), large=100 << 20).run(b"").defect

    def test_a_huge_input_is_refused_its_memory(self):
        """The machine is spared."""
        assert "MemoryError" in trials(lambda: bytearray(4 << 30)).run(b"").defect


class TestInputs:
    @pytest.mark.parametrize("name", TARGETS)
    def test_the_same_number_is_the_same_input(self, name):
        """A failure can be repeated by its number; another number is another input."""
        target = TARGETS[name]
        inputs = [input_of(target, number) for number in range(20)]
        assert [input_of(target, number) for number in range(20)] == inputs
        assert len(set(inputs)) > 10


class TestCommand:
    def test_a_line_for_each_parser(self, checkout):
        """It says how many inputs there were, and exits with 0 when none was a defect."""
        command = [sys.executable, "-m", "tests.fuzz", "shard-index", "--inputs", "60", "--jobs", "1"]
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
        name, count, inputs, *_ = done.stdout.split()
        assert (done.returncode, name, count, inputs) == (0, "shard-index", "60", "inputs")
