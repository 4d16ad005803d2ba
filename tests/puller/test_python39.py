"""The file runs in server images, whose Python may be older than the command line's: 3.9 and the standard library."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from kubectl_modelcar.chart import puller

PULLER = Path(puller.__file__)


def vermin(path: Path) -> tuple[int, str]:
    """Return vermin's exit code and what it says of the Python that a file needs."""
    command = [Path(sys.executable).with_name("vermin"), "--target=3.9-", "--no-tips", "--quiet", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


class TestPython39:
    """What a newer Python would not notice."""

    def test_the_grammar_is_3_9_s(self):
        """No match statement, no parenthesised context managers, no except*."""
        ast.parse(PULLER.read_text(), feature_version=(3, 9))

    def test_the_standard_library_is_3_9_s(self):
        """vermin knows since when each module, function and keyword argument exists."""
        assert vermin(PULLER) == (0, "")

    def test_vermin_would_see_it(self, tmp_path):
        """The test above can fail: `slots=True` came with 3.10."""
        newer = tmp_path / "newer.py"
        newer.write_text(PULLER.read_text() + "\n\n@dataclass(slots=True)\nclass Newer: ...\n")
        assert vermin(newer)[0] == 1

    def test_nothing_but_the_standard_library_is_imported(self):
        """A server image holds whatever versions of whatever packages."""
        imports = [
            node for node in ast.parse(PULLER.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
        names |= {str(node.module) for node in imports if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names) | {"__future__"}

    @pytest.mark.parametrize("flags", [["-I"], ["-I", "-O"], ["-I", "-W", "error"]], ids=" ".join)
    def test_it_starts_without_a_package(self, flags, tmp_path):
        """From a copy in an empty folder, with no write access to it needed."""
        copy = tmp_path / "puller.py"
        copy.write_bytes(PULLER.read_bytes())
        done = subprocess.run([sys.executable, *flags, copy, "--help"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
