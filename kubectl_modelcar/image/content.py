"""Bytes on their way into an image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

Chunk = memoryview | bytes


class Content(Protocol):
    """Bytes of a known size that can be had again, from any place: what broke on its way is sent from there."""

    @property
    def name(self) -> str:
        """What to call it when talking to people."""

    @property
    def size(self) -> int:
        """How many bytes it is."""

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes from `start` on, each chunk valid until the next is asked for.

        Raises ModelcarError when they cannot be had or are not what they should be.
        """


@dataclass(frozen=True, slots=True)
class Held:
    """Content that is in memory."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return len(self.data)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes from `start` on."""
        yield memoryview(self.data)[start:]
