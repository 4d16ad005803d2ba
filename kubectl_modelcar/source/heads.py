"""The first bytes of files, kept between the looks that are taken at them."""

import threading

from kubectl_modelcar.image import ModelFile

HEAD = 64 * 1024  # bytes; holds the headers of most safetensors files, and most other files as a whole
_LARGEST = 2**20  # bytes of one file that are kept
_ROOM = 16 * 2**20  # bytes kept in all


class Heads:
    """What was read of the beginning of files, within bounds: small files are then read once, headers once each."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._room = _ROOM
        self._lock = threading.Lock()

    def wanted(self, file: ModelFile, offset: int, length: int) -> int:
        """Return how many bytes from `offset` are worth reading where `length` are needed."""
        return length if offset else max(length, min(HEAD, file.size))

    def get(self, file: ModelFile, offset: int, length: int) -> bytes | None:
        """Return bytes that are kept, None where they are not."""
        kept = self._kept.get(file.path, b"")
        return kept[offset : offset + length] if offset + length <= len(kept) else None

    def put(self, file: ModelFile, offset: int, data: bytes) -> None:
        """Keep what was read, if it is a beginning and there is room."""
        with self._lock:
            if offset == 0 and len(data) <= min(_LARGEST, self._room) and file.path not in self._kept:
                self._kept[file.path] = data
                self._room -= len(data)

    def take(self, file: ModelFile) -> bytes | None:
        """Return the file if it is kept as a whole, and keep it no longer: who asks again wants other bytes."""
        with self._lock:
            if len(self._kept.get(file.path, b"")) != file.size:
                return None
            data = self._kept.pop(file.path, b"")
            self._room += len(data)
        return data
