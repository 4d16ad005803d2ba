"""Tests of a model in a folder."""

import os
import socket
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source import FolderSource, Origin, Selection
from kubectl_modelcar.source.model import CHUNK, MOST

NOBODY = 65534
TICK = 0.02  # seconds; dates of files change with the kernel's clock, every 10 ms at the latest (CONFIG_HZ=100)


def write_and_date_back(path):
    """Write as many other bytes, and set the date that it had."""
    before = path.stat()
    time.sleep(TICK)
    path.write_bytes(b"[" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def remove(path):
    time.sleep(TICK)
    path.unlink()


def replace_by_one_as_old(path):
    """Put another file of the same size and date in its place."""
    other = path.with_name("other")
    time.sleep(TICK)
    other.write_bytes(b"[" * path.stat().st_size)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def listing(folder, *include):
    return FolderSource(folder).listing(Selection(include=include))


class TestListing:
    """What is taken."""

    def test_files(self, folder):
        """Sorted, with their sizes; what was left out is told; hidden folders are not looked into."""
        found = listing(folder)
        assert found.files == (ModelFile("config.json", 2), ModelFile("sub/w.safetensors", 10))
        assert found.left_out == ("image.png",)

    def test_what_a_download_left(self, folder):
        """`hf download --local-dir` keeps half files in .cache; others call theirs .incomplete or .part."""
        notes = folder / ".cache" / "huggingface" / "download"
        notes.mkdir(parents=True)
        for half in (notes / "w.safetensors", notes / "w.1f.incomplete", folder / "v.safetensors.incomplete"):
            half.write_bytes(b"half")
        (folder / "v.safetensors.part").write_bytes(b"half")
        assert [file.path for file in listing(folder).files] == ["config.json", "sub/w.safetensors"]
        everything = [file.path for file in listing(folder, "*").files]
        assert not [path for path in everything if path.startswith(".cache")]

    def test_origin(self, folder):
        """The path is this machine's: it is told to the user and not to the image."""
        origin = listing(folder).origin
        assert (origin, origin.annotations()) == (Origin(str(folder)), {})

    @pytest.mark.parametrize(
        ("name", "problem"),
        [pytest.param("nothing", "does not exist", id="absent"), pytest.param("f", "is not a folder", id="a file")],
    )
    def test_no_folder(self, tmp_path, name, problem):
        """A typing error, or the name of a Hub repository."""
        (tmp_path / "f").touch()
        with pytest.raises(LocalFailure) as caught:
            listing(tmp_path / name)
        assert (caught.value.message, caught.value.hint) == (
            f"source '{tmp_path / name}' {problem}",
            "a Hub repository is written ORG/NAME or hf://ORG/NAME",
        )


class TestUnusualFiles:
    """Files that cannot be sent."""

    def test_fifo(self, folder):
        """Would wait for ever."""
        os.mkfifo(folder / "vocab.txt")
        with pytest.raises(LocalFailure) as caught:
            listing(folder)
        assert caught.value.message == f"{folder / 'vocab.txt'} is not a regular file"

    def test_socket(self, folder, monkeypatch):
        """Cannot be opened."""
        monkeypatch.chdir(folder)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("vocab.txt")
        with pytest.raises(LocalFailure):
            listing(folder)


@pytest.fixture
def foreign():
    """A folder where others can look, and this process without root's rights."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "config.json").write_bytes(b"{}")
        (folder / "config.json").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(user)


class TestPermissions:
    """Files of somebody else."""

    def test_unreadable_file(self, foreign):
        """Which one, the system's own word, what to do."""
        source = FolderSource(foreign)
        (file,) = source.listing(Selection()).files
        for read in (source.chunks, lambda file: source.read(file, 0, 1)):
            with pytest.raises(LocalFailure) as caught:
                list(read(file))
            assert (caught.value.message, caught.value.hint) == (
                f"cannot read {foreign / 'config.json'}: Permission denied",
                "check the file's permissions, or leave it out with --exclude",
            )

    def test_unreadable_folder(self, foreign):
        """A folder that cannot be listed is not taken for an empty one."""
        del foreign  # but for the rights
        with TemporaryDirectory() as mine:
            sub = Path(mine) / "sub"
            sub.mkdir(0)
            with pytest.raises(LocalFailure) as caught:
                listing(Path(mine))
            sub.chmod(0o700)
        assert caught.value.message == f"cannot read {sub}: Permission denied"

    def test_no_way_to_the_folder(self, foreign):
        """A folder inside of one that may not be entered."""
        del foreign
        with TemporaryDirectory() as mine:
            sub = Path(mine) / "sub"
            sub.mkdir(0)
            with pytest.raises(LocalFailure) as caught:
                listing(sub / "model")
            sub.chmod(0o700)
        assert caught.value.message == f"cannot read {sub / 'model'}: Permission denied"


class TestReading:
    """The bytes."""

    def test_chunks(self, folder):
        """Every byte once, in pieces of at most 1 MiB."""
        data = os.urandom(CHUNK + 5)
        (folder / "config.json").write_bytes(data)
        source = FolderSource(folder)
        (file, _) = source.listing(Selection()).files
        pieces = [bytes(chunk) for chunk in source.chunks(file)]
        assert ([len(piece) for piece in pieces], b"".join(pieces)) == ([CHUNK, 5], data)

    @pytest.mark.parametrize("start", [0, 3, 10])
    def test_from_a_place(self, folder, start):
        """What a registry has already is not read again."""
        (folder / "config.json").write_bytes(b"0123456789")
        source = FolderSource(folder)
        (file, _) = source.listing(Selection()).files
        assert b"".join(map(bytes, source.chunks(file, start))) == b"0123456789"[start:]

    def test_part(self, folder):
        """A part of a file, at most up to its end."""
        source = FolderSource(folder)
        file = ModelFile("sub/w.safetensors", 10)
        assert (source.read(file, 2, 3), source.read(file, 8, 100)) == (b"www", b"ww")

    def test_part_of_a_giant(self, folder):
        """However much is asked for: an "index" of gigabytes must not fill this machine."""
        path = folder / "sub" / "w.safetensors"
        os.truncate(path, MOST + 10)
        assert len(FolderSource(folder).read(ModelFile("sub/w.safetensors", MOST + 10), 0, MOST + 10)) == MOST

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda path: path.write_bytes(b"{ }"), id="longer"),
            pytest.param(lambda path: path.write_bytes(b""), id="shorter"),
            pytest.param(lambda path: os.utime(path, ns=(0, 1)), id="written anew"),
            pytest.param(write_and_date_back, id="dated back"),
            pytest.param(replace_by_one_as_old, id="another one, as old and as large"),
        ],
    )
    def test_changed_meanwhile(self, folder, change):
        """A download that still goes on must not become an image."""
        source = FolderSource(folder)
        (file, _) = source.listing(Selection()).files
        change(folder / "config.json")
        with pytest.raises(LocalFailure) as caught:
            list(source.chunks(file))
        assert (caught.value.message, caught.value.hint) == (
            f"{folder / 'config.json'} changed while it was read",
            "let its writer finish, then push again",
        )

    @pytest.mark.parametrize("change", [write_and_date_back, replace_by_one_as_old, remove])
    def test_changed_while_it_is_open(self, folder, change):
        """Some of it was read before, and the rest comes as if nothing had been."""
        path = folder / "config.json"
        path.write_bytes(bytes(CHUNK + 2))
        source = FolderSource(folder)
        (file, _) = source.listing(Selection()).files
        chunks = source.chunks(file)
        next(chunks)
        change(path)
        with pytest.raises(LocalFailure) as caught:
            list(chunks)
        assert caught.value.message == f"{path} changed while it was read"

    @pytest.mark.parametrize(
        "read",
        [
            pytest.param(lambda source, file: list(source.chunks(file)), id="all"),
            pytest.param(lambda source, file: source.read(file, 0, 1), id="part"),
        ],
    )
    def test_gone_meanwhile(self, folder, read):
        """Somebody cleans up."""
        source = FolderSource(folder)
        (file, _) = source.listing(Selection()).files
        (folder / "config.json").unlink()
        with pytest.raises(LocalFailure) as caught:
            read(source, file)
        assert caught.value.message == f"cannot read {folder / 'config.json'}: No such file or directory"

    def test_io_error(self, folder):
        """A disk that fails: the system's own word."""
        source = FolderSource(folder)
        with pytest.raises(LocalFailure) as caught:
            source.read(ModelFile("sub", 1), 0, 1)
        assert caught.value.message == f"cannot read {folder / 'sub'}: Is a directory"


