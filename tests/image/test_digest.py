"""Tests of digests."""

import pytest

from kubectl_modelcar.image import DIGEST_PATTERN, RunningDigest, digest_of


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


class TestRunningDigest:
    """A digest that can go back."""

    CHUNKS = tuple(bytes([number]) * (3 << 20) for number in range(12))

    @pytest.mark.parametrize("back", [0, 1, (16 << 20) - 1, 18 << 20, 20 << 20, 36 << 20], ids=str)
    def test_goes_back_at_most_a_step_too_far(self, back):
        """From where it went back to, the same bytes give the same digest."""
        whole, running = b"".join(self.CHUNKS), RunningDigest()
        for chunk in self.CHUNKS:
            running.update(chunk)
        at = running.rewind(back)
        assert 0 <= back - at < 19 << 20
        running.update(memoryview(whole)[at:])
        assert (running.position, running.digest) == (len(whole), digest_of(whole))

    def test_does_not_go_forward(self):
        """A place that was not reached yet is not a place to be."""
        running = RunningDigest()
        running.update(b"abc")
        assert running.rewind(100) == 3
