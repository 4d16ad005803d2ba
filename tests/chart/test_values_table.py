"""docs/chart_values.py, and that chart/README.md holds what it makes."""

import shutil

import pytest

from tests.chart.rendering import CHART, DOCS, script

chart_values = script(DOCS / "chart_values.py")

VALUES = """\
# A comment about the file.

# -- First sentence.
# Second line.
first: 1
group:
  # -- A mapping with a sentence is one value.
  whole: {a: "b|c"}
  # An aside.
  # -- Last.
  last: []
"""


class TestDocumented:
    def test_gives_keys_defaults_and_sentences(self):
        """Sentences over several lines are joined; a documented mapping is one value."""
        expected = [
            ("first", "1", "First sentence. Second line."),
            ("group.whole", '{"a": "b|c"}', "A mapping with a sentence is one value."),
            ("group.last", "[]", "Last."),
        ]
        assert expected == [(one.key, one.default, one.sentence) for one in chart_values.documented(VALUES)]

    def test_refuses_a_value_without_a_sentence(self):
        """A new value can't be forgotten."""
        with pytest.raises(ValueError, match=r"values\.yaml: group\.new has no '# -- ' sentence above it"):
            list(chart_values.documented(VALUES + "  new: 1\n"))

    def test_escapes_the_tables_own_sign(self):
        """A bar in a default does not end its cell."""
        rows = [one.row() for one in chart_values.documented(VALUES)]
        assert rows[1] == '| `group.whole` | `{"a": "b\\|c"}` | A mapping with a sentence is one value. |\n'


class TestReadme:
    def test_is_up_to_date(self, capsys):
        """The table in the README is what values.yaml says."""
        code = chart_values.main(["--check"])
        assert (code, capsys.readouterr().err) == (0, "")

    def test_drift_is_seen_and_mended(self, tmp_path, capsys):
        """A changed default fails the check until the table is written again."""
        for name in ("README.md", "values.yaml"):
            shutil.copy(CHART / name, tmp_path)
        values = tmp_path / "values.yaml"
        values.write_text(values.read_text("utf-8").replace("size: 40Gi", "size: 41Gi"), "utf-8")
        arguments = ["--chart", str(tmp_path)]
        assert chart_values.main([*arguments, "--check"]) == 1
        assert "is out of date; run: python docs/chart_values.py" in capsys.readouterr().err
        assert chart_values.main(arguments) == 0
        assert chart_values.main([*arguments, "--check"]) == 0
        assert '| `storage.size` | `"41Gi"` |' in (tmp_path / "README.md").read_text("utf-8")
