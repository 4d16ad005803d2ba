"""Tests of pushing what is there already, or was begun: nothing is sent twice."""

import pytest

from kubectl_modelcar.errors import (
    NotAuthorised,
)
from kubectl_modelcar.source import FolderSource, open_source
from tests.fakes.registry import Fault
from tests.push.pushing import FILES, SHARDS, SIZE, Counting, push_to, sent
from tests.source.weights import weights


class TestAgain:
    """A push of what is there already."""

    def test_same_tag(self, registry, folder):
        """Sends no layer and no config, reads each weight once at most, and publishes the same."""
        first = push_to(registry, folder)
        registry.log.clear()
        source = Counting(FolderSource(folder))
        again = push_to(registry, source)
        manifest = len(registry.manifests[again.digest][1])
        assert (again.digest, again.sent_bytes, sent(registry)) == (first.digest, 0, manifest)
        assert source.whole <= SIZE

    def test_other_tag(self, registry, folder):
        """The small layer is there, so the rest is looked for before it is sent."""
        push_to(registry, folder)
        again = push_to(registry, folder, tag="2")
        assert again.sent_bytes == 0

    def test_hub(self, registry, hub):
        """Of a commit that is there no weight is read, but for the headers."""
        hub.commit("org/m", FILES)
        push_to(registry, open_source("org/m"))
        hub.cdn_log.clear()
        again = push_to(registry, open_source("org/m"))
        assert (again.sent_bytes, sum(request.sent for request in hub.cdn_log) < 3 * 10_000) == (0, True)

    def test_hub_after_a_change_of_a_small_file(self, registry, hub):
        """The weights are remembered by their own digests."""
        hub.commit("org/m", FILES)
        push_to(registry, open_source("org/m"))
        hub.commit("org/m", {**FILES, "config.json": b'{"model_type":"qwen3"}'})
        hub.cdn_log.clear()
        again = push_to(registry, open_source("org/m"))
        assert [layer.sent for layer in again.layers] == [True, False, False, False]
        assert sum(request.sent for request in hub.cdn_log) < 3 * 10_000

    def test_hub_of_a_registry_that_lost_a_layer(self, registry, hub):
        """What it does not have is sent, whatever its manifest says."""
        hub.commit("org/m", FILES)
        first = push_to(registry, open_source("org/m"))
        lost = first.layers[2].descriptor.digest
        registry.repositories["org/m"].discard(lost)
        again = push_to(registry, open_source("org/m"))
        assert [layer.sent for layer in again.layers] == [False, False, True, False]
        assert lost in registry.repositories["org/m"]

    def test_small_file_changed(self, registry, folder):
        """Weights of a size that is there are looked for before they are sent."""
        push_to(registry, folder)
        (folder / "config.json").write_bytes(b'{"model_type":"qwen3"}')
        again = push_to(registry, folder)
        assert [layer.sent for layer in again.layers] == [True, False, False, False]

    def test_one_shard_changed(self, registry, folder):
        """One layer is sent."""
        push_to(registry, folder)
        (folder / SHARDS[1]).write_bytes(weights(200_001, seed=9))
        again = push_to(registry, folder)
        assert [layer.sent for layer in again.layers] == [False, False, True, False]

    def test_after_an_interruption(self, registry, folder):
        """Everything but the manifest got there: nothing of it is sent again."""
        registry.faults.append(Fault(method="PUT", path="/manifests/", status=403))
        with pytest.raises(NotAuthorised):
            push_to(registry, folder)
        again = push_to(registry, folder)
        assert ([layer.sent for layer in again.layers], list(registry.tags)) == ([False] * 4, ["org/m:1"])

    def test_after_an_interruption_in_between(self, registry, folder):
        """What got there stays."""
        registry.faults.append(Fault(method="PATCH", after=1, status=403))
        with pytest.raises(NotAuthorised):
            push_to(registry, folder, jobs=1)
        again = push_to(registry, folder, jobs=1)
        assert [layer.sent for layer in again.layers] == [False, False, True, True]

    def test_of_a_foreign_image(self, registry, folder):
        """The tag moves; what was there teaches nothing."""
        registry.add_manifest("org/m", b'{"layers": 7}', "application/x", "1")
        result = push_to(registry, folder)
        assert registry.tags["org/m:1"] == result.digest
