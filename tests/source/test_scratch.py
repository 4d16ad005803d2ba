"""Tests of room on the disk, and of folders that do not outlive their process."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import pytest

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source.scratch import Room, own_folder, remove_stale

SIZE = 1 << 20
FIRST, SECOND = ModelFile("a.safetensors", SIZE), ModelFile("b.safetensors", SIZE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def disk(folder, monkeypatch):
    """Return a function that says how large the disk is; what is written to the folder is not free any more."""

    def disk(size):
        def usage(_):
            used = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
            return shutil._ntuple_diskusage(size, used, size - used)

        monkeypatch.setattr(shutil, "disk_usage", usage)

    return disk


def write(path, size):
    """Write bytes and have them on the disk."""
    with path.open("wb") as file:
        file.write(os.urandom(size))
        os.fsync(file.fileno())


class TestRoom:
    """Bytes that are wanted, and bytes that are free."""

    @pytest.mark.parametrize("part", [0, SIZE // 2, SIZE])
    def test_what_was_written_is_counted_once(self, disk, part):
        """What a file that is coming has of the disk already is not free, and not wanted any more."""
        room = Room()
        disk(2 * SIZE + (SIZE >> 3))
        with room.reserved(FIRST) as coming, own_folder() as coming.folder:
            (coming.folder / "cache").mkdir()
            write(coming.folder / "cache" / "a.incomplete", part)
            with room.reserved(SECOND):
                pass

    def test_what_is_still_to_come(self, folder, disk):
        """Is not free either."""
        room = Room()
        disk(2 * SIZE - (SIZE >> 3))
        with room.reserved(FIRST) as coming, own_folder() as coming.folder:
            write(coming.folder / "a", SIZE // 2)
            with pytest.raises(LocalFailure) as caught, room.reserved(SECOND):
                pass
        free = SIZE - (SIZE >> 3)
        assert caught.value.message == (
            f"cannot spool b.safetensors: {SIZE} bytes are needed in {folder} and {free} are free"
        )

    def test_one_after_the_other(self, disk):
        """What came, or failed, is wanted no more."""
        room = Room()
        disk(SIZE + 1)
        with pytest.raises(ValueError, match="broken"), room.reserved(FIRST):
            raise ValueError("broken")
        with room.reserved(SECOND):
            pass


MADE = """
import sys, time
from kubectl_modelcar.source.scratch import own_folder
with own_folder() as folder:
    (folder / "w.incomplete").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(folder):
    """Another process with a folder of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", MADE], stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(folder)}
    ) as process:
        assert process.stdout.readline().startswith(str(folder))
        yield process
        process.kill()


class TestFolders:
    """Folders with a name, which are gone afterwards."""

    def test_mine(self, folder):
        """For this user alone; its name tells whose it is."""
        with own_folder() as mine:
            assert stat.S_IMODE(mine.stat().st_mode) == 0o700
            assert mine.name.startswith(f"kubectl-modelcar-spool-{os.getpid()}-")
            (mine / "w").write_bytes(b"w")
        assert list(folder.iterdir()) == []

    def test_of_a_process_that_was_killed(self, folder, other):
        """Nothing of it stays."""
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert len(list(folder.iterdir())) == 1
        remove_stale()
        assert list(folder.iterdir()) == []

    def test_of_a_process_that_runs(self, folder, other):
        """Is left alone, whatever its number is; so is one's own."""
        del other
        with own_folder() as mine:
            remove_stale()
            assert len(list(folder.glob("*/w.incomplete"))) == 1
            assert mine.is_dir()

    def test_what_only_looks_like_one(self, folder, tmp_path):
        """A link and a file, which anybody can put there, and other programs' folders."""
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "key").write_bytes(b"key")
        (folder / "kubectl-modelcar-spool-1-link").symlink_to(tmp_path / "home")
        (folder / "kubectl-modelcar-spool-1-file").touch()
        (folder / "kubectl-modelcar-report").mkdir()
        remove_stale()
        assert (len(list(folder.iterdir())), (tmp_path / "home" / "key").read_bytes()) == (3, b"key")

    def test_of_somebody_else(self, folder, monkeypatch):
        """Is not ours to remove."""
        theirs = folder / "kubectl-modelcar-spool-1-x"
        theirs.mkdir()
        monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
        remove_stale()
        assert theirs.is_dir()

    def test_nowhere_to_look(self, monkeypatch):
        """Is for the download to tell."""
        monkeypatch.setattr(tempfile, "tempdir", "/nothing")
        remove_stale()
