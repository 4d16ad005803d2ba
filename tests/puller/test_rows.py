"""Rows P1 to P8 and P10 of the fault matrix, with its figures; row P9 is test_hostile_layers.py."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.puller.images import INDEX, RAW, REPOSITORY, Layer, index, manifest, ours, put, tree

PULLER = Path(puller.__file__)
KILLS = 30

WEIGHTS = bytes(range(256)) * (12 << 10)  # 3 MiB
MODEL = {"config.json": b"{}", "a/w.safetensors": WEIGHTS, "b.safetensors": b"b" * (2 << 20), "c.safetensors": WEIGHTS}
LAYERS = {path: ours({path: data}) for path, data in MODEL.items()}
LAYER = LAYERS["a/w.safetensors"]
SIZE = len(LAYER.data)
BLOB = rf"/blobs/{digest_of(LAYER.data)}"


class Space(NamedTuple):
    """What `os.statvfs` says of free space: blocks, and bytes of each."""

    f_bavail: int
    f_frsize: int


@pytest.fixture
def image(registry) -> str:
    """Put the model into the registry, a layer a file; return its digest."""
    return put(registry, *LAYERS.values())


def command(registry: FakeRegistry, reference: str, volume: Path, *more: str) -> list[str]:
    """Return how a pod runs the puller, for a reference ":TAG" or "@DIGEST" of the repository."""
    arguments = [f"--reference={registry.host}/{REPOSITORY}{reference}", f"--volume={volume}", "--plain-http", *more]
    return [sys.executable, "-I", str(PULLER), *arguments]


def run(registry: FakeRegistry, reference: str, volume: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the puller as a process to its end."""
    called = command(registry, reference, volume, *more)
    return subprocess.run(called, capture_output=True, text=True, timeout=60, check=False)


def files(folder: Path) -> dict[str, bytes]:
    """Return a model's files, without the puller's mark."""
    return {path: data for path, data in tree(folder).items() if path != ".complete"}


def fetched(registry: FakeRegistry) -> list[str]:
    """Return which layers were asked for, by their file."""
    names = {digest_of(layer.data): path for path, layer in LAYERS.items()}
    return sorted(names[request.path.rpartition("/")[2]] for request in registry.requests(path="/blobs/"))


class TestTheWay:
    """P1, P2, P6: what happens to bytes on their way."""

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    @pytest.mark.parametrize("at", [0, 1, 512, SIZE // 2, SIZE - 1])
    def test_p1_reset_in_mid_blob_goes_on_by_range(self, registry, source, tmp_path, at, reset):
        """No byte is sent twice but what was on its way at a reset."""
        digest = put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, cut_after=at, reset=reset))
        assert files(puller.pull(source(), digest, tmp_path)) == {"a/w.safetensors": WEIGHTS}
        first, second = registry.requests("GET", BLOB)
        start = int(second.headers.get("range", "bytes=0-")[6:-1])
        assert (first.headers.get("range"), start <= at, second.sent) == (None, True, SIZE - start)
        assert reset or start == at

    @pytest.mark.parametrize("at", [10, 600, SIZE // 2, SIZE - 1], ids=["header", "first", "middle", "padding"])
    @pytest.mark.parametrize("to", ["volume", "folder"])
    def test_p2_a_corrupt_blob_is_never_visible(self, registry, source, tmp_path, at, to):
        """A flipped bit is found wherever it is: the digest is of all bytes. Nothing of the layer is left."""
        digest = put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, corrupt_at=at, times=-1))
        doors = {
            "volume": lambda: puller.pull(source(), digest, tmp_path),
            "folder": lambda: puller.unpack(source(), puller.resolve(source(), digest), tmp_path),
        }
        with pytest.raises(puller.PullError) as caught:
            doors[to]()
        assert (caught.value.exit_code, files(tmp_path)) == (6, {".lock": b""} if to == "volume" else {})

    def test_p6_a_stall_ends_at_the_idle_limit_and_goes_on(self, registry, source, tmp_path):
        """Silence longer than the limit is a cut; one that never ends is exit code 5 after six of them."""
        digest = put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, stall_after=1000))
        started = time.monotonic()
        assert files(puller.pull(source(timeout=0.3), digest, tmp_path / "once")) == {"a/w.safetensors": WEIGHTS}
        assert 0.3 <= time.monotonic() - started < 5
        registry.faults.append(Fault(path=BLOB, stall_after=0, times=-1))
        with pytest.raises(puller.PullError) as caught:
            puller.pull(source(timeout=0.1), digest, tmp_path / "for ever")
        assert ("6 times in a row" in caught.value.message, caught.value.exit_code) == (True, 5)


