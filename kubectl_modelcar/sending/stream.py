"""A layer as a stream: made from its files while they are read, and checked on the way."""

import hashlib
from collections.abc import Iterator, Mapping

from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.image import Chunk, ModelFile, PlannedLayer, RunningDigest
from kubectl_modelcar.sending.seams import ModelSource


class WrongBytes(IntegrityFailure):
    """A file's bytes are not those that its origin promised; another attempt may bring the right ones."""


class LayerStream:
    """The bytes of a layer, from any place on; each file is held against the sha256 that its origin promised."""

    def __init__(self, plan: PlannedLayer, source: ModelSource) -> None:
        self._plan, self._source = plan, source
        self._digests = {file.path: RunningDigest() for file in plan.files}
        self.name, self.size = plan.name, plan.size

    @property
    def sha256(self) -> Mapping[str, str]:
        """The sha256 in hex of each file by path; complete once all bytes were had."""
        return {path: running.hex for path, running in self._digests.items()}

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes from `start` on.

        Raises WrongBytes at the end of a file that is not what its origin promised.
        """
        at = 0
        for part in self._plan.parts():
            skip, at = max(0, start - at), at + _length(part)
            if at < start:
                continue
            if isinstance(part, ModelFile):
                yield from self._file(part, skip)
            else:
                yield memoryview(part)[skip:]

    def _file(self, file: ModelFile, skip: int) -> Iterator[Chunk]:
        running = self._digests[file.path]
        # Git's id cannot go back as a sha256 here can; files that have no other are small.
        git = None if file.sha256 or not file.git else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        for chunk in self._source.chunks(file, running.rewind(0 if git else skip)):
            known = max(0, skip - running.position)  # bytes that are digested again only to get to `skip`
            running.update(chunk)
            if git:
                git.update(chunk)
            if known < len(chunk):
                yield memoryview(chunk)[known:] if known else chunk
        if running.position != file.size:
            raise _wrong(file, f"{running.position} bytes of {file.size}")
        if file.sha256 not in (None, running.hex):
            raise _wrong(file, f"it has sha256 {running.hex} where {file.sha256} was expected")
        if git and git.hexdigest() != file.git:
            raise _wrong(file, f"it is git's blob {git.hexdigest()} where {file.git} was expected")


def _wrong(file: ModelFile, why: str) -> WrongBytes:
    return WrongBytes(
        f"{file.path} is not what its origin promised: {why}",
        "nothing was published; try again, and report it to the repository's owner if it stays so",
    )


def _length(part: bytes | ModelFile) -> int:
    return part.size if isinstance(part, ModelFile) else len(part)
