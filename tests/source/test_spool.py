"""Tests of files of the Hub that lie on the disk while their layer is sent."""

import gc
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NetworkGaveUp
from kubectl_modelcar.source import open_source, spool
from tests.fakes.hub import TOKEN, XET_TOKEN, Repository
from tests.fakes.registry import Fault
from tests.source.hub_model import FILES, WEIGHTS, listing

STORAGE = "response-content"
OTHER = WEIGHTS[::-1]
BUFFER = "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name in ("SIZE", "PERFILE_SIZE", "LIMIT"):
        monkeypatch.setenv(f"{BUFFER}_{name}", "")  # so that what a download sets is taken back
        monkeypatch.delenv(f"{BUFFER}_{name}")
    return folder


@pytest.fixture
def spooled(hub, commit, folder):
    """A source that was listed, and its files by path."""
    del commit, folder
    hub.commit("org/m", FILES | {"other.safetensors": OTHER})
    source = open_source("org/m", spool=True)
    files = {file.path: file for file in listing(source).files}
    hub.log.clear()
    return source, files


def held(folder):
    """Sizes of files without a name that this process has in the folder; pytest's own captures are empty."""
    sizes = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread's, closed meanwhile
            if str(link.readlink()).startswith(str(folder)) and link.stat().st_size:
                sizes.append(link.stat().st_size)
    return sizes


class TestCopies:
    """What is on the disk, and when."""

    def test_a_file_is_downloaded_once(self, hub, spooled):
        """From wherever it is read again, the Hub is not asked again."""
        source, files = spooled
        file = files["w.safetensors"]
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert b"".join(source.chunks(file, 1_000_000)) == WEIGHTS[1_000_000:]
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert [request.sent for request in hub.cdn_log] == [len(WEIGHTS)]

    def test_a_copy_has_no_name_and_goes_with_the_next_file(self, folder, spooled):
        """One file a thread, however many there are."""
        source, files = spooled
        for path in ("w.safetensors", "other.safetensors"):
            next(source.chunks(files[path]))
            assert (held(folder), list(folder.iterdir())) == ([len(WEIGHTS)], [])

    def test_a_copy_goes_with_its_thread(self, folder, spooled):
        """When the last layer was sent, or could not be, nothing is left."""
        source, files = spooled
        thread = threading.Thread(target=lambda: next(source.chunks(files["w.safetensors"])))
        thread.start()
        thread.join()
        gc.collect()
        assert held(folder) == []

    def test_small_files_are_streamed(self, hub, folder, spooled):
        """What is not in LFS has no sha256 to check, and is not worth a file."""
        source, files = spooled
        assert b"".join(source.chunks(files["config.json"])) == b"{}"
        assert (held(folder), len(hub.log)) == ([], 1)

    def test_headers_are_read_of_the_hub(self, folder, spooled):
        """A look at the first bytes downloads no file."""
        source, files = spooled
        assert source.read(files["w.safetensors"], 8, 8) == WEIGHTS[8:16]
        assert held(folder) == []


class TestRoom:
    """A disk that is too small."""

    def test_none(self, hub, folder, spooled, monkeypatch):
        """Said before the first byte: how much is needed, and how much there is."""
        source, files = spooled
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
        with pytest.raises(LocalFailure) as caught:
            next(source.chunks(files["w.safetensors"]))
        assert (caught.value.message, caught.value.hint) == (
            f"cannot spool w.safetensors: {len(WEIGHTS)} bytes are needed in {folder} and 5 are free",
            "set TMPDIR to a folder with more room, lower --jobs, or push without --spool",
        )
        assert hub.log == []

    def test_what_comes_meanwhile_is_not_free(self, hub, spooled, monkeypatch):
        """Two threads do not count on the same bytes."""
        source, files = spooled
        free = len(WEIGHTS) + len(OTHER) // 2
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(free, 0, free))
        hub.faults.append(Fault(path=STORAGE, stall_after=0))

        def first():
            with pytest.raises(NetworkGaveUp):
                next(source.chunks(files["w.safetensors"]))

        thread = threading.Thread(target=first)
        thread.start()
        while not hub.cdn_log:
            time.sleep(0.01)
        with pytest.raises(LocalFailure):
            next(source.chunks(files["other.safetensors"]))
        source.stop()
        thread.join()

    def test_full_meanwhile(self, folder, spooled, monkeypatch):
        """Somebody else filled it: the file that was begun is gone, too."""
        source, files = spooled

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryFile", full)
        with pytest.raises(LocalFailure) as caught:
            next(source.chunks(files["w.safetensors"]))
        assert caught.value.message == f"cannot spool w.safetensors: {folder} is full"
        assert held(folder) == []