class TestStamp:
    """What tells whether a file is still the one that it was."""

    @pytest.fixture(autouse=True)
    def long_ago(self, monkeypatch):
        """Let a while pass after whatever is written."""
        monkeypatch.setattr("kubectl_modelcar.source.folder._TICK", -1)

    def test_stays(self, folder):
        """As long as nobody writes."""
        source, file = FolderSource(folder), ModelFile("config.json", 2)
        assert source.stamp(file) == source.stamp(file) is not None

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda path: path.write_bytes(b"[]"), id="written"),
            pytest.param(lambda path: os.utime(path, ns=(0, 1)), id="touched"),
            pytest.param(write_and_date_back, id="written and dated back"),
            pytest.param(lambda path: path.with_name("other").replace(path), id="replaced"),
        ],
    )
    def test_changes(self, folder, change):
        """With every write, and by another file of the same size and date."""
        source, file, path = FolderSource(folder), ModelFile("config.json", 2), folder / "config.json"
        path.with_name("other").write_bytes(b"[]")
        os.utime(path.with_name("other"), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        before = source.stamp(file)
        change(path)
        assert source.stamp(file) != before

    def test_gone(self, folder):
        """What cannot be looked at is not known."""
        assert FolderSource(folder).stamp(ModelFile("nothing", 2)) is None

    def test_written_a_moment_ago(self, folder, monkeypatch):
        """May be written again within the same tick of the clock."""
        monkeypatch.setattr("kubectl_modelcar.source.folder._TICK", 3600)
        assert FolderSource(folder).stamp(ModelFile("config.json", 2)) is None
