"""What is on the volume when: nothing, parts, a whole model, somebody else."""

import errno
import fcntl
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import Fault, digest_of
from tests.puller.images import INDEX, REPOSITORY, index, manifest, ours, put
from tests.puller.volumes import CONFIG, FIRST, MODEL, SECOND, blobs, model

PULLER = Path(puller.__file__)


@pytest.fixture
def image(registry) -> str:
    """Put a model of three layers into the registry; return its digest."""
    return put(registry, CONFIG, FIRST, SECOND)


class Events:
    """A watcher that notes what it is told; amounts are summed."""

    def __init__(self) -> None:
        self.begun: dict[str, int] = {}
        self.came: dict[str, int] = {}
        self.ended: dict[str, str] = {}

    def begin(self, name, total):
        self.begun[name] = total

    def advance(self, name, amount):
        self.came[name] = self.came.get(name, 0) + amount

    def end(self, name, outcome):
        self.ended[name] = outcome


class TestPull:
    """From a registry to <volume>/<hex>."""

    @pytest.mark.parametrize("jobs", [1, 4])
    def test_the_model_is_where_the_chart_looks(self, image, source, tmp_path, jobs):
        """In a folder that is named by the digest, the model's files at its top."""
        folder = puller.pull(source(), image, tmp_path / "volume", jobs=jobs)
        assert folder == tmp_path / "volume" / image[7:]
        assert model(folder) == MODEL
        assert sorted(path.name for path in (tmp_path / "volume").iterdir()) == [".lock", image[7:]]

    def test_the_watcher_sees_every_byte(self, image, source, tmp_path):
        """By layer, under the name of its file."""
        events = Events()
        puller.pull(source(), image, tmp_path, watch=events)
        sizes = {"config.json": 10240, "a.safetensors": len(FIRST.data), "sub/b.safetensors": len(SECOND.data)}
        assert (events.begun, events.came) == (sizes, sizes)
        assert events.ended == dict.fromkeys(sizes, "received")

    def test_a_complete_model_on_a_read_only_volume_will_do(self, image, source, tmp_path, monkeypatch):
        """Nothing is written, not even a lock."""
        puller.pull(source(), image, tmp_path)
        monkeypatch.setattr(os, "open", lambda *_a, **_k: pytest.fail("something was opened for writing"))
        assert puller.pull(source(), image, tmp_path) == tmp_path / image[7:]

    def test_an_index_s_digest_names_the_folder(self, registry, source, tmp_path):
        """The chart knows only the digest that it was given."""
        put(registry, CONFIG)
        raw = manifest(CONFIG)
        top = registry.add_manifest(REPOSITORY, index((raw, "linux/amd64")), INDEX, "v2")
        assert puller.pull(source(), top, tmp_path) == tmp_path / top[7:]
        before = len(registry.log)
        puller.pull(source(), top, tmp_path)
        assert len(registry.log) == before

    def test_another_version_is_pulled_beside_it(self, image, registry, source, tmp_path):
        """The one that serves stays."""
        puller.pull(source(), image, tmp_path)
        other = put(registry, ours({"config.json": b"[]"}), tag="v2")
        puller.pull(source(), other, tmp_path)
        assert (model(tmp_path / image[7:]), model(tmp_path / other[7:])) == (MODEL, {"config.json": b"[]"})

    def test_of_old_versions_the_last_one_stays(self, registry, source, tmp_path):
        """A claim holds two: the third version finds room, and one way back is kept."""
        versions = [put(registry, ours({"config.json": str(number).encode()})) for number in range(3)]
        folders = [puller.pull(source(), version, tmp_path) for version in versions]
        kept = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
        assert kept == {folders[1].name, folders[2].name}

    def test_what_is_not_ours_is_not_pruned(self, image, source, tmp_path):
        """Only folders that carry the puller's mark and name are its to remove."""
        for name in ("notes", "f" * 64):
            (tmp_path / name).mkdir()
        (tmp_path / "notes" / ".complete").write_text("mine")
        puller.pull(source(), image, tmp_path)
        assert {"notes", "f" * 64} <= {path.name for path in tmp_path.iterdir()}

    def test_files_and_folders_have_plain_modes(self, image, source, tmp_path):
        """Whatever uid serves them can read them."""
        old = os.umask(0)
        try:
            folder = puller.pull(source(), image, tmp_path / "volume")
        finally:
            os.umask(old)
        modes = {
            path.name: oct(path.stat().st_mode & 0o7777) for path in (folder, folder / "sub", folder / "config.json")
        }
        assert modes == {image[7:]: "0o755", "sub": "0o755", "config.json": "0o644"}


