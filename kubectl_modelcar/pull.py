"""Pull an image of a model into a plain folder, by the pod's own puller."""

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kubectl_modelcar.errors import ModelcarError
from kubectl_modelcar.image import RECIPE, RECIPE_ANNOTATION, LayerPlan, Location, ModelFile
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.stored import StoredImage

if TYPE_CHECKING:
    from kubectl_modelcar.chart import puller

_CHUNK = 1 << 20  # bytes
_LOST_AND_FOUND = "lost+found"  # ext4 puts it at the root of every fresh volume


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


def pull(image: StoredImage, folder: Path, *, jobs: int, progress: Progress | None = None) -> PullResult:
    """Write the model of `image` into `folder`, which is new, empty, or left by an interrupted pull of the same image.

    A folder that holds exactly this model already is read and checked, and nothing is downloaded.

    Raises ModelcarError; what is verified by then is kept below `folder` for the next try, and nothing else shows.
    """
    started, progress = time.monotonic(), progress or Silent()
    made = not folder.exists()
    files = _there(image, folder, progress)
    if files is None:
        try:
            files = image.unpack(folder, jobs=jobs, progress=progress)
        except ModelcarError:
            if made:
                with suppress(OSError):  # something is kept there for the next try
                    folder.rmdir()
            raise
    found = tuple(PulledFile(file.path, file.size) for file in files)
    return PullResult(image.location, image.manifest.digest, folder, found, time.monotonic() - started)


def _there(image: StoredImage, folder: Path, progress: Progress) -> "Sequence[puller.File] | None":
    """Return the image's files when `folder` holds them and nothing else, every byte; None when that cannot be said."""
    try:
        sizes = dict(_sizes(folder))
        if not sizes or not image.knows_files():
            return None
        files = image.files()
        if sizes != {file.path: file.size for file in files}:
            return None
        layers: dict[str, list[puller.File]] = {}
        for file in files:
            layers.setdefault(file.layer.digest, []).append(file)
        ours = image.manifest.annotations.get(RECIPE_ANNOTATION) == RECIPE
        if not all(ours or file.sha256 for file in files):  # of others' tars nobody knows the headers
            return None
        return files if all(_holds(folder, held, progress) for held in layers.values()) else None
    except (OSError, UnicodeError):
        return None


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield path and size of each file below `folder`; raise OSError for what no pull leaves there."""
    for at, folders, names in os.walk(folder):
        if Path(at) == folder and _LOST_AND_FOUND in folders:
            folders.remove(_LOST_AND_FOUND)
        for name in (*folders, *names):
            path = Path(at, name)
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                yield os.fsencode(path.relative_to(folder)).decode(), state.st_size
            elif not stat.S_ISDIR(state.st_mode):
                raise FileExistsError(path)


def _holds(folder: Path, files: "Sequence[puller.File]", progress: Progress) -> bool:
    """Tell whether the bytes of a layer's `files` are the image's: by each one's sha256, else by the layer's digest."""
    plan = LayerPlan(tuple(sorted((ModelFile(file.path, file.size) for file in files), key=lambda file: file.path)))
    progress.begin(plan.name, sum(file.size for file in files))

    def digest(parts: Iterable[bytes | ModelFile]) -> str:
        seen = hashlib.sha256()
        for part in parts:
            for chunk in [part] if isinstance(part, bytes) else _chunks(folder, part):
                seen.update(chunk)
                progress.advance(plan.name, 0 if isinstance(part, bytes) else len(chunk))
        return seen.hexdigest()

    if all(file.sha256 for file in files):
        good = all(digest([ModelFile(file.path, file.size)]) == file.sha256 for file in files)
    else:
        good = f"sha256:{digest(plan.parts())}" == files[0].layer.digest
    progress.end(plan.name, "exists" if good else "differs")
    return good


def _chunks(folder: Path, file: ModelFile) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(_CHUNK))
    # In UTF-8 whatever the locale, as the puller writes them.
    with (folder / os.fsdecode(file.path.encode())).open("rb", buffering=0) as opened:
        while count := opened.readinto(buffer):
            yield buffer[:count]
