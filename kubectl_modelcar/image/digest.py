"""Digests: `sha256:` and 64 lower-case hex digits, the only algorithm that every registry takes."""

import hashlib
import re

DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
_STEP = 16 * 2**20  # bytes between kept states, which take some hundred bytes each


def digest_of(data: bytes) -> str:
    """Return the digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class RunningDigest:
    """The sha256 of bytes as they come, which can go back to an earlier place and go on from there.

    A transfer that broke is taken up where the other side says, and what was digested after that place comes again.
    """

    def __init__(self) -> None:
        self.position = 0  # bytes
        self._state = hashlib.sha256()
        self._kept = [(0, self._state.copy())]

    @property
    def hex(self) -> str:
        """The sha256 in hex of the bytes up to `position`."""
        return self._state.hexdigest()

    @property
    def digest(self) -> str:
        """The digest of the bytes up to `position`."""
        return f"sha256:{self.hex}"

    def update(self, chunk: memoryview | bytes) -> None:
        """Take the next bytes."""
        self._state.update(chunk)
        self.position += len(chunk)
        if self.position - self._kept[-1][0] >= _STEP:
            self._kept.append((self.position, self._state.copy()))

    def rewind(self, position: int) -> int:
        """Go back to `position`, or to a place at most 16 MiB and a chunk before it, and return where that is."""
        if position < self.position:
            self._kept = [(at, state) for at, state in self._kept if at <= position]
            self.position, state = self._kept[-1]
            self._state = state.copy()
        return self.position
