"""A blob's bytes as requests take them: in pieces, from any place, and digested once."""

from collections.abc import Iterator

from kubectl_modelcar.errors import IntegrityFailure, ModelcarError
from kubectl_modelcar.image import Chunk, Content, RunningDigest

STEP = 256 * 1024
"""Bytes that are digested and then sent: they are still in the processor's cache then, and the time that a socket gives
to one call is enough for them on a slow line."""


class Feed:
    """The bytes of a content. Pieces that follow each other are read in one go; others from where they begin.

    `seen` digests what passes, None when the digest is known. `error` is what the content raised, if it did.
    """

    def __init__(self, content: Content, seen: RunningDigest | None) -> None:
        self._content, self._seen = content, seen
        self._chunks: Iterator[Chunk] | None = None
        self._left: memoryview = memoryview(b"")
        self._at = 0
        self._checked = False
        self.error: ModelcarError | None = None

    def take(self, start: int, end: int) -> Iterator[Chunk]:
        """Yield the bytes from `start` to `end`.

        Raises what the content raises, and IntegrityFailure if it has more or fewer bytes than its size says. What it
        checks at its end is checked when `end` is its size.
        """
        self._go_to(start)
        while self._at < end:
            step = self._next(min(STEP, end - self._at))
            if self._seen:
                self._seen.update(step)
            self._at += len(step)
            yield step
        if end == self._content.size:
            self.finish()

    def finish(self) -> None:
        """Let the content check what it checks at its end, if it was read to there."""
        if self._chunks is not None and self._at == self._content.size and not self._checked:
            if self._pull():
                raise self._wrong(f"has more than {self._at}")
            self._checked = True

    def close(self) -> None:
        """Close what is read."""
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        self._chunks, self._left, self._checked = None, memoryview(b""), False

    def _go_to(self, start: int) -> None:
        if self._chunks is not None and self._at == start:
            return
        self.close()
        # From a bit before, perhaps: what was digested can go back to some places only.
        self._at = self._seen.rewind(start) if self._seen else start
        self._chunks = self._content.chunks(self._at)
        while self._at < start:
            again = self._next(min(STEP, start - self._at))
            if self._seen:
                self._seen.update(again)
            self._at += len(again)

    def _next(self, most: int) -> memoryview:
        """Return the next bytes, at most so many."""
        if not self._left and not self._pull():
            raise self._wrong(f"ended after {self._at}")
        step, self._left = self._left[:most], self._left[most:]
        return step

    def _pull(self) -> bool:
        """Get the content's next bytes, and tell whether there are any."""
        if self._chunks is None or self._left:
            return bool(self._left)
        try:
            for chunk in self._chunks:
                if chunk:
                    self._left = memoryview(chunk).cast("B")
                    return True
        except ModelcarError as error:
            self.error = error
            raise
        return False

    def _wrong(self, what: str) -> IntegrityFailure:
        return IntegrityFailure(
            f"{self._content.name} {what} bytes where {self._content.size} were expected",
            "let whoever writes it finish, then push again",
        )
