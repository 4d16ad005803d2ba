"""R25: a disk that is too small, or fills up."""

import shutil
from collections import namedtuple

import pytest

from tests.faults.program import environment_of, left_open, model, start

pytestmark = pytest.mark.real

SIZE = 300_000
QUIET = ("--plain-http", "--progress", "none", "--base", "none")
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024  as shutil has it


class TestR25Spool:
    """Where files of the Hub are put first."""

    @pytest.fixture
    def push(self, hub, registry, tmp_path):
        """Give a function that pushes a model of the Hub by way of a folder for temporary files."""
        folder = model(tmp_path / "model", 3, SIZE)
        hub.commit("org/m", {path.name: path.read_bytes() for path in folder.iterdir()})

        def push(temporary, *options):
            environment = environment_of(tmp_path / "home") | {"TMPDIR": str(temporary)}
            arguments = ("push", "org/m", f"{registry.host}/org/m:1", "--spool", *QUIET, *options)
            return start(tmp_path / "said", *arguments, **environment).wait()

        return push

    def test_r25_too_small(self, push, disk, registry):
        """What is needed and what is free is said before anything is downloaded; nothing is left or published."""
        place = disk("200k")
        done = push(place)
        error, hint = done.err.splitlines()
        assert (done.code, done.out) == (7, "")
        assert error.startswith("error: cannot spool model-0000")
        assert f" bytes are needed in {place} and " in error
        assert error.endswith(" are free")
        assert hint == "hint: set TMPDIR to a folder with more room, lower --jobs, or push without --spool"
        assert (list(place.iterdir()), registry.tags, left_open(registry)) == ([], {}, [])

    def test_r25_room_for_one(self, push, disk, registry):
        """A disk that holds one file at a time is large enough for one job."""
        place = disk("400k")
        done = push(place, "--jobs", 1)
        assert (done.code, done.err) == (0, "")
        assert (list(place.iterdir()), list(registry.tags)) == ([], ["org/m:1"])

    def test_r25_fills_up(self, invoke, hub, registry, disk, tmp_path, monkeypatch):  # noqa: PLR0917  by name
        """What others write meanwhile is found when it happens: the same exit code, and nothing left."""
        monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)
        monkeypatch.setattr("tempfile.tempdir", str(disk("200k")))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
        folder = model(tmp_path / "model", 3, SIZE)
        hub.commit("org/m", {path.name: path.read_bytes() for path in folder.iterdir()})
        done = invoke("push", "org/m", f"{registry.host}/org/m:1", "--spool", *QUIET)
        error, _ = done.err.splitlines()
        assert (done.code, error.endswith(f"{tmp_path}/disk is full")) == (7, True), error
        assert (list((tmp_path / "disk").iterdir()), registry.tags) == ([], {})


class TestR25Layout:
    """Where an image is written to a folder."""

    @pytest.fixture
    def push(self, tmp_path):
        """Give a function that pushes a model to a layout."""
        folder = model(tmp_path / "model", 3, SIZE)

        def push(layout):
            arguments = ("push", folder, f"oci:{layout}:1", "--progress", "none", "--base", "none", "--jobs", 1)
            return start(tmp_path / "said", *arguments, **environment_of(tmp_path / "home")).wait()

        return push

    def test_r25_too_small(self, push, disk):
        """What is needed and what is free is said before a layer is written; there is no image, and no half of one."""
        place = disk("700k")
        done = push(place / "layout")
        error, hint = done.err.splitlines()
        assert (done.code, done.out) == (7, "")
        assert error.startswith("error: cannot write model-00003-of-00003.safetensors to ")
        assert error.endswith(" are free")
        assert hint == "hint: check its permissions and free space"
        assert not (place / "layout" / "index.json").exists()
        assert list(place.rglob(".partial-*")) == []

    def test_r25_goes_on_with_more_room(self, push, disk):
        """What was written before stays, and is not written again."""
        place = disk("700k")
        assert push(place / "layout").code == 7
        before = {path.name: path.stat().st_ino for path in (place / "layout" / "blobs" / "sha256").iterdir()}
        disk("2m")
        done = push(place / "layout")
        after = {path.name: path.stat().st_ino for path in (place / "layout" / "blobs" / "sha256").iterdir()}
        assert (done.code, done.err) == (0, "")
        assert len(before) == 3
        assert before.items() <= after.items()

    def test_r25_fills_up(self, invoke, disk, tmp_path, monkeypatch):
        """What others write meanwhile is found when it happens."""
        monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
        place = disk("700k")
        done = invoke("push", model(tmp_path / "model", 3, SIZE), f"oci:{place}/layout:1", *QUIET[1:])
        assert done.code == 7
        assert "No space left on device" in done.err
        assert list(place.rglob(".partial-*")) == []
        assert not (place / "layout" / "index.json").exists()


class TestR25Cache:
    def test_r25_cache_is_full(self, registry, disk, tmp_path):
        """A memory that cannot be written costs time only."""
        place = disk("16k")
        (place / "filled").write_bytes(bytes(12_288))
        folder = model(tmp_path / "model", 3, SIZE)
        environment = environment_of(tmp_path / "home") | {"XDG_CACHE_HOME": str(place)}
        done = start(tmp_path / "said", "push", folder, f"{registry.host}/org/m:1", *QUIET, **environment).wait()
        assert (done.code, done.err, list(registry.tags)) == (0, "", ["org/m:1"])
