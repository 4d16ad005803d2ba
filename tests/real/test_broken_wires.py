"""Between the command line and a real registry, toxiproxy: narrow, slow and broken connections cost little."""

import threading
import time

import pytest

from tests.real.models import tree, write
from tests.real.registry import serve
from tests.source.weights import weights

pytestmark = pytest.mark.real

MIB = 1 << 20
SIZE = 40 * MIB
FILES = {"config.json": b'{"model_type": "llama"}\n', "model.safetensors": weights(SIZE)}
WASTED = 16 * MIB
"""What a cut may cost where the registry keeps what arrived."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a model of one large file whose bytes do not repeat."""
    return write(tmp_path_factory.mktemp("large") / "model", FILES)


@pytest.fixture(scope="module")
def registries(real_tool, tmp_path_factory):
    """Give a function that runs a registry once for all tests here: "v3" or "2.8"."""
    running, started = {}, []

    def find(kind):
        if kind not in running:
            program = real_tool({"v3": "registry", "2.8": "docker-registry"}[kind])
            started.append(serve(program, tmp_path_factory.mktemp("wires")))
            running[kind] = started[-1].__enter__()
        return running[kind]

    yield find
    for one in started:
        one.__exit__(None, None, None)


@pytest.fixture(scope="module")
def push(modelcar, folder, tmp_path_factory):
    """Give a function that pushes the model to a repository and returns its digest."""

    def push(repository):
        image = f"{repository}/model:1"
        done = modelcar(tmp_path_factory.mktemp("home"), "push", folder, image, "--plain-http", "-q", "--base", "none")
        assert (done.code, done.err) == (0, "")
        return done.out.strip().partition("@")[2]

    return push


@pytest.fixture(scope="module")
def digest(registries, push):
    """Push the model where nothing breaks; return its digest."""
    return push(f"{registries('v3').host}/whole")


@pytest.fixture
def wire(registries, toxiproxy):
    """Have a wire to registry 3."""
    with toxiproxy.wire(registries("v3").host) as wire:
        yield wire


class Saboteur(threading.Thread):
    """Spoils a wire once, when so many bytes of a blob have arrived, for as long as it takes to be noticed."""

    def __init__(self, registry, wire, arrived, kind, **attributes):
        super().__init__(daemon=True)
        self.registry, self.wire, self.arrived, self.toxic = registry, wire, arrived, (kind, attributes)
        self.before, self.struck = registry.uploaded(), 0

    def run(self):
        ends = time.monotonic() + 60
        while time.monotonic() < ends and not self.struck:
            arrived = self.registry.uploaded() - self.before
            if arrived >= self.arrived:
                kind, attributes = self.toxic
                toxic = self.wire.poison(kind, **attributes)
                time.sleep(0.2)
                self.wire.cure(toxic)
                self.struck = arrived
            time.sleep(0.005)


class TestPush:
    """A model goes over the wire, and is the same image."""

    @pytest.mark.parametrize(
        ("kind", "attributes"),
        [
            ("latency", {"latency": 20, "jitter": 10}),
            ("bandwidth", {"rate": 40_000}),
            ("slicer", {"average_size": 9000}),
        ],
        ids=["latency", "bandwidth", "slicer"],
    )
    def test_slow(self, wire, push, digest, kind, attributes):
        """Late, narrow, or in small pieces: nothing is sent twice."""
        wire.poison(kind, **attributes)
        assert push(f"{wire.host}/{kind}") == digest
        assert SIZE < wire.carried() < SIZE + MIB

    @pytest.mark.parametrize(
        ("toxic", "attributes"), [("reset_peer", {"timeout": 0}), ("timeout", {"timeout": 50})], ids=["reset", "end"]
    )
    @pytest.mark.parametrize(("kind", "wasted"), [("v3", WASTED), ("2.8", SIZE)])
    def test_cut_in_mid_blob(self, registries, toxiproxy, push, digest, toxic, attributes, kind, wasted):  # noqa: PLR0917
        """Once, after three quarters: what 3 has is not sent again, and 2.8 gets the blob from its start."""
        registry = registries(kind)
        with toxiproxy.wire(registry.host) as wire:
            wire.poison("bandwidth", rate=30_000)
            saboteur = Saboteur(registry, wire, SIZE * 3 // 4, toxic, **attributes)
            saboteur.start()
            assert push(f"{wire.host}/{toxic.replace('_', '-')}") == digest
            saboteur.join()
            assert saboteur.struck
            assert SIZE < wire.carried() < SIZE + wasted + MIB

    def test_cut_again_and_again(self, wire, push, digest):
        """No connection lives for longer than 12 MiB: each brings the upload on."""
        wire.poison("limit_data", bytes=12 * MIB)
        assert push(f"{wire.host}/limited") == digest
        assert SIZE < wire.carried() < SIZE + WASTED


class TestPull:
    """A model comes over the wire, and every byte is right."""

    @pytest.fixture
    def pulled(self, wire, modelcar, digest, tmp_path):
        """Give a function that pulls over the wire and returns the model's files."""

        def pulled():
            image = f"{wire.host}/whole/model@{digest}"
            done = modelcar(tmp_path, "pull", image, tmp_path / "m", "--plain-http", "-q")
            assert (done.code, done.err) == (0, "")
            return tree(tmp_path / "m")

        return pulled

    def test_slow(self, wire, pulled):
        """Late and in small pieces."""
        wire.poison("latency", stream="downstream", latency=20, jitter=10)
        wire.poison("slicer", stream="downstream", average_size=9000)
        assert pulled() == FILES

    def test_cut_again_and_again(self, wire, pulled):
        """No connection lives for longer than 12 MiB: what is there is not fetched again."""
        wire.poison("limit_data", stream="downstream", bytes=12 * MIB)
        assert pulled() == FILES
        assert SIZE < wire.carried("downstream") < SIZE + MIB