class TestKilled:
    """P3: a pod ends at any moment."""

    @pytest.mark.parametrize("seed", range(KILLS))
    def test_p3_a_kill_at_a_random_moment_is_survived(self, image, registry, tmp_path, seed):
        """The next run finishes, what was verified is not fetched again, and no half model shows."""
        moment = random.Random(seed).uniform(0, 0.15)  # noqa: S311 (reproducible)
        with subprocess.Popen(command(registry, f"@{image}", tmp_path), stderr=subprocess.DEVNULL) as process:
            while not registry.log:
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(moment)
            process.kill()
        model, work = tmp_path / image[7:], tmp_path / f".partial-{image[7:]}"
        complete = (model / ".complete").exists()
        assert not complete or files(model) == MODEL
        marks = [path.read_text() for path in (work / ".done").glob("*[0-9]")] if work.exists() else []
        verified = [json.loads(mark)["files"][0][0] for mark in marks]
        registry.log.clear()
        done = run(registry, f"@{image}", tmp_path)
        assert (done.returncode, files(model)) == (0, MODEL), done.stderr
        assert set(fetched(registry)) == (set() if complete else set(MODEL) - set(verified))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", image[7:]]

    def test_p3_a_kill_in_mid_layer_costs_that_layer(self, image, registry, tmp_path):
        """The layers before it are not fetched again."""
        registry.faults.append(Fault(path=digest_of(LAYERS["b.safetensors"].data), stall_after=1 << 20))
        called = command(registry, f"@{image}", tmp_path, "--jobs=1")
        with subprocess.Popen(called, stderr=subprocess.DEVNULL) as process:
            while "b.safetensors" not in fetched(registry):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert not (tmp_path / image[7:]).exists()
        registry.log.clear()
        assert run(registry, f"@{image}", tmp_path).returncode == 0
        assert (files(tmp_path / image[7:]), fetched(registry)) == (MODEL, ["b.safetensors", "c.safetensors"])

    def test_p3_the_marker_is_last(self, image, source, tmp_path, monkeypatch):
        """Files are synced, then named, then their folders are synced; the same for the marker after all of them."""
        done: list[tuple[str, str]] = []

        def noting(verb, call):
            def noted(*arguments):
                target = str(Path(f"/proc/self/fd/{arguments[0]}").readlink()) if verb == "sync" else str(arguments[1])
                done.append((verb, target.removeprefix(str(tmp_path)).replace(image[7:], "HEX")))
                call(*arguments)

            return noted

        for name, verb in {"fsync": "sync", "replace": "name", "rename": "name"}.items():
            monkeypatch.setattr(os, name, noting(verb, getattr(os, name)))
        puller.pull(source(), image, tmp_path, jobs=1)
        synced = [path for verb, path in done if verb == "sync"]
        assert {f"/.partial-HEX/.layers/{n}/{path}" for n, path in enumerate(MODEL)} <= set(synced)
        named = done.index(("name", "/HEX"))
        assert max(n for n, (_, path) in enumerate(done) if "/.layers/" in path or "/model" in path) < named
        assert done[named:] == [
            ("name", "/HEX"),
            ("sync", ""),
            ("sync", "/HEX/.complete.partial"),
            ("name", "/HEX/.complete"),
            ("sync", "/HEX"),
        ]

    def test_p3_a_kill_after_the_marker_leaves_nothing_behind(self, image, registry, tmp_path):
        """The next run removes the marks of the layers, and asks nobody."""
        assert run(registry, f"@{image}", tmp_path).returncode == 0
        (tmp_path / f".partial-{image[7:]}" / ".done").mkdir(parents=True)
        registry.log.clear()
        assert run(registry, f"@{image}", tmp_path).returncode == 0
        assert (sorted(path.name for path in tmp_path.iterdir()), registry.log) == ([".lock", image[7:]], [])


class TestAgain:
    """P4, P7: a pod starts again, on the volume as it left it."""

    def test_p4_a_complete_model_costs_one_manifest_request_at_most(self, image, registry, source, tmp_path):
        """A digest no request, a tag one; no byte of a blob; the same for a process of its own."""
        puller.pull(source(), "v1", tmp_path)
        registry.log.clear()
        assert puller.pull(source(), image, tmp_path) == tmp_path / image[7:]
        assert run(registry, f"@{image}", tmp_path).stderr == "puller: already complete\n"
        assert registry.log == []
        puller.pull(source(), "v1", tmp_path)
        assert run(registry, ":v1", tmp_path).returncode == 0
        assert [request.path for request in registry.log] == ["/v2/org/model/manifests/v1"] * 2

    def test_p7_a_moved_tag_does_not_move_a_pinned_model(self, image, registry, tmp_path):
        """A digest is that digest, before and after; a tag that moved brings its new image under another name."""
        assert run(registry, f":v1@{image}", tmp_path).returncode == 0
        moved = put(registry, ours({"config.json": b"[]"}))
        registry.log.clear()
        assert run(registry, f":v1@{image}", tmp_path).returncode == 0
        assert (registry.log, files(tmp_path / image[7:])) == ([], MODEL)
        assert run(registry, ":v1", tmp_path).returncode == 0
        assert files(tmp_path / moved[7:]) == {"config.json": b"[]"}

    def test_p7_a_pinned_image_that_is_gone_is_an_error(self, image, registry, tmp_path):
        """What the tag names now is not taken in its place."""
        moved = put(registry, ours({"config.json": b"[]"}))
        registry.repositories[REPOSITORY].discard(image)
        done = run(registry, f":v1@{image}", tmp_path)
        assert (done.returncode, image in done.stderr, (tmp_path / moved[7:]).exists()) == (4, True, False)