class TestBytes:
    """Nothing that is wrong leaves this machine."""

    def test_flipped_for_ever(self, hub, folder, spooled):
        """Downloaded twice, and not a byte of it given."""
        source, files = spooled
        hub.faults.append(Fault(path=STORAGE, corrupt_at=7, times=-1))
        with pytest.raises(IntegrityFailure) as caught:
            next(source.chunks(files["w.safetensors"]))
        assert "w.safetensors of org/m@main has sha256" in caught.value.message
        assert ([request.sent for request in hub.cdn_log], held(folder)) == ([len(WEIGHTS)] * 2, [])

    def test_cut(self, hub, spooled, waits):
        """Resumed as always."""
        source, files = spooled
        hub.faults.append(Fault(path=STORAGE, cut_after=1_000_000))
        assert b"".join(source.chunks(files["w.safetensors"])) == WEIGHTS
        assert (sum(request.sent for request in hub.cdn_log), len(waits)) == (len(WEIGHTS), 1)

    def test_stopped(self, hub, folder, spooled):
        """A download that hangs ends at once, and leaves nothing."""
        source, files = spooled
        hub.faults.append(Fault(path=STORAGE, stall_after=1_000_000, times=-1))
        stopper = threading.Timer(0.2, source.stop)
        stopper.start()
        started = time.monotonic()
        with pytest.raises(NetworkGaveUp):
            next(source.chunks(files["w.safetensors"]))
        stopper.join()
        assert (time.monotonic() - started < 2, held(folder)) == (True, [])


UPLOAD = """
import sys
from hf_xet import XetSession
with XetSession().new_upload_commit(endpoint=sys.argv[1], token="t", token_expiry_unix_secs=2**40) as commit:
    upload = commit.start_upload_file(sys.argv[2])
print(upload.result().xet_info.hash)
"""


