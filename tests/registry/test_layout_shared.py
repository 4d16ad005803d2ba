"""Tests of a layout that somebody else has written to as well: a killed push, a full disk, another user, a server."""

import errno
import fcntl
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import Held
from tests.registry.layouts import CONFIG, NOBODY, everything, index, publish, target


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "layout"


class TestLeftovers:
    """Of pushes that were killed."""

    @pytest.mark.parametrize(("age", "stays"), [(86_300, True), (86_500, False)], ids=["of today", "of yesterday"])
    @pytest.mark.parametrize("place", ["blobs/sha256", "."], ids=["a blob", "the index"])
    def test_partial_file(self, folder, place, age, stays):
        """Is removed by the next push when it is a day old: a younger one may be being written."""
        publish(folder)
        before, left = everything(folder), folder / place / ".partial-x1y2"
        left.write_bytes(b"half a bl")
        os.utime(left, (time.time() - age,) * 2)
        target(folder)
        assert (left.exists(), len(everything(folder))) == (stays, len(before) + stays)


class TestStop:
    """^C."""

    def test_ends_the_reading_of_a_blob(self, folder):
        """A blob of 20 GB is read for a minute to tell whether it is whole."""
        publish(folder)
        made = target(folder)
        made.stop()
        with pytest.raises(LocalFailure) as caught:
            made.has_blob(CONFIG.digest)
        assert caught.value.message == f"looking for {CONFIG.digest} in {folder} was stopped"


class TestLock:
    """Pushes of several tags write one index.json, one after the other."""

    def test_a_layout_on_nfs(self, folder, monkeypatch):
        """Which locks for writing only what is open for writing (flock(2))."""

        def lock(file, how):
            if how == fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "Bad file descriptor")

        monkeypatch.setattr("kubectl_modelcar.registry.layout.fcntl.flock", lock)
        digest = publish(folder, "1")
        assert [entry["digest"] for entry in index(folder)["manifests"]] == [digest]

    def test_a_layout_that_others_made(self):
        """In a folder of all of us: its marker is theirs."""
        user = os.geteuid()
        with TemporaryDirectory() as shared:
            folder = Path(shared)
            publish(folder, "1", a="1")
            (folder / "oci-layout").chmod(0o444)
            for path in (folder, folder / "blobs", folder / "blobs" / "sha256"):
                path.chmod(0o777)
            if user == 0:
                os.seteuid(NOBODY)
            try:
                publish(folder, "2", a="2")
            finally:
                os.seteuid(user)
            assert target(folder).tags() == ("1", "2")


class TestDamage:
    """A disk that was full, a copy that was cut."""

    @pytest.mark.parametrize("damage", [b"", b"{]"], ids=["cut", "flipped"])
    def test_a_damaged_blob_is_not_there_and_is_replaced(self, folder, damage):
        """`exists` is said of whole blobs alone."""
        publish(folder)
        made = target(folder)
        (folder / "blobs" / "sha256" / CONFIG.digest.removeprefix("sha256:")).write_bytes(damage)
        before = made.has_blob(CONFIG.digest)
        made.upload(Held("config", CONFIG.data), CONFIG.digest)
        assert (before, made.has_blob(CONFIG.digest)) == (False, True)
