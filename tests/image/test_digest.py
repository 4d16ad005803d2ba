"""Tests of digests."""

import pytest

from kubectl_modelcar.image import DIGEST_PATTERN, digest_of


def test_digest_of():
    """SHA-256 of nothing, as everybody knows it."""
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("sha256:" + "a" * 63, id="short"),
        pytest.param("sha256:" + "a" * 65, id="long"),
        pytest.param("sha256:" + "A" * 64, id="upper case"),
        pytest.param("sha512:" + "a" * 128, id="sha512"),
        pytest.param("a" * 64, id="no algorithm"),
        pytest.param("sha256:" + "a" * 64 + "\n", id="newline"),
    ],
)
def test_no_digest(text):
    """Only the canonical form is one."""
    assert DIGEST_PATTERN.fullmatch(text) is None
