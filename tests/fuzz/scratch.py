"""A folder for one input, in memory where this machine allows that."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own is made in it


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a new folder and remove it with all that is in it, however deep."""
    folder = Path(tempfile.mkdtemp(prefix="modelcar-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        yield folder
    finally:
        for path, mode in reversed(list(walk(folder))):
            if stat.S_ISDIR(mode):
                path.rmdir()
            else:
                path.unlink()
        folder.rmdir()


def walk(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield what is below with its mode, folders before what they hold; they may be deeper than Python recurses."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append(Path(entry))
                yield Path(entry), mode
