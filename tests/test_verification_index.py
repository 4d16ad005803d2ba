"""Tests of verifying an index: every image of it."""

import json

import pytest

from kubectl_modelcar.image import MANIFEST_TYPE, digest_of
from tests.image.trees import tar_of
from tests.puller.images import INDEX, Layer
from tests.verified import MODELPACK, TREE, Image, layer, verified


class TestIndex:
    """Several images under one name."""

    def put(self, registry, **second):
        """Put an index of two images that share the model's layer; return the digests."""
        first = Image((layer(TREE),), config={"architecture": "amd64"}).put(registry)
        other = Image((layer(TREE),), config={"architecture": "arm64"}).put(registry)
        entries = [
            {
                "mediaType": MANIFEST_TYPE,
                "digest": digest,
                "size": len(registry.manifests[digest][1]),
                "platform": {"os": "linux", "architecture": name},
            }
            for digest, name in ((first, "amd64"), (other, "arm64"))
        ]
        entries[1].update(second)
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        return registry.add_manifest("org/m", index, INDEX, "1"), first, other

    @pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
    def test_each_image(self, registry, deep):
        """What they share is looked at once."""
        top, first, other = self.put(registry)
        seen = verified(registry, deep=deep)
        assert (seen.digest, seen.problems) == (top, ())
        assert [(one.digest, one.platform) for one in seen.images] == [(first, "linux/amd64"), (other, "linux/arm64")]
        shared = digest_of(tar_of(TREE))
        assert len(registry.requests("HEAD", shared)) == 1
        assert len(registry.requests("GET", shared)) == int(deep)

    def test_an_image_that_is_not_there(self, registry):
        """It is a finding; the other one is verified all the same."""
        _, _, other = self.put(registry)
        registry.repositories["org/m"].discard(other)
        seen = verified(registry, deep=False)
        assert len(seen.problems) == 1
        assert other in seen.problems[0]
        assert [bool(one.consumers) for one in seen.images] == [True, False]

    def test_an_entry_of_another_size(self, registry):
        """The index says how large a manifest is."""
        _, _, other = self.put(registry, size=7)
        size = len(registry.manifests[other][1])
        assert verified(registry, deep=False).problems == (f"the manifest {other} has {size} bytes; the index says 7",)

    def test_an_attestation(self, registry):
        """Holds no model, and need not; its blobs are there."""
        note = Image((Layer(b"{}", "application/vnd.in-toto+json"),), config_type=MODELPACK).put(registry)
        self.put(
            registry,
            digest=note,
            size=len(registry.manifests[note][1]),
            platform={"os": "unknown", "architecture": "unknown"},
        )
        seen = verified(registry, deep=True)
        assert (seen.problems, seen.images[1].consumers) == ((), ())

    @pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
    def test_an_index_in_the_index(self, registry, deep):
        """It is a finding, told by its own digest; the image that it leads to is verified all the same."""
        inner, first, other = self.put(registry)
        size = len(registry.manifests[inner][1])
        outer = {"mediaType": INDEX, "digest": inner, "size": size}
        entry = {"mediaType": MANIFEST_TYPE, "digest": first, "size": len(registry.manifests[first][1])}
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [outer, entry]}).encode()
        registry.add_manifest("org/m", index, INDEX, "1")
        seen = verified(registry, deep=deep)
        assert seen.problems == (f"{inner} is an index in an index, which not every consumer follows",)
        assert [one.digest for one in seen.images] == [inner, first]
        assert {first, other} & set(seen.images[0].blobs)

    def test_no_image(self, registry):
        """Is a problem, too."""
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
        top = registry.add_manifest("org/m", index, INDEX, "1")
        assert verified(registry, deep=False).problems == (f"the index {top} names no image",)
