"""Tests of `completion`: the script, and what it asks the program."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_modelcar.cli import COMPLETE
from kubectl_modelcar.cli.commands import COMMANDS

PROGRAM = Path(sys.executable).parent / "kubectl-modelcar"


@pytest.fixture
def complete(invoke_process):
    """Give a function that returns what bash is offered for words, the last of which is being typed."""

    def complete(*words):
        asked = {
            COMPLETE: "bash_complete",
            "COMP_WORDS": " ".join(["kubectl-modelcar", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = invoke_process(**asked)
        assert (done.code, done.err) == (0, "")
        return [line.partition(",")[2] for line in done.out.splitlines() if line]

    return complete


class TestScript:
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_asks_this_program(self, invoke, shell):
        """By the variable that it understands."""
        done = invoke("completion", shell)
        assert (done.code, done.err) == (0, "")
        assert f"{COMPLETE}={shell}_complete" in done.out
        assert "kubectl-modelcar" in done.out

    def test_other_shell(self, refused):
        """Exit code 2."""
        code, error, hint = refused("completion", "tcsh")
        assert (code, hint) == (2, "kubectl modelcar completion --help shows what it takes")
        assert error == "Invalid value for '{bash|zsh|fish}': 'tcsh' is not one of 'bash', 'zsh', 'fish'."

    def test_in_bash(self, invoke, tmp_path):
        """The shell's own completion calls it and takes what it says."""
        (tmp_path / "script").write_text(invoke("completion", "bash").out)
        (tmp_path / "kubectl-modelcar").symlink_to(PROGRAM)
        line = f"""
        PATH={tmp_path}:$PATH; source {tmp_path}/script
        COMP_WORDS=(kubectl-modelcar ins); COMP_CWORD=1
        $(complete -p kubectl-modelcar | sed 's/.*-F \\([^ ]*\\) .*/\\1/') kubectl-modelcar ins kubectl-modelcar
        echo "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(
            [shutil.which("bash"), "--norc", "-c", line], capture_output=True, text=True, check=True, timeout=60
        )
        assert (done.stdout, done.stderr) == ("inspect install\n", "")


class TestCandidates:
    def test_commands(self, complete):
        """All of them, in the order of help."""
        assert complete("") == list(COMMANDS)

    def test_commands_by_beginning(self, complete):
        """Those that begin so."""
        assert complete("pu") == ["push", "pull"]

    def test_options(self, complete):
        """Of the command that stands before."""
        assert complete("push", "--pl") == ["--platform", "--plain-http"]

    def test_values(self, complete):
        """Of an option that has a few."""
        assert complete("push", "-o", "") == ["text", "json", "yaml", "name"]

    def test_nothing(self, complete):
        """Where there is nothing to offer."""
        assert complete("frob") == []