UNKNOWN = Layer(b"?" * 600, "application/vnd.in-toto+json")
NO_MODELS = {
    "a layer without a title": (Layer(b"w" * 600, RAW), 4),
    "an unknown media type": (UNKNOWN, 4),
    "a tar of programs": (Layer(ours({}).data), 4),
    "zstd": (Layer(b"\x28\xb5\x2f\xfd" + bytes(600), "application/vnd.oci.image.layer.v1.tar+zstd"), 4),
}


class TestNoModel:
    """P5, P8: what cannot be is said before, and never with exit code 0."""

    def test_p5_a_short_volume_is_refused_before_the_first_byte(self, image, registry, source, tmp_path, monkeypatch):
        """Need and have are in the message; the need is the sum of the layers."""
        monkeypatch.setattr(os, "statvfs", lambda _: Space(8, 1 << 20))
        with pytest.raises(puller.PullError) as caught:
            puller.pull(source(), image, tmp_path)
        need = sum(len(layer.data) for layer in LAYERS.values()) / 1e6
        assert caught.value.message == f"writing to {tmp_path}: {need:.1f} MB are needed and 8.4 MB are free"
        assert caught.value.hint == "free some space there, or use a larger volume"
        assert (caught.value.exit_code, fetched(registry)) == (7, [])

    @pytest.mark.parametrize(("layer", "code"), NO_MODELS.values(), ids=NO_MODELS)
    def test_p8_an_image_without_a_model_is_an_error(self, registry, tmp_path, layer, code):
        """An empty folder and exit code 0 would let the server say it much later, and again at each restart."""
        digest = put(registry, layer)
        done = run(registry, f"@{digest}", tmp_path)
        assert (done.returncode, "error: " in done.stderr, files(tmp_path)) == (code, True, {".lock": b""})

    def test_p8_an_index_is_followed_and_unknown_layers_are_left(self, registry, tmp_path):
        """An index brings its image's model; one without an image is an error."""
        put(registry, LAYER, UNKNOWN)
        raw = manifest(LAYER, UNKNOWN)
        good = registry.add_manifest(REPOSITORY, index((raw, "linux/arm64")), INDEX, "v2")
        bad = registry.add_manifest(REPOSITORY, index((raw, "unknown/unknown")), INDEX, "v3")
        assert run(registry, f"@{good}", tmp_path).returncode == 0
        assert files(tmp_path / good[7:]) == {"a/w.safetensors": WEIGHTS}
        done = run(registry, f"@{bad}", tmp_path)
        assert (done.returncode, (tmp_path / bad[7:]).exists()) == (4, False)


class TestTwoPods:
    """P10: one volume that two pods share."""

    def test_p10_two_processes_make_one_copy(self, image, registry, tmp_path):
        """The second waits for the first, and finds the model there; no byte moves twice."""
        with (
            subprocess.Popen(command(registry, f"@{image}", tmp_path), stderr=subprocess.PIPE, text=True) as one,
            subprocess.Popen(command(registry, f"@{image}", tmp_path), stderr=subprocess.PIPE, text=True) as other,
        ):
            said = [process.communicate(timeout=60)[1] for process in (one, other)]
        assert (one.returncode, other.returncode) == (0, 0), said
        assert fetched(registry) == sorted(MODEL)
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", image[7:]]
        assert files(tmp_path / image[7:]) == MODEL

    def test_p10_the_first_is_killed_and_the_second_takes_over(self, image, registry, tmp_path):
        """A lock dies with its process."""
        registry.faults.append(Fault(path=BLOB, stall_after=1000))
        with subprocess.Popen(command(registry, f"@{image}", tmp_path), stderr=subprocess.DEVNULL) as one:
            while not registry.requests(path=BLOB):
                time.sleep(0.01)
            called = command(registry, f"@{image}", tmp_path)
            with subprocess.Popen(called, stderr=subprocess.PIPE, text=True) as other:
                assert "waiting for another pull" in other.stderr.readline() + other.stderr.readline()
                one.kill()
                other.communicate(timeout=60)
        assert (other.returncode, files(tmp_path / image[7:])) == (0, MODEL)
