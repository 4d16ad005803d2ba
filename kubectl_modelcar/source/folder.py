"""A model in a folder of this machine."""

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source.model import CHUNK, MOST, Listing, Origin
from kubectl_modelcar.source.selection import Selection

_TICK = 2.0  # seconds; the coarsest clock of a filesystem that is in use (FAT)


class FolderSource:
    """The files below a folder; each is read once, from its start, and must not change meanwhile."""

    rereadable = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stats: dict[str, tuple[int, int, int]] = {}

    def __str__(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def listing(self, selection: Selection) -> Listing:
        """Return the files to take.

        Raises LocalFailure for a folder or file that cannot be read, IntegrityFailure for a link that leads out and for
        one to a folder.
        """
        try:
            paths = dict(self._walk(selection))
            chosen = selection.pick(paths, where=f"folder {self._folder}")
            for path in chosen:
                self._check_link(paths[path])
            files = tuple(ModelFile(path, self._stat(path)[0]) for path in chosen)
        except OSError as error:
            raise _unreadable(Path(error.filename or self._folder), error) from error
        return Listing(Origin(str(self._folder)), files, tuple(sorted(set(paths) - set(chosen))))

    def chunks(self, file: ModelFile, start: int = 0) -> Iterator[memoryview]:
        """Yield the bytes of `file` from `start` on, each chunk valid until the next is asked for.

        Raises LocalFailure at the end if the file changed since `listing`.
        """
        path = self._path(file.path)
        buffer = memoryview(bytearray(CHUNK))
        try:
            with path.open("rb", buffering=0) as opened:
                opened.seek(start)
                while count := opened.readinto(buffer):
                    yield buffer[:count]
                now = _stat(os.fstat(opened.fileno()))
        except OSError as error:
            raise _unreadable(path, error) from error
        if now != self._stats[file.path]:
            raise LocalFailure(f"{path} changed while it was read", "let its writer finish, then push again")

    def read(self, file: ModelFile, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of `file` from `offset`, at most MOST."""
        path = self._path(file.path)
        try:
            with path.open("rb") as opened:
                opened.seek(offset)
                return opened.read(min(length, MOST))
        except OSError as error:
            raise _unreadable(path, error) from error

    def stamp(self, file: ModelFile) -> str | None:
        """Return what is another text whenever the file's bytes are others, on this machine.

        None for a file that was written a moment ago: it may change again within a tick of its filesystem's clock, as
        git knows (Documentation/technical/racy-git).
        """
        try:
            found = self._path(file.path).stat()
        except OSError:
            return None
        if time.time() - found.st_mtime < _TICK:
            return None
        return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"

    def holds(self, place: Path) -> bool:
        """Tell whether `place` is inside the folder."""
        return place.resolve().is_relative_to(self._folder.resolve())

    def stop(self) -> None:
        """Do nothing: reading a folder waits for nobody."""

    def _walk(self, selection: Selection) -> Iterator[tuple[str, Path]]:
        if not self._folder.is_dir():
            what = "is not a folder" if self._folder.exists() else "does not exist"
            raise LocalFailure(
                f"source {str(self._folder)!r} {what}", "a Hub repository is written ORG/NAME or hf://ORG/NAME"
            )
        for root, folders, names in os.walk(self._folder, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in folders:
                self._check_folder(Path(root, name), selection)
            for name in names:
                path = Path(root, name)
                yield _as_utf8(path.relative_to(self._folder).as_posix()), path

    def _check_folder(self, path: Path, selection: Selection) -> None:
        """Refuse a link to a folder: it may lead out, or round and round; without its files the model is not whole."""
        inside = _as_utf8(path.relative_to(self._folder).as_posix())
        if path.is_symlink() and not selection.excludes(inside):
            raise IntegrityFailure(
                f"{path} is a link to the folder {path.resolve()}",
                f"copy the folder, or leave it out with --exclude {shlex.quote(inside)}",
            )

    def _check_link(self, path: Path) -> None:
        """Refuse a file that lives elsewhere: its bytes were not put here by whoever filled the folder.

        The Hub's own cache is such a folder by design: snapshots/COMMIT/FILE links to ../../blobs/ETAG.
        """
        home = self._folder.resolve()
        try:
            real = path.resolve()
        except RuntimeError as error:  # Python up to 3.12 says so of a link that leads to itself
            raise _irregular(path) from error
        cache = home.parent.parent / "blobs" if home.parent.name == "snapshots" else None
        if not real.is_relative_to(home) and not (cache and real.is_relative_to(cache)):
            raise IntegrityFailure(
                f"{path} is a link to {real}, outside the folder", "copy the file, or leave it out with --exclude"
            )
        if not real.is_file():
            raise _irregular(path)

    def _path(self, path: str) -> Path:
        return self._folder / os.fsdecode(path.encode("utf-8", "surrogateescape"))

    def _stat(self, path: str) -> tuple[int, int, int]:
        self._stats[path] = _stat(self._path(path).stat())
        return self._stats[path]


def _stat(found: os.stat_result) -> tuple[int, int, int]:
    """Return what changes with a file; its ctime does, too, when it is dated back, or replaced while it is open.

    The inode's number is no sign: some filesystems in user space make it up anew at each look.
    """
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _as_utf8(name: str) -> str:
    """Return a name as its bytes are in UTF-8: the locale's encoding must not change what an image holds."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _raise(error: OSError) -> None:
    raise error


def _irregular(path: Path) -> LocalFailure:
    what = "is not a regular file" if path.exists() else "is a link to nowhere"
    return LocalFailure(f"{path} {what}", "leave it out with --exclude")


def _unreadable(path: Path, error: OSError) -> LocalFailure:
    return LocalFailure(
        f"cannot read {path}: {error.strerror or error}", "check the file's permissions, or leave it out with --exclude"
    )
