"""How much a registry takes in one request: everything, until it says otherwise."""

import threading
from collections.abc import Mapping

MIB = 1 << 20
SIZES = (64 * MIB, 16 * MIB, 4 * MIB, MIB)
"""What is tried after everything was too much: Cloudflare takes 100 MB and more, GHCR 4 MiB (oci-client 37), nginx
without a word about it 1 MiB (client_max_body_size)."""


class Pieces:
    """What one registry was found to take, for all its uploads; `least` and `most` in bytes, None for no bound.

    `chunk` is what it is known beforehand to take where a request names its place: everything but a blob in one.
    """

    def __init__(self, chunk: int | None = None) -> None:
        self.least, self.most = 0, None  # type: int, int | None
        self._chunk = chunk
        self._lock = threading.Lock()

    def hear(self, headers: Mapping[str, str]) -> None:
        """Heed OCI-Chunk-Min-Length (distribution-spec "Pushing a blob in chunks"): the last piece may be smaller."""
        told = headers.get("OCI-Chunk-Min-Length", "").strip()
        if told.isascii() and told.isdecimal() and len(told) <= len(str(1 << 63)):
            self.least = int(told)

    def of(self, start: int, size: int) -> int:
        """Return how many of a blob's `size` bytes to send from `start` on in the next request."""
        placed = start > 0 or self.most is not None
        bounds = [bound for bound in (self.most, self._chunk if placed else None) if bound is not None]
        return min(size - start, max(min(bounds), self.least)) if bounds else size - start

    def refuse(self, size: int) -> bool:
        """Hear that `size` bytes were too much; tell whether there is a smaller size to try."""
        with self._lock:
            if self.most is None or self.most >= size:
                smaller = [piece for piece in SIZES if piece < size]
                if not smaller:
                    return False
                self.most = smaller[0]
            return self.of(0, size) < size
