"""Room on this machine's disk for downloads that come at the same time, and folders that none of them leaves behind."""

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import ModelFile

_PREFIX = "kubectl-modelcar-spool-"
_BLOCK = 512  # bytes; the unit of st_blocks, whatever the filesystem's own is (stat(2))

ROOM = "set TMPDIR to a folder with more room, lower --jobs, or push without --spool"


@dataclass(slots=True, eq=False)
class Coming:
    """A file on its way to the disk: what was written to a file without a name, or the folder that it is written to."""

    file: ModelFile
    written: int = 0
    folder: Path | None = None

    def missing(self) -> int:
        """Return the bytes that will be taken from what is free now."""
        folder = self.folder  # which another thread may end meanwhile
        there = self.written if folder is None else _allocated(folder)
        return max(0, self.file.size - there)


class Room:
    """What is free where temporary files go, less what the files that are coming will still take of it."""

    def __init__(self) -> None:
        self._coming: set[Coming] = set()
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, file: ModelFile) -> Iterator[Coming]:
        """Keep room for a file as long as it is coming.

        Raises LocalFailure where there is too little.
        """
        coming, folder = Coming(file), tempfile.gettempdir()
        with self._lock:
            have = shutil.disk_usage(folder).free - sum(other.missing() for other in self._coming)
            if have < file.size:
                raise LocalFailure(
                    f"cannot spool {file.path}: {file.size} bytes are needed in {folder} and {max(0, have)} are free",
                    ROOM,
                )
            self._coming.add(coming)
        try:
            yield coming
        finally:
            with self._lock:
                self._coming.discard(coming)


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder for this user alone, which `remove_stale` leaves alone until this process ends, and remove it.

    The lock tells, not the process's number in the name: in a container every process may be number 1.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        with suppress(FileNotFoundError):
            held = _locked(folder, fcntl.LOCK_EX)
            if folder.is_dir():
                break
            if held is not None:  # another push took the folder for a stale one before it was locked
                os.close(held)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def remove_stale() -> None:
    """Remove the folders of pushes that were killed: this user's, which no process has locked."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(OSError):
                held = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if held is None:
                    continue
                if os.fstat(held).st_uid == os.geteuid():
                    shutil.rmtree(folder, ignore_errors=True)
                os.close(held)


def _locked(folder: Path, how: int) -> int | None:
    """Return the descriptor of a folder that is locked; None where somebody has it, or it cannot be (on NFS)."""
    # Not to follow a link: the folder above is everybody's.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _allocated(folder: Path) -> int:
    """Return the bytes of the disk that a folder's files take, which may vanish meanwhile."""
    blocks = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                blocks += Path(root, name).lstat().st_blocks
    return blocks * _BLOCK
