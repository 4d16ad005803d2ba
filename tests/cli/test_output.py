"""Tests of how results are printed."""

import json

import pytest
import yaml

from kubectl_modelcar.cli.output import emit, human_bytes, table

HOSTILE = "a\x1b[31mb\x07\u202ec\r"
DATA = {"name": HOSTILE, "größe": 3, "none": None}


@pytest.fixture
def printed(capsys):
    """Give a function that prints a result and returns what is on stdout; nothing is on stderr."""

    def printed(output, **more):
        emit(output, **{"text": "line 1\nline 2", "data": DATA, **more})
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return printed


class TestEmit:
    def test_text(self, printed):
        """Lines stay lines."""
        assert printed("text") == "line 1\nline 2\n"

    def test_hostile_text(self, printed):
        """What a terminal would obey is shown."""
        assert printed("text", text=HOSTILE) == "a\\x1b[31mb\\x07\\u202ec\\x0d\n"

    def test_json(self, printed):
        """One document in ASCII, whatever is in it."""
        out = printed("json")
        assert json.loads(out) == DATA
        assert out.isascii()
        assert "\x1b" not in out

    def test_yaml(self, printed):
        """One document in ASCII, in the order that it was made in."""
        out = printed("yaml")
        assert yaml.safe_load(out) == DATA
        assert out.isascii()
        assert "\x1b" not in out
        assert list(yaml.safe_load(out)) == list(DATA)

    def test_name(self, printed):
        """The name, or the text where there is none."""
        assert (printed("name", name="x/y"), printed("name")) == ("x/y\n", "line 1\nline 2\n")


class TestTable:
    def test_columns(self):
        """As wide as they must be, three spaces apart, nothing at the end of a line."""
        lines = table(("FILE", "SIZE"), [("a", "1 B"), ("a-long-name", "")]).split("\n")
        assert lines == ["FILE          SIZE", "a             1 B", "a-long-name"]

    def test_no_rows(self):
        """The header alone."""
        assert table(("FILE", "SIZE"), []) == "FILE   SIZE"

    def test_hostile_cells(self):
        """Neither commands nor lines of their own."""
        assert table(("A",), [("x\ny",), ("\x1b[2K",)]) == "A\nx y\n\\x1b[2K"


class TestHumanBytes:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (269_000_000, "269.0 MB"),
            (15 * 10**9, "15.0 GB"),
            (2 * 10**12, "2.0 TB"),
            (3 * 10**15, "3000.0 TB"),
        ],
    )
    def test_units(self, size, expected):
        """Decimal, as registries and disks count."""
        assert human_bytes(size) == expected
