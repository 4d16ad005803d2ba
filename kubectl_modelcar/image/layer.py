"""Files of a model as deterministic, uncompressed tar layers.

A layer is a function of the paths, sizes and bytes of its files and of nothing else (DESIGN D3): GNU tar, sorted
entries, `models/` and parents 0755, files 0644, uid = gid = 0, no names, mtime 0, and exactly two zero blocks at the
end. Go's tar reader stops there; Python's `tarfile` would pad to 10 KiB, and tools that digest what Go read disagree.
"""

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from kubectl_modelcar.errors import InvalidInput

BLOCK = 512  # POSIX.1-1988 ustar
END_OF_ARCHIVE = bytes(2 * BLOCK)
ROOT = "models"  # where KServe, image volumes and our puller look
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
RECIPE = "1"  # raised whenever the same files would give other bytes

LARGE_FILE = 64 * 2**20  # bytes; from here a file is a layer of its own, so that it is sent, resumed and kept alone
MAX_LAYERS = 100  # mount options of overlayfs fit one page: builders have failed from about 125 layers up


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model: `path` relative to the model's root, `size` in bytes, and in hex what is known of its bytes.

    `git` is the id of the blob in git, which the Hub tells of files that are not in LFS.
    """

    path: str
    size: int
    sha256: str | None = None
    git: str | None = None


class PlannedLayer(Protocol):
    """A layer before its bytes are read: a `LayerPlan` of an image, or a `RawLayer` of an artifact."""

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The files in it, sorted by path."""

    @property
    def name(self) -> str:
        """What to call it when talking to people; the layers of an image have different names."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def media_type(self) -> str:
        """The media type of its bytes."""

    @property
    def digest(self) -> str | None:
        """Its digest, where that is known before a byte is read."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """What its descriptor says beside the files."""

    def parts(self) -> Iterator[bytes | ModelFile]:
        """Yield its bytes in order: bytes as they are, and a ModelFile where that file's bytes go."""

    def sha256_from(self, digest: str) -> Mapping[str, str]:
        """Return the sha256 of its files, in hex and by path, that the layer's own digest tells."""


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """The files of one tar layer, sorted by path."""

    files: tuple[ModelFile, ...]

    @property
    def media_type(self) -> str:
        """Uncompressed: weights do not become smaller."""
        return LAYER_TYPE

    @property
    def digest(self) -> None:
        """Never known beforehand: the tar's headers are hashed with the files."""
        return

    @property
    def annotations(self) -> Mapping[str, str]:
        """None, and no `org.opencontainers.image.title`: `oras pull` would write the tar under the file's name."""
        return {}

    def sha256_from(self, digest: str) -> Mapping[str, str]:  # noqa: ARG002  the protocol's
        """Return nothing: the digest is that of the tar."""
        return {}

    @property
    def name(self) -> str:
        """What to call the layer when talking to people; the layers of an image have different names."""
        others = len(self.files) - 1
        return self.files[0].path + (f" and {others} more" if others else "")

    @property
    def size(self) -> int:
        """The layer's size in bytes, known before any byte of a file is read."""
        return sum(part.size if isinstance(part, ModelFile) else len(part) for part in self.parts())

    def parts(self) -> Iterator[bytes | ModelFile]:
        """Yield the tar in order: bytes as they are, and a ModelFile where that file's bytes go."""
        entries: dict[str, ModelFile | None] = {}
        for file in self.files:
            path = PurePosixPath(ROOT, file.path)
            entries.update((str(parent), None) for parent in path.parents if parent.name)
            entries[str(path)] = file
        for name, entry in sorted(entries.items()):
            yield _header(name, entry)
            if entry is not None:
                yield entry
                yield bytes(-entry.size % BLOCK)
        yield END_OF_ARCHIVE


def plan_layers(files: Sequence[ModelFile], *, room: int = MAX_LAYERS) -> tuple[LayerPlan, ...]:
    """Divide `files` over at most `room` layers: large ones alone, all small ones together and first.

    The small layer comes first because the consumers that need `config.json` read from the top. With more large
    files than room, neighbours share a layer. Raises InvalidInput when even that does not fit.
    """
    ordered = sorted(files, key=lambda file: file.path)
    small = [file for file in ordered if file.size < LARGE_FILE]
    large = [file for file in ordered if file.size >= LARGE_FILE]
    needed = bool(small) + bool(large)
    if room < needed:
        raise InvalidInput(
            f"{needed} layers are needed where the base image leaves room for {room}",
            f"an image has at most {MAX_LAYERS}: use another base, or --base none",
        )
    slots = room - bool(small)
    share, extra = divmod(len(large), max(slots, 1))
    groups = [small] if small else []
    start = 0
    for slot in range(min(slots, len(large))):
        end = start + share + (slot < extra)
        groups.append(large[start:end])
        start = end
    return tuple(LayerPlan(tuple(group)) for group in groups)


def _header(name: str, file: ModelFile | None) -> bytes:
    info = tarfile.TarInfo(name)
    if file is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    else:
        info.size, info.mode = file.size, 0o644
    # GNU and not PAX: over 8 GiB the size is base-256, which Clair's reader understands and PAX `size=` it ignores.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
