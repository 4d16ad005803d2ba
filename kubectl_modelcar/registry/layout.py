"""Writing an image into an OCI layout folder (image-spec image-layout.md)."""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, LocalFailure
from kubectl_modelcar.image import INDEX_TYPE, Content, Document, Held, LayoutReference
from kubectl_modelcar.registry.translation import our_errors

_CHUNK = 1 << 20  # bytes
_DAY = 24 * 60 * 60  # seconds
_PARTIAL = ".partial-"
_LARGEST = 64 * 2**20  # bytes of index.json; 100,000 manifests need a third of it
_ROOM = "check its permissions and free space"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'


class LayoutTarget:
    """A folder that images are pushed to, by several processes too.

    Blobs appear whole or not at all; `index.json` is replaced last. Nothing is made before there is a blob to keep.
    """

    def __init__(self, reference: LayoutReference) -> None:
        self._folder = reference.folder
        self._blobs = reference.folder / "blobs" / "sha256"
        self._marker = reference.folder / "oci-layout"
        self._stopped = threading.Event()

    def prepare(self) -> None:
        """Check that the folder is a layout, or can become one; clear away what pushes that were killed left there.

        Raises LocalFailure for a folder that holds something else or cannot be written.
        """
        with self._writing():
            if self._folder.exists() and any(self._folder.iterdir()) and not self._marker.is_file():
                raise LocalFailure(
                    f"{self._folder} is not empty and no OCI layout", "name a new folder: oci:FOLDER[:TAG]"
                )
        there = next(folder for folder in (self._folder, *self._folder.absolute().parents) if folder.exists())
        if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
            raise LocalFailure(f"cannot write {there}: permission denied", "name another folder: oci:FOLDER[:TAG]")
        for folder in (self._folder, self._blobs):
            _remove_partials(folder, before=time.time() - _DAY)

    def has_blob(self, digest: str) -> bool:
        """Tell whether the layout holds the blob, whole: a disk may have been full, or a copy cut.

        Raises LocalFailure when it is stopped meanwhile.
        """
        seen, buffer = hashlib.sha256(), memoryview(bytearray(_CHUNK))
        try:
            with puller.open_regular(self._blobs / digest.removeprefix("sha256:")) as blob:
                while count := blob.readinto(buffer):
                    if self._stopped.is_set():
                        raise LocalFailure(f"looking for {digest} in {self._folder} was stopped")
                    seen.update(buffer[:count])
        except OSError:
            return False
        return f"sha256:{seen.hexdigest()}" == digest

    def mount(self, digest: str, repository: str) -> bool:  # noqa: ARG002  the interface's
        """Tell that nothing can be had from another repository: a layout has none."""
        return False

    def upload(self, content: Content, digest: str | None = None) -> str:
        """Write a blob and return its digest."""
        seen, written = hashlib.sha256(), 0
        with self._writing():
            self._make()
            self._require(content)
            with _temporary(self._blobs) as file:
                for chunk in content.chunks():
                    seen.update(chunk)
                    written += _write_all(file, chunk)
                computed = f"sha256:{seen.hexdigest()}"
                if written != content.size or digest not in (None, computed):
                    wanted = f"{content.size} bytes, {digest or 'any digest'}"
                    raise IntegrityFailure(
                        f"{content.name} became {written} bytes, {computed}; {wanted} were planned",
                        "let whoever writes the files finish, then push again",
                    )
                _publish(file, self._blobs / seen.hexdigest())
        return computed

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return the bytes and the media type of the manifest that a tag or a digest names.

        Raises NotFoundOrRefused, IntegrityFailure.
        """
        with our_errors():
            return puller.Layout(self._folder).manifest(reference)

    def tags(self) -> tuple[str, ...]:
        """Return the tags that the layout has; nothing of a folder that is none."""
        with suppress(LocalFailure):
            return tuple(str(tag) for entry in self._index()["manifests"] if (tag := _tag_of(entry)))
        return ()

    def stop(self) -> None:
        """End what reads blobs; uploads end with their content."""
        self._stopped.set()

    def put_manifest(self, document: Document, tag: str | None) -> str:
        """Write the manifest or index and name it in `index.json`, in the place of what had the tag before.

        Without a tag it is kept by its digest alone: one of an index's images. Return the digest.
        """
        self.upload(Held("the manifest", document.data), document.digest)
        if tag is None:
            return document.digest
        entry = document.descriptor.to_json() | {"annotations": {puller.REF_NAME: tag}}
        with self._writing(), self._alone():
            index = self._index()
            kept = [other for other in index["manifests"] if _tag_of(other) != tag]
            index["manifests"] = [*kept, entry]
            self._replace(self._folder / "index.json", json.dumps(index, separators=(",", ":")).encode())
        return document.digest

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep out the pushes of other tags, which read and replace the same `index.json`."""
        # NFS locks for writing only what is open for writing (flock(2)); a marker of somebody else's is for reading.
        mode = "r+b" if os.access(self._marker, os.W_OK, effective_ids=True) else "rb"
        with self._marker.open(mode) as marker:
            fcntl.flock(marker, fcntl.LOCK_EX)  # until it is closed
            yield

    def _make(self) -> None:
        """Make the layout; the marker first, so that no other push takes the folder for somebody else's."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), self._marker.open("xb") as marker:
            marker.write(_VERSION)
        self._blobs.mkdir(parents=True, exist_ok=True)

    def _require(self, content: Content) -> None:
        """Raise LocalFailure before the first byte when there is not room for all; some filesystems do not tell."""
        disk = shutil.disk_usage(self._blobs)
        if disk.total and disk.free < content.size:
            sizes = f"{content.size} bytes are needed and {disk.free} are free"
            raise LocalFailure(f"cannot write {content.name} to {self._folder}: {sizes}", _ROOM)

    def _index(self) -> dict[str, Any]:
        path = self._folder / "index.json"
        if not path.exists():
            return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
        try:
            with puller.open_regular(path) as opened:
                index = json.loads(opened.read(_LARGEST))
            if all(isinstance(entry, dict) for entry in index["manifests"]):
                return dict(index)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise LocalFailure(
                f"{path} cannot be read as an image index", "name a new folder: oci:FOLDER[:TAG]"
            ) from error
        raise LocalFailure(f"{path} has no list of manifests", "name a new folder: oci:FOLDER[:TAG]")

    def _replace(self, path: Path, data: bytes) -> None:
        with _temporary(path.parent) as file:
            _write_all(file, data)
            _publish(file, path)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LocalFailure(f"cannot write {error.filename or self._folder}: {error.strerror}", _ROOM) from error


def _tag_of(entry: dict[str, Any]) -> object:
    annotations = entry.get("annotations")
    return annotations.get(puller.REF_NAME) if isinstance(annotations, dict) else None


def _remove_partials(folder: Path, *, before: float) -> None:
    """Remove temporary files that nobody has written to since `before` (seconds since 1970): their push was killed."""
    for path in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError):  # somebody else's, or another push was faster
            if path.stat().st_mtime < before:
                path.unlink()


@contextmanager
def _temporary(folder: Path) -> Iterator[IO[bytes]]:
    """Yield a new file in `folder` that is gone afterwards unless it was published."""
    with tempfile.NamedTemporaryFile(prefix=_PARTIAL, dir=folder, buffering=0, delete=False) as file:
        try:
            os.fchmod(file.fileno(), 0o644)
            yield file
        finally:
            Path(file.name).unlink(missing_ok=True)


def _write_all(file: IO[bytes], data: memoryview | bytes) -> int:
    """Write all of `data`, which one write need not do on a disk that is filling up; return how much it is."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    return len(data)


def _publish(file: IO[bytes], path: Path) -> None:
    """Give the temporary file its name, once its bytes are safe."""
    os.fsync(file.fileno())
    Path(file.name).replace(path)
