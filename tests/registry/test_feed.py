"""Tests of how a blob's bytes become the bodies of requests."""

from itertools import pairwise

import pytest

from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.image import RunningDigest
from kubectl_modelcar.registry.feed import STEP, Feed
from tests.fakes.registry import digest_of
from tests.registry.sending import BLOB, MIB, Stream, big

DATA = big(3 * MIB + 7)


class Checked(Stream):
    """Content that checks at its end whether it was what it should be, and was not."""

    def chunks(self, start=0):
        """Yield the bytes from `start` on."""
        yield from super().chunks(start)
        raise IntegrityFailure("not what was promised")


def taken(feed, start, end):
    return b"".join(map(bytes, feed.take(start, end)))


class TestTake:
    """Pieces of a content."""

    @pytest.mark.parametrize("size", [1000, 65_536, MIB, 5 * MIB])
    def test_in_order(self, size):
        """Read in one go and digested on the way, whatever the chunks are."""
        content, seen = Stream(DATA, size), RunningDigest()
        feed = Feed(content, seen)
        bounds = [0, 5, 5, 70_000, 70_001, MIB + 3, len(DATA)]
        pieces = [taken(feed, *pair) for pair in pairwise(bounds)]
        assert (b"".join(pieces), seen.digest, content.starts) == (DATA, digest_of(DATA), [0])

    @pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
    @pytest.mark.parametrize("place", [0, 1, MIB, 2 * MIB + 1])
    def test_again(self, place, known):
        """From an earlier place, with the right digest in the end."""
        content, seen = Stream(DATA, MIB), None if known else RunningDigest()
        feed = Feed(content, seen)
        taken(feed, 0, 2 * MIB + 1)
        assert taken(feed, place, len(DATA)) == DATA[place:]
        assert known or seen.digest == digest_of(DATA)

    def test_steps(self):
        """Never so large that a slow line could not take one in the time that a socket gives it."""
        assert max(map(len, Feed(Stream(DATA, len(DATA)), None).take(0, len(DATA)))) == STEP

    def test_a_body_that_was_not_taken_whole(self):
        """What was not asked for is not lost: the next body begins where it is told to."""
        feed = Feed(Stream(DATA, MIB), RunningDigest())
        body = feed.take(0, len(DATA))
        next(body)
        assert taken(feed, STEP, len(DATA)) == DATA[STEP:]

    def test_empty_chunks(self):
        """Are no end."""

        class Sparse(Stream):
            def chunks(self, start=0):
                for chunk in super().chunks(start):
                    yield from (b"", chunk, b"")

        assert taken(Feed(Sparse(), None), 0, len(BLOB)) == BLOB


class TestEnd:
    """What a content checks at its end."""

    def test_whole(self):
        """Is checked with the last byte."""
        feed = Feed(Checked(), None)
        with pytest.raises(IntegrityFailure) as caught:
            taken(feed, 0, len(BLOB))
        assert feed.error is caught.value

    def test_not_yet(self):
        """But not before."""
        feed = Feed(Checked(), None)
        assert taken(feed, 0, len(BLOB) - 1) == BLOB[:-1]
        feed.finish()
        assert feed.error is None

    def test_cut_after_the_last_byte(self):
        """A connection may break when all was sent: the check comes then, before the blob is closed."""
        feed = Feed(Checked(), None)
        body = feed.take(0, len(BLOB))
        sent = 0
        while sent < len(BLOB):
            sent += len(next(body))
        with pytest.raises(IntegrityFailure):
            feed.finish()

    def test_once(self):
        """A content that was checked is not read again for that."""
        content = Stream()
        feed = Feed(content, None)
        taken(feed, 0, len(BLOB))
        feed.finish()
        assert content.starts == [0]

    def test_close(self):
        """Ends what is read: a source has connections."""
        ended = []

        class Closing(Stream):
            def chunks(self, start=0):
                try:
                    yield from super().chunks(start)
                finally:
                    ended.append(start)

        feed = Feed(Closing(), None)
        next(feed.take(0, 10))
        feed.close()
        assert ended == [0]
