"""The real kubectl, and a copy of it called oc, run the command line as their plugin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_modelcar import __version__
from tests.conftest import Invoked

pytestmark = pytest.mark.real


@pytest.fixture
def typed(real_tool, tmp_path):
    """Give a function that runs what a person types into a shell with kubectl, oc and our scripts on its PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("kubectl", "oc"):
        (programs / name).symlink_to(real_tool("kubectl"))
    for name in ("kubectl-modelcar", "oc-modelcar"):
        (programs / name).symlink_to(Path(sys.executable).parent / name)

    def typed(line):
        done = subprocess.run(
            ["bash", "--norc", "-c", f"{line}; exit $?"],  # with `exit`, bash does not replace itself by the program
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PATH": f"{programs}:/usr/bin:/bin"},
        )
        return Invoked(done.returncode, done.stdout, done.stderr)

    return typed


@pytest.mark.parametrize("name", ["kubectl", "oc"])
class TestNames:
    def test_in_help(self, typed, name):
        """By which the user called it."""
        done = typed(f"{name} modelcar --help")
        assert (done.code, done.out.splitlines()[0]) == (0, f"Usage: {name} modelcar [OPTIONS] COMMAND [ARGS]...")

    def test_in_help_of_a_command(self, typed, name):
        """Too."""
        done = typed(f"{name} modelcar push --help")
        assert done.out.splitlines()[0] == f"Usage: {name} modelcar push [OPTIONS] SOURCE IMAGE"

    def test_in_hints(self, typed, name):
        """Too; and the exit code passes through."""
        assert typed(f"{name} modelcar push ./model") == Invoked(
            2, "", f"error: Missing argument 'IMAGE'.\nhint: {name} modelcar push --help shows what it takes\n"
        )

    def test_result(self, typed, name):
        """Passes through, alone."""
        assert typed(f"{name} modelcar version") == Invoked(0, f"{__version__}\n", "")


def test_is_listed(typed):
    """As kubectl lists plugins."""
    listed = [Path(line).name for line in typed("kubectl plugin list").out.splitlines() if "/" in line]
    assert "kubectl-modelcar" in listed
