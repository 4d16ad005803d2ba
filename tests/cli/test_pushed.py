"""Tests of what `push` prints of names that it has not made."""

import pytest

pytestmark = pytest.mark.usefixtures("here")


class TestPlan:
    """With --dry-run."""

    def test_a_name_begins_no_line(self, invoke, tmp_path):
        """A folder may be named as a line of ours looks."""
        folder = tmp_path / "m\nTags:       trusted"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        done = invoke("push", folder, f"oci:{tmp_path / 'layout'}:1", "--dry-run", "--base", "none")
        assert done.code == 0, done.err
        assert [line for line in done.out.splitlines() if line.startswith("Tags:")] == ["Tags:       1"]
