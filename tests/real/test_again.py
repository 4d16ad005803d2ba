"""What a real registry has already is not sent again: its own access log says so."""

import json

import pytest

from tests.real.models import SHARDS, sparse_weights, write

pytestmark = pytest.mark.real


@pytest.fixture
def folder(model):
    """Have a model with a layer for each shard and one for the small files."""
    for shard in SHARDS:
        sparse_weights(model / shard, 64 << 20)
    return model


@pytest.fixture
def push(invoke, plain, request):
    """Give a function that pushes a folder to a repository of this test and returns what `-o json` said."""
    repository = f"again/{request.node.name.replace('_', '-')}"

    def push(folder, tag="1"):
        image = f"{plain.host}/{repository}:{tag}"
        done = invoke("push", folder, image, "--plain-http", "-q", "-o", "json")
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    return push


@pytest.fixture
def sent(plain, push):
    """Give a function that pushes and returns what was said, and what went to the registry as blobs."""

    def sent(folder, tag="1"):
        before = len(plain.requests())
        said = push(folder, tag)
        return said, [(method, path) for method, path, _ in plain.requests()[before:] if _carries_a_blob(method, path)]

    return sent


def _carries_a_blob(method: str, path: str) -> bool:
    return method == "PATCH" or (method == "PUT" and "/blobs/" in path)


def outcomes(said):
    return [layer["outcome"] for layer in said["layers"]]


class TestSecondPush:
    def test_first_sends_everything(self, sent, folder):
        """Each layer and the config, once: base, small files, two shards."""
        said, blobs = sent(folder)
        assert outcomes(said) == ["sent"] * 4
        assert said["bytesSent"] == said["bytes"]
        assert sum(method == "PUT" for method, _ in blobs) == 5

    def test_same_tag(self, push, sent, folder):
        """Nothing is sent, and the image is the same."""
        before = push(folder)
        said, blobs = sent(folder)
        assert (said["digest"], outcomes(said), said["bytesSent"], blobs) == (before["digest"], ["exists"] * 4, 0, [])

    def test_other_tag(self, push, sent, folder, crane):
        """Nothing is sent, and both tags name the same image."""
        before = push(folder, "1")
        said, blobs = sent(folder, "2")
        assert (said["digest"], outcomes(said), said["bytesSent"], blobs) == (before["digest"], ["exists"] * 4, 0, [])
        image = before["image"].removesuffix(":1")
        assert crane("ls", image).decode().split() == ["1", "2"]
        assert crane("manifest", f"{image}:1") == crane("manifest", f"{image}:2")

    def test_one_shard_changed(self, push, sent, folder):
        """Its layer and the config are sent, and nothing else."""
        push(folder)
        with (folder / SHARDS[1]).open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\1")
        said, blobs = sent(folder)
        assert outcomes(said) == ["exists", "exists", "exists", "sent"]
        assert said["bytesSent"] == said["layers"][-1]["bytes"]
        assert sum(method == "PUT" for method, _ in blobs) == 2

    def test_small_file_changed(self, push, sent, folder):
        """The weights stay where they are."""
        push(folder)
        write(folder, {"config.json": b"{}"})
        said, _ = sent(folder)
        assert outcomes(said) == ["exists", "sent", "exists", "exists"]
