"""The plugin that CI runs with: nothing is skipped unseen."""

import subprocess
import sys

import pytest

TESTS = {
    "passing": "def test_it(): pass\n",
    "expected": "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_it(): assert False\n",
    "called": "import pytest\ndef test_it(): pytest.skip('no go: called')\n",
    "marked": "import pytest\n@pytest.mark.skip(reason='no go: marked')\ndef test_it(): pass\n",
    "fixture": "import pytest\n@pytest.fixture\ndef go(): pytest.skip('no go: fixture')\ndef test_it(go): pass\n",
    "module": "import pytest\npytest.skip('no go: module', allow_module_level=True)\n",
}


@pytest.fixture
def run_pytest(tmp_path, checkout):
    for name, text in TESTS.items():
        (tmp_path / f"test_{name}.py").write_text(text, "utf-8")

    def run(*flags):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, *flags, tmp_path]
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False, timeout=120)

    return run


class TestNoSkips:
    def test_makes_every_skip_a_failure_and_nothing_else(self, run_pytest):
        """However a test is skipped, CI fails and says why it would have been."""
        ran = run_pytest("-p", "tests.no_skips", "--continue-on-collection-errors")
        said = [f"no go: {name}" in ran.stdout for name in ("called", "marked", "fixture", "module")]
        assert "1 failed, 1 passed, 1 xfailed, 3 errors" in ran.stdout
        assert (ran.returncode, said) == (1, [True] * 4)

    def test_is_needed(self, run_pytest):
        """Without it the same tests are a success."""
        ran = run_pytest()
        assert "1 passed, 4 skipped, 1 xfailed" in ran.stdout
        assert ran.returncode == 0
