"""Tests of Kubernetes quantities."""

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.serving.quantity import format_bytes, gib, parse_quantity


class TestParseQuantity:
    """Sizes as Kubernetes writes them."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0", 0),
            ("1024", 1024),
            ("20Gi", 20 * 2**30),
            ("1.5Gi", 3 * 2**29),
            ("1Ki", 1024),
            ("500G", 500 * 10**9),
            ("1e3", 1000),
            ("1E3", 1000),
            ("2E", 2 * 10**18),
            ("1k", 1000),
            (".5Mi", 2**19),
            ("1500m", 2),
            ("+1Gi", 2**30),
        ],
    )
    def test_valid(self, text, expected):
        """Binary and decimal suffixes, exponents and fractions; fractions of a byte round up."""
        assert parse_quantity(text) == expected

    @pytest.mark.parametrize("text", ["", "Gi", "20GB", "20 Gi", "-1Gi", "20gi", "1e999", "1K", "٣Gi", "1Gi\n"])
    def test_invalid(self, text):
        """What Kubernetes would refuse, and negative sizes."""
        with pytest.raises(InvalidInput):
            parse_quantity(text)


class TestFormatBytes:
    """Sizes as people read them."""

    @pytest.mark.parametrize(
        ("count", "expected"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (269_060_000, "269.1 MB"),
            (15.2e9, "15.2 GB"),
            (3e15, "3000.0 TB"),
        ],
    )
    def test_units(self, count, expected):
        """The largest unit that leaves at least one before the point."""
        assert format_bytes(count) == expected


class TestGib:
    """Rounding up."""

    @pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (2**30, 1), (2**30 + 1, 2), (2.5 * 2**30, 3)])
    def test_rounds_up(self, count, expected):
        """A part of a GiB needs a whole one."""
        assert gib(count) == expected