class TestInterrupted:
    """What a killed pull leaves, and what the next one makes of it."""

    def test_verified_layers_are_kept(self, image, registry, source, tmp_path):
        """Only what is missing is fetched again."""
        fault = Fault(path=digest_of(SECOND.data), status=404, times=-1)
        registry.faults.append(fault)
        with pytest.raises(puller.PullError):
            puller.pull(source(), image, tmp_path, jobs=1)
        assert not (tmp_path / image[7:]).exists()
        registry.faults.clear()
        registry.log.clear()
        events = Events()
        assert model(puller.pull(source(), image, tmp_path, watch=events)) == MODEL
        assert blobs(registry) == ["second"]
        assert events.ended == {"config.json": "exists", "a.safetensors": "exists", "sub/b.safetensors": "received"}

    def test_a_failure_with_nothing_verified_leaves_nothing(self, image, registry, source, tmp_path):
        """No empty folders pile up."""
        registry.faults.append(Fault(path="/blobs/", status=404, times=-1))
        with pytest.raises(puller.PullError):
            puller.pull(source(), image, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]

    @pytest.mark.parametrize(
        "moment", ["a layer is half", "a mark is half", "a file is lost", "files are moved", "it is renamed"]
    )
    def test_a_kill_at_any_moment_is_survived(self, image, registry, source, tmp_path, moment):
        """The folder as a killed process leaves it, at each step."""
        puller.pull(source(), image, tmp_path)
        whole, work = tmp_path / image[7:], tmp_path / f".partial-{image[7:]}"
        marks = work / ".done"
        shutil.copytree(whole, work / "model", ignore=shutil.ignore_patterns(".complete"))
        marks.mkdir()
        for place, layer, name in (
            (0, CONFIG, "config.json"),
            (1, FIRST, "a.safetensors"),
            (2, SECOND, "sub/b.safetensors"),
        ):
            files = [(name, len(MODEL[name]), None)]
            text = json.dumps({"layer": digest_of(layer.data), "files": files, "removed": []})
            (marks / str(place)).write_text(text)
        (work / ".layers/2/sub").mkdir(parents=True)
        expected = []
        if moment == "it is renamed":
            shutil.rmtree(work / "model")
            (whole / ".complete").unlink()
        else:
            shutil.rmtree(whole)
        if moment == "a file is lost":
            (work / "model/a.safetensors").unlink()
            expected = ["first"]
        if moment in ("a layer is half", "a mark is half"):
            (work / "model/sub/b.safetensors").unlink()
            (work / ".layers/2/sub/b.safetensors").write_bytes(b"b" * 100)
            (marks / "2").rename(marks / "2.partial")
            expected = ["second"]
        if moment == "a mark is half":
            (marks / "2").write_text('{"layer": ')
        registry.log.clear()
        assert model(puller.pull(source(), image, tmp_path)) == MODEL
        assert blobs(registry) == expected
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", image[7:]]

    @pytest.mark.parametrize(
        "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"short")], ids=["gone", "cut"]
    )
    def test_a_model_that_lost_a_file_is_pulled_again(self, image, source, tmp_path, damage):
        """The mark lists the files and their sizes."""
        folder = puller.pull(source(), image, tmp_path)
        damage(folder / "a.safetensors")
        assert model(puller.pull(source(), image, tmp_path)) == MODEL

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 7}', '{"files": []}', '{"files": [["config.json"]]}'])
    def test_a_mark_that_is_none_does_not_count(self, image, source, tmp_path, text):
        """The model is pulled again."""
        folder = puller.pull(source(), image, tmp_path)
        (folder / ".complete").write_text(text)
        assert model(puller.pull(source(), image, tmp_path)) == MODEL

    def test_parts_of_other_images_are_removed(self, image, source, tmp_path):
        """They would fill the volume, and nobody will go on with them."""
        (tmp_path / ".partial-0123").mkdir()
        (tmp_path / ".partial-0123/file").write_bytes(b"x")
        puller.pull(source(), image, tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", image[7:]]


class TestTwoPods:
    """One volume, several nodes or pods."""

    def test_who_waits_says_so(self, image, source, tmp_path):
        """A silent pod looks dead."""
        events = Events()
        with (tmp_path / ".lock").open("w") as held, ThreadPoolExecutor(1) as pool:
            fcntl.flock(held, fcntl.LOCK_EX)
            pulled = pool.submit(puller.pull, source(), image, tmp_path, watch=events)
            waiting = f"waiting for another pull to {tmp_path}"
            while waiting not in events.begun:
                time.sleep(0.01)
            fcntl.flock(held, fcntl.LOCK_UN)
            assert pulled.result() == tmp_path / image[7:]
        assert events.ended[waiting] == "exists"

    def test_a_volume_without_locks_will_do(self, image, source, tmp_path, monkeypatch):
        """Some network filesystems have none."""

        def unsupported(*_):
            raise OSError(errno.ENOTSUP, "not supported")

        monkeypatch.setattr(fcntl, "flock", unsupported)
        assert model(puller.pull(source(), image, tmp_path)) == MODEL


class Space(NamedTuple):
    """What `os.statvfs` says of free space: blocks, and bytes of each."""

    f_bavail: int
    f_frsize: int


class TestLocalFailures:
    """The disk's own refusals, in words, with exit code 7."""

    def test_what_is_there_already_needs_no_space(self, image, registry, source, tmp_path, monkeypatch):
        """A pull goes on where the first part has taken its share."""
        fault = Fault(path=digest_of(SECOND.data), status=404, times=-1)
        registry.faults.append(fault)
        with pytest.raises(puller.PullError):
            puller.pull(source(), image, tmp_path, jobs=1)
        fault.times = 0
        monkeypatch.setattr(os, "statvfs", lambda _: Space(3, 1 << 20))
        assert model(puller.pull(source(), image, tmp_path)) == MODEL

    def test_what_a_killed_pull_left_makes_room(self, image, source, tmp_path, monkeypatch):
        """Half a layer takes the space that the whole one needs; a volume has room for one copy."""
        half = tmp_path / f".partial-{image[7:]}" / ".layers" / "1"
        half.mkdir(parents=True)
        (half / "a.safetensors").write_bytes(b"a" * (1 << 20))
        capacity = sum(len(layer.data) for layer in (CONFIG, FIRST, SECOND)) * 102 // 100

        def statvfs(_):
            taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
            return Space(capacity - taken, 1)

        monkeypatch.setattr(os, "statvfs", statvfs)
        assert model(puller.pull(source(), image, tmp_path, jobs=1)) == MODEL

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=["full", "quota", "broken"])
    def test_a_write_that_fails_names_the_file(self, image, source, tmp_path, monkeypatch, code):
        """A volume may fill up under a pull."""

        def full(_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(puller.PullError) as caught:
            puller.pull(source(), image, tmp_path, jobs=1)
        path = tmp_path / f".partial-{image[7:]}" / ".layers/0/config.json"
        assert caught.value.message == f"writing to {path}: {os.strerror(code)}"
        assert caught.value.exit_code == 7
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]

    def test_a_volume_that_is_a_file_is_named(self, image, source, tmp_path):
        """A mount gone wrong."""
        (tmp_path / "volume").write_text("")
        with pytest.raises(puller.PullError) as caught:
            puller.pull(source(), image, tmp_path / "volume")
        assert f"{tmp_path / 'volume'}" in caught.value.message
        assert caught.value.exit_code == 7

    def test_a_volume_that_is_not_ours_is_named(self, image, source, tmp_path, monkeypatch):
        """The hint names fsGroup."""

        def denied(path, *_):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(Path, "mkdir", denied)  # root, whom tests may run as, is denied nothing
        with pytest.raises(puller.PullError) as caught:
            puller.pull(source(), image, tmp_path / "volume")
        assert caught.value.message == f"writing to {tmp_path / 'volume'}: Permission denied"
        assert ("fsGroup" in caught.value.hint, caught.value.exit_code) == (True, 7)
