"""Tests of running other programs, with real ones."""

import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

from kubectl_modelcar.process import CannotStart, Completed, RanTooLong, child_environment, run


@pytest.fixture
def script(tmp_path):
    """Write an executable shell script and return its path."""

    def write(text):
        path = tmp_path / "program"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(stat.S_IRWXU)
        return str(path)

    return write


class TestRun:
    """What a program gets and what comes back."""

    def test_arguments_arrive_unchanged(self, script):
        """No shell looks at an argument."""
        program = script('printf "%s|" "$@"\n')
        argv = [program, "a b", "$(id)", "", "-x", "ü"]
        assert run(argv, timeout=10) == Completed(tuple(argv), 0, "a b|$(id)||-x|ü|", "")

    def test_standard_input_is_what_was_given(self, script):
        """The text arrives on the standard input."""
        assert run([script("cat\n")], stdin='{"k": "ü"}', timeout=10).stdout == '{"k": "ü"}'

    def test_standard_input_is_empty_by_default(self, script):
        """A program that reads gets an end of file, not the terminal."""
        assert run([script("cat\n")], timeout=10).stdout == ""

    def test_a_program_that_does_not_read_is_no_error(self, script):
        """A pipe closed early does not matter."""
        assert run([script("exec 0<&-; exit 3\n")], stdin="x" * 10_000_000, timeout=10).returncode == 3

    def test_environment_is_added(self, script, monkeypatch):
        """Variables come on top of the caller's own."""
        monkeypatch.setenv("KEPT", "1")
        assert run([script('echo "$KEPT $ADDED"\n')], env={"ADDED": "2"}, timeout=10).stdout == "1 2\n"

    def test_failure_is_returned(self, script):
        """An exit status is a value and not an exception."""
        completed = run([script("echo no >&2; exit 4\n")], timeout=10)
        assert (completed.returncode, completed.stderr, completed.succeeded) == (4, "no\n", False)

    def test_broken_text_is_replaced(self, script):
        """Bytes that are no UTF-8 do not break the caller."""
        assert run([script("printf 'a\\377b'\n")], timeout=10).stdout == "a\N{REPLACEMENT CHARACTER}b"

    @pytest.mark.parametrize(
        ("argv", "reason"),
        [
            pytest.param(["/nonexistent/helm"], "No such file or directory", id="missing"),
            pytest.param(["/"], "Permission denied", id="folder"),
            pytest.param(["echo", "a\0b"], "embedded null byte", id="nul"),
        ],
    )
    def test_a_program_that_cannot_start(self, argv, reason):
        """The system's reason is in the error."""
        with pytest.raises(CannotStart) as caught:
            run(argv, timeout=10)
        assert caught.value.message == f"cannot run {argv[0]}: {reason}"

    def test_timeout_kills_the_children_too(self, script, tmp_path):
        """Nothing that the program started outlives its timeout."""
        program = script(f"sleep 60 & echo $! >{tmp_path}/pid; wait\n")
        with pytest.raises(RanTooLong) as caught:
            run([program], timeout=0.5)
        assert caught.value.message == "program had not ended after 0.5 s and was stopped"
        pid = int((tmp_path / "pid").read_text())
        assert _gone(pid)

    def test_interrupt_is_handed_on_once_and_waited_for(self, script, tmp_path):
        """A ^C gives the program one SIGINT and the time to write its last line."""
        program = script(
            f"trap 'echo int >>{tmp_path}/log; sleep 0.3; echo done >>{tmp_path}/log; exit 1' INT\n"
            f"echo up >>{tmp_path}/log\nwhile :; do sleep 0.05; done\n"
        )

        def interrupt():
            while not (tmp_path / "log").exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            run([program], timeout=10)
        thread.join()
        assert (tmp_path / "log").read_text() == "up\nint\ndone\n"


class TestChildEnvironment:
    """What a frozen build's libraries must not do to other programs."""

    @pytest.mark.parametrize(
        ("environ", "frozen", "expected"),
        [
            pytest.param({"LD_LIBRARY_PATH": "/mine"}, False, {"LD_LIBRARY_PATH": "/mine"}, id="not frozen"),
            pytest.param({"LD_LIBRARY_PATH": "/bundle", "A": "1"}, True, {"A": "1"}, id="none before"),
            pytest.param(
                {"LD_LIBRARY_PATH": "/bundle", "LD_LIBRARY_PATH_ORIG": "/mine"},
                True,
                {"LD_LIBRARY_PATH": "/mine"},
                id="restored",
            ),
            pytest.param({"_PYI_ARCHIVE_FILE": "x", "_": "y"}, True, {"_": "y"}, id="bundle's own variables"),
        ],
    )
    def test_library_path(self, environ, frozen, expected):
        """The user's library path is what other programs see."""
        assert child_environment(environ, frozen=frozen) == expected


def _gone(pid):
    """Wait until the process has ended (an orphan may stay a zombie where nobody reaps it)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
