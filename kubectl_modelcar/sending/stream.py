"""A layer as a stream: made from its files while they are read, and checked on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.image import Chunk, Descriptor, ModelFile, PlannedLayer, RunningDigest
from kubectl_modelcar.sending.seams import Base, ModelSource


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
        for chunk in self._source.chunks(file, running.rewind(skip)):
            known = max(0, skip - running.position)  # bytes that are digested again only to get to `skip`
            running.update(chunk)
            if known < len(chunk):
                yield memoryview(chunk)[known:] if known else chunk
        if running.position != file.size or file.sha256 not in (None, running.hex):
            raise WrongBytes(
                f"{file.path} is not what its origin promised: {running.position} bytes of {file.size}"
                + (f", sha256 {running.hex} where {file.sha256} was expected" if file.sha256 else ""),
                "nothing was published; try again, and report it to the repository's owner if it stays so",
            )


@dataclass(frozen=True, slots=True)
class BaseLayer:
    """A layer of the base image."""

    base: Base
    layer: Descriptor
    name: str = "base image"

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self.layer.size

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes from `start` on; they are read from the first one, for only so can they be verified."""
        at = 0
        for chunk in self.base.chunks(self.layer):
            skip, at = max(0, start - at), at + len(chunk)
            if skip < len(chunk):
                yield chunk[skip:]


def _length(part: bytes | ModelFile) -> int:
    return part.size if isinstance(part, ModelFile) else len(part)
