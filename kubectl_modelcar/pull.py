"""Pull an image of a model into a plain folder, by the pod's own puller."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from kubectl_modelcar.errors import ModelcarError
from kubectl_modelcar.image import Location
from kubectl_modelcar.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubectl_modelcar.chart import puller


class ModelImage(Protocol):
    """An image that can be unpacked."""

    @property
    def location(self) -> Location:
        """Where it is."""

    @property
    def manifest(self) -> "puller.Manifest":
        """Its manifest, verified."""

    def unpack(self, folder: Path, *, jobs: int, progress: Progress) -> "Sequence[puller.File]":
        """Write the model's files into `folder`, verified, all or nothing."""


@dataclass(frozen=True, slots=True)
class PulledFile:
    """A file as it lies in the folder: path relative to it, size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class PullResult:
    """What was pulled, and where to."""

    location: Location
    digest: str
    folder: Path
    files: tuple[PulledFile, ...]
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def pull(image: ModelImage, folder: Path, *, jobs: int, progress: Progress | None = None) -> PullResult:
    """Write the model of `image` into `folder`, which is new, empty, or left by an interrupted pull of the same image.

    Raises ModelcarError; what is verified by then is kept below `folder` for the next try, and nothing else shows.
    """
    started = time.monotonic()
    made = not folder.exists()
    try:
        files = image.unpack(folder, jobs=jobs, progress=progress or Silent())
    except ModelcarError:
        if made:
            with suppress(OSError):  # something is kept there for the next try
                folder.rmdir()
        raise
    found = tuple(PulledFile(file.path, file.size) for file in files)
    return PullResult(image.location, image.manifest.digest, folder, found, time.monotonic() - started)
