"""Tests of the check of a safetensors header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.source.safetensors import check_header
from tests.source.weights import safetensors, tensor, weights


def check(data, size=None):
    check_header("w.safetensors", len(data) if size is None else size, lambda at, length: data[at : at + length])


class TestGood:
    """What loads."""

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(safetensors({"a": tensor(0, 4), "b": tensor(4, 6)}, b"123456"), id="two tensors"),
            pytest.param(safetensors({"b": tensor(4, 6), "a": tensor(0, 4)}, b"123456"), id="in any order"),
            pytest.param(safetensors({"__metadata__": {"format": "pt"}, "a": tensor(0, 1)}, b"1"), id="metadata"),
            pytest.param(safetensors({}), id="no tensors"),
            pytest.param(safetensors({"a": tensor(0, 0, shape=(0, 8))}), id="empty tensor"),
            pytest.param(safetensors({"a": tensor(0, 4, "F32", ())}, b"1234"), id="scalar"),
            pytest.param(safetensors({"a": tensor(0, 8, "BF16", (2, 2))}, b"12345678"), id="matrix"),
            pytest.param(safetensors({"a": tensor(0, 1, "F4", (2,))}, b"1"), id="half a byte each"),
            pytest.param(safetensors({"a": tensor(0, 3, "F6_E2M3", (4,))}, b"123"), id="six bits each"),
            pytest.param(safetensors({"a": tensor(0, 5, "NEW", (3,))}, b"12345"), id="type of the future"),
            pytest.param(safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   ', b"1"), id="padded"),
        ],
    )
    def test_passes(self, data):
        """Nothing is said."""
        assert check(data) is None

    def test_only_the_header_is_read(self):
        """Terabytes of tensors are checked by their header."""
        data, asked = safetensors({"a": tensor(0, 2**42)}), []

        def read(at, length):
            asked.append(length)
            return data[at : at + length]

        check_header("w.safetensors", len(data) + 2**42, read)
        assert sum(asked) == len(data)


WHOLE = safetensors({"a": tensor(0, 8), "b": tensor(8, 16)}, bytes(16))
JSON = "its header is not the JSON that it should be"


class TestBroken:
    """What would fail in the server, an hour later."""

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            pytest.param(b"", "its header would be 0 bytes of 0", id="empty"),
            pytest.param(b"\x01\x00", "its header would be 1 bytes of 2", id="shorter than the length"),
            pytest.param(WHOLE[:-1], f"its tensors end at {len(WHOLE)} of {len(WHOLE) - 1} bytes", id="cut"),
            pytest.param(WHOLE[:20], f"its header would be {len(WHOLE) - 24} bytes of 20", id="cut in the header"),
            pytest.param(WHOLE + b"x", f"its tensors end at {len(WHOLE)} of {len(WHOLE) + 1} bytes", id="longer"),
            pytest.param(
                safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12)),
                "tensor 'b' starts at 4 where 8 was expected",
                id="overlapping",
            ),
            pytest.param(
                safetensors({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)),
                "tensor 'b' starts at 8 where 4 was expected",
                id="hole",
            ),
            pytest.param(
                safetensors({"a": tensor(1, 4)}, bytes(4)),
                "tensor 'a' starts at 1 where 0 was expected",
                id="hole first",
            ),
            pytest.param(
                safetensors({"a": tensor(0, 99)}, bytes(4)), "its tensors end at 162 of 67 bytes", id="beyond"
            ),
            pytest.param(safetensors(b"[1]"), f"{JSON} (AttributeError)", id="an array"),
            pytest.param(safetensors(b"{'a'}"), f"{JSON} (JSONDecodeError)", id="not JSON"),
            pytest.param(safetensors(b"\xff{}"), f"{JSON} (UnicodeDecodeError)", id="not UTF-8"),
            pytest.param(safetensors(b"[" * 200_000), f"{JSON} (RecursionError)", id="nested without end"),
            pytest.param(safetensors({"a": {}}), f"{JSON} (KeyError)", id="no offsets"),
            pytest.param(safetensors({"a": 1}), f"{JSON} (TypeError)", id="no entry"),
            pytest.param(
                safetensors({"a": tensor(4, 0, shape=(1,))}, bytes(4)), f"{JSON} (ValueError)", id="backwards"
            ),
            pytest.param(
                safetensors({"a": tensor(0, 8), "b": tensor(8, 4, "NEW", (1,))}, bytes(4)),
                f"{JSON} (ValueError)",
                id="backwards, of a type of the future",
            ),
            pytest.param(
                safetensors({"a": tensor(0, 4, "F32", (2,))}, bytes(4)), f"{JSON} (ValueError)", id="shape and bytes"
            ),
            pytest.param(
                safetensors({"a": {"dtype": "U8", "shape": ["x"], "data_offsets": ["a", "b"]}}),
                f"{JSON} (TypeError)",
                id="texts for numbers",
            ),
            pytest.param(
                safetensors({"a": {"dtype": ["U8"], "shape": [1], "data_offsets": [0, 1]}}, b"1"),
                f"{JSON} (TypeError)",
                id="a list for a type",
            ),
            pytest.param(
                safetensors(b"{}", length=2**63),
                "its header would be 9223372036854775808 bytes of 10",
                id="huge length",
            ),
        ],
    )
    def test_refused(self, data, why):
        """Which file, what is wrong with it, what to do."""
        with pytest.raises(IntegrityFailure) as caught:
            check(data)
        assert (caught.value.message, caught.value.hint) == (
            f"w.safetensors is not a whole safetensors file: {why}",
            "download it again, or leave it out with --exclude",
        )

    def test_header_of_over_100_mb(self):
        """The format's own limit; nothing of it is read."""
        asked = []

        def read(at, length):
            asked.append((at, length))
            return (100_000_001).to_bytes(8, "little")

        with pytest.raises(IntegrityFailure) as caught:
            check_header("w.safetensors", 2**40, read)
        assert caught.value.message.endswith(f"its header would be 100000001 bytes of {2**40}")
        assert asked == [(0, 8)]

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data):
        """Any bytes pass or are refused; nothing else happens."""
        try:
            check(data)
        except IntegrityFailure:
            return

    @given(
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
        )
    )
    def test_any_json(self, header):
        """So does any JSON in the place of the header."""
        try:
            check(safetensors({"a": header} if not isinstance(header, dict) else header))
        except IntegrityFailure:
            return


@pytest.mark.parametrize("size", [100, 101, 1000, 4096, 5000])
def test_weights_of_the_tests(size):
    """The files that other tests use are good ones of the size asked for."""
    data = weights(size)
    assert len(data) == size
    check(data)
