"""Where tools, models and disk images wait between runs: outside the checkout, a folder for each pinned version."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder that holds everything which is slow to make.

    `MODELCAR_CACHE` names it, else it is `kubectl-modelcar` under the user's cache folder (XDG Base Directory).
    """
    named = os.environ.get("MODELCAR_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "kubectl-modelcar"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file beside `path`: a second run waits for the first instead of doing the same work."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_once(target: Path, build: Callable[[Path], None]) -> bool:
    """Let `build` fill a fresh folder and give it the name `target`; do nothing when `target` is there.

    The name appears whole or not at all, so a run that is killed leaves nothing that looks finished. Returns whether
    it built.
    """
    if target.is_dir():
        return False
    with locked(target):
        if target.is_dir():
            return False
        for left in target.parent.glob(f".{target.name}.????????"):  # by a run that was killed; we hold its lock
            shutil.rmtree(left, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            build(partial)
            partial.chmod(0o755)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return True
