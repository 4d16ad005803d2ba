"""What the tests of volumes and folders share: a model of three layers, and what became of it."""

from pathlib import Path

from tests.fakes.registry import FakeRegistry, digest_of
from tests.puller.images import ours, tree

CONFIG = ours({"config.json": b"{}"})
FIRST = ours({"a.safetensors": b"a" * (2 << 20)})
SECOND = ours({"sub/b.safetensors": b"b" * (2 << 20)})
MODEL = {"config.json": b"{}", "a.safetensors": b"a" * (2 << 20), "sub/b.safetensors": b"b" * (2 << 20)}


def blobs(registry: FakeRegistry) -> list[str]:
    """Return which blobs were asked for, by layer."""
    names = {digest_of(layer.data): name for layer, name in ((CONFIG, "config"), (FIRST, "first"), (SECOND, "second"))}
    return sorted(names[request.path.rpartition("/")[2]] for request in registry.requests(path="/blobs/"))


def model(folder: Path) -> dict[str, bytes]:
    """Return a model's files, without the puller's mark."""
    return {path: data for path, data in tree(folder).items() if path != ".complete"}