@pytest.fixture
def in_xet(hub, spooled, tmp_path, monkeypatch):
    """Have the weights in a Xet storage of this machine, as the real hf_xet puts them there."""
    del spooled
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet-cache"))
    (tmp_path / "weights").write_bytes(WEIGHTS)
    hub.cas_url = f"local://{tmp_path / 'cas'}"
    command = [sys.executable, "-c", UPLOAD, hub.cas_url, tmp_path / "weights"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    hub.xet[hashlib.sha256(WEIGHTS).hexdigest()] = done.stdout.strip()


class TestXet:
    """Files that the Hub has in Xet, through the real hf_xet."""

    def test_comes_by_hf_xet(self, hub, folder, spooled, in_xet, capfd):
        """Whole, without the storage, without a bar, and without a file with a name afterwards."""
        del in_xet
        source, files = spooled
        assert b"".join(source.chunks(files["w.safetensors"])) == WEIGHTS
        assert (hub.cdn_log, held(folder), list(folder.iterdir())) == ([], [len(WEIGHTS)], [])
        assert capfd.readouterr() == ("", "")

    def test_two_on_a_disk_that_has_room_for_both(self, folder, spooled, in_xet, monkeypatch):
        """What the first one has of it already is counted once."""
        del in_xet
        source, files = spooled
        download, written, go_on = spool.hf_hub_download, threading.Event(), threading.Event()

        def slowly(*arguments, **options):
            place = download(*arguments, **options)
            written.set()
            go_on.wait(10)
            return place

        def usage(_):
            used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            return shutil._ntuple_diskusage(0, used, len(WEIGHTS) + len(OTHER) + 2**20 - used)

        monkeypatch.setattr(spool, "hf_hub_download", slowly)
        monkeypatch.setattr(shutil, "disk_usage", usage)
        thread = threading.Thread(target=lambda: next(source.chunks(files["w.safetensors"])))
        thread.start()
        assert written.wait(10)
        try:
            assert b"".join(source.chunks(files["other.safetensors"])) == OTHER
        finally:
            go_on.set()
            thread.join()

    def test_what_a_killed_push_left(self, folder, spooled):
        """Is removed by the next one, before it needs the room."""
        source, _ = spooled
        (folder / "kubectl-modelcar-spool-1-x" / "half").mkdir(parents=True)
        listing(source)
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            pytest.param({}, ["64mb", "0mb", "64mb"], id="nothing set"),
            pytest.param({f"{BUFFER}_LIMIT": "1gb"}, [None, None, "1gb"], id="a limit of the user's"),
            pytest.param({"HF_XET_HIGH_PERFORMANCE": "1"}, [None, None, None], id="as fast as can be"),
        ],
    )
    @pytest.mark.usefixtures("in_xet")
    def test_memory(self, spooled, monkeypatch, own, expected):
        """Is bounded, unless the user said otherwise."""
        for name, value in own.items():
            monkeypatch.setenv(name, value)
        source, files = spooled
        next(source.chunks(files["w.safetensors"]))
        assert [os.environ.get(f"{BUFFER}_{name}") for name in ("SIZE", "PERFILE_SIZE", "LIMIT")] == expected

    def test_switched_off(self, hub, spooled, in_xet, monkeypatch):
        """By the client's own variable."""
        del in_xet
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        source, files = spooled
        assert b"".join(source.chunks(files["w.safetensors"])) == WEIGHTS
        assert [request.sent for request in hub.cdn_log] == [len(WEIGHTS)]

    def test_a_storage_that_refuses(self, hub, spooled, in_xet):
        """Is gone around; it saw a token of its own and not the Hub's."""
        del in_xet
        hub.repositories["org/m"].card = {}
        hub.cas_url = hub.cdn_url
        source, files = spooled
        assert b"".join(source.chunks(files["w.safetensors"])) == WEIGHTS
        assert {request.headers.get("authorization") for request in hub.cdn_log} == {f"Bearer {XET_TOKEN}", None}

    def test_the_hub_s_token_stays_there(self, hub, spooled, in_xet, monkeypatch):
        """A private repository in Xet: its token goes to the Hub alone."""
        del spooled, in_xet
        hub.repositories["org/m"].private = True
        hub.cas_url = hub.cdn_url
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        source = open_source("org/m", spool=True)
        file = next(file for file in listing(source).files if file.path == "w.safetensors")
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert f"Bearer {TOKEN}" in {request.headers.get("authorization") for request in hub.log}
        assert not [request for request in hub.cdn_log if TOKEN in str(request)]

    def test_stopped(self, hub, folder, spooled, in_xet):
        """hf_xet retries for minutes; nobody waits for it, and nothing is left."""
        del in_xet
        source, files = spooled
        with closing(socket.create_server(("127.0.0.1", 0))) as deaf:
            hub.cas_url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
            stopper = threading.Timer(0.5, source.stop)
            stopper.start()
            started = time.monotonic()
            with pytest.raises(NetworkGaveUp):
                next(source.chunks(files["w.safetensors"]))
            stopper.join()
        assert (time.monotonic() - started < 3, held(folder), list(folder.iterdir())) == (True, [], [])


def test_gated_repository(hub, folder):
    """Is refused as ever."""
    del folder
    hub.repositories["org/m"] = Repository(gated=True)
    hub.commit("org/m", FILES)
    source = open_source("org/m", spool=True)
    file = next(file for file in listing(source).files if file.path == "w.safetensors")
    with pytest.raises(Exception, match="the repository is gated"):
        next(source.chunks(file))
