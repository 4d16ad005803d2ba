"""From a reference to an image manifest: digests, indexes, platforms, documents that lie."""

import json
import os

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import digest_of
from tests.puller.images import INDEX, MANIFEST, REPOSITORY, index, manifest, ours, put

MODEL = manifest(ours({"config.json": b"{}"}))
ARM = manifest(ours({"config.json": b"{ }"}))
ARTIFACT = manifest(ours({"config.json": b"{  }"}))


def serve(registry, *documents: bytes, top: bytes, media_type: str = INDEX) -> str:
    """Put the documents there, the last one under the tag v1; return its digest."""
    for raw in documents:
        registry.add_manifest(REPOSITORY, raw, MANIFEST)
    return registry.add_manifest(REPOSITORY, top, media_type, "v1")


class TestResolve:
    """The bytes decide, not what is said of them."""

    def test_a_tag_gives_the_manifest(self, registry, source):
        """Its digest, bytes and layers come back."""
        digest = put(registry, ours({"config.json": b"{}"}))
        found = puller.resolve(source(), "v1")
        assert (found.digest, found.raw, found.media_type) == (digest, MODEL, MANIFEST)
        assert [layer.size for layer in found.layers] == [10240]

    def test_a_digest_gives_the_manifest(self, registry, source):
        """And costs one request."""
        digest = put(registry, ours({"config.json": b"{}"}))
        assert puller.resolve(source(), digest).digest == digest
        assert [request.path for request in registry.log] == [f"/v2/org/model/manifests/{digest}"]

    def test_other_bytes_under_a_digest_are_refused(self, registry, source):
        """A registry cannot hand out another image for a pinned one."""
        digest = put(registry, ours({"config.json": b"{}"}))
        registry.manifests[digest] = (MANIFEST, ARM)
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), digest)
        said = f"the manifest {digest} in {registry.host}/org/model has other bytes: their digest is {digest_of(ARM)}"
        assert (caught.value.message, caught.value.exit_code) == (said, 6)

    def test_docker_s_types_are_read(self, registry, source):
        """Schema 2 and manifest lists are what docker pushes."""
        image = manifest(ours({"a": b""}), media_type="application/vnd.docker.distribution.manifest.v2+json")
        listed = index((image, "linux/amd64")).replace(
            INDEX.encode(), b"application/vnd.docker.distribution.manifest.list.v2+json"
        )
        serve(registry, image, top=listed)
        assert puller.resolve(source(), "v1").digest == digest_of(image)

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "application/vnd.oci.image.index.v1+json; charset=utf-8"]
    )
    def test_a_document_without_its_own_type_is_known_by_its_content(self, registry, source, content_type):
        """`mediaType` is optional in image-spec, and proxies lose Content-Type."""
        top = json.loads(index((MODEL, None)))
        del top["mediaType"]
        serve(registry, MODEL, top=json.dumps(top).encode(), media_type=content_type)
        assert puller.resolve(source(), "v1").digest == digest_of(MODEL)


PLATFORMS = {
    "the one asked for": ("linux/arm64", ["linux/amd64", "linux/arm64"], 1),
    "with its variant": ("linux/arm64/v8", ["linux/arm64/v7", "linux/arm64/v8"], 1),
    "of any variant": ("linux/arm64", ["linux/amd64", "linux/arm64/v8"], 1),
    "this machine's": ("", ["linux/s390x", f"linux/{'amd64' if os.uname().machine == 'x86_64' else 'arm64'}"], 1),
    "another one rather than none": ("", ["linux/s390x", "linux/ppc64le"], 0),
    "not what is unknown": ("", ["unknown/unknown", "linux/s390x"], 1),
    "one without a platform last": ("", [None, "linux/s390x"], 1),
    "one without a platform": ("linux/amd64", [None, "linux/s390x"], 0),
}


class TestIndex:
    """One entry of an index is the image."""

    @pytest.mark.parametrize(("platform", "there", "chosen"), PLATFORMS.values(), ids=PLATFORMS)
    def test_an_entry_is_chosen(self, registry, source, platform, there, chosen):
        """By platform; a model's files are the same on all, so any does where none was asked for."""
        images = (MODEL, ARM)
        serve(registry, *images, top=index(*zip(images, there, strict=True)))
        assert puller.resolve(source(), "v1", platform).digest == digest_of(images[chosen])

    def test_a_platform_that_is_not_there_is_refused(self, registry, source):
        """The error says which there are."""
        top = serve(
            registry, MODEL, ARM, top=index((MODEL, "linux/amd64"), (ARM, "linux/arm64"), (ARTIFACT, "unknown/unknown"))
        )
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1", "linux/s390x")
        assert caught.value.message == f"the manifest {top} in {registry.host}/org/model has no image for linux/s390x"
        assert caught.value.hint == "it has linux/amd64, linux/arm64"
        assert caught.value.exit_code == 4

    def test_only_unknown_platforms_are_none(self, registry, source):
        """Attestations and ModelPack twins carry that platform."""
        serve(registry, MODEL, top=index((MODEL, "unknown/unknown")))
        with pytest.raises(puller.PullError, match="has no image for any platform"):
            puller.resolve(source(), "v1")

    def test_an_entry_with_other_bytes_is_refused(self, registry, source):
        """The index pins its entries."""
        serve(registry, MODEL, top=index((MODEL, "linux/amd64")))
        registry.manifests[digest_of(MODEL)] = (MANIFEST, ARM)
        with pytest.raises(puller.PullError, match="has other bytes"):
            puller.resolve(source(), "v1")

    def test_an_index_in_an_index_is_refused(self, registry, source):
        """Nothing makes such images, and a circle would never end."""
        inner = index((MODEL, "linux/amd64"))
        serve(registry, MODEL, inner, top=index((inner, "linux/amd64")))
        with pytest.raises(puller.PullError, match="is no image manifest"):
            puller.resolve(source(), "v1")


def changed(**fields: object) -> bytes:
    """Return the model's manifest with fields replaced."""
    return json.dumps(json.loads(MODEL) | fields).encode()


def descriptor(**fields: object) -> dict[str, object]:
    """Return a layer's descriptor with fields replaced."""
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest_of(b""), "size": 0, **fields}


LIES = {
    "no JSON": (b"<html>", "is not a JSON object", 6),
    "a list": (b"[]", "is not a JSON object", 6),
    "very deep": (b"[" * 200_000, "is not a JSON object", 6),
    "an empty object": (b"{}", "is no image manifest", 4),
    "an index and an image": (changed(manifests=[]), "is an index and an image at once", 6),
    "schema 1": (json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), "has the obsolete schema 1", 4),
    "layers that are none": (changed(layers=7), "has no list of descriptors", 6),
    "a layer that is none": (changed(layers=[7]), "a descriptor is not an object: 7", 6),
    "a digest that is a path": (changed(layers=[descriptor(digest="sha256:../../x")]), "has the digest 'sha256:../", 6),
    "a digest of another kind": (changed(layers=[descriptor(digest="sha512:" + "0" * 128)]), "only sha256", 6),
    "a digest in capitals": (changed(layers=[descriptor(digest="sha256:" + "A" * 64)]), "only sha256", 6),
    "no digest": (changed(layers=[{"size": 1}]), "has the digest None", 6),
    "a negative size": (changed(layers=[descriptor(size=-1)]), "has the size -1", 6),
    "a size that is true": (changed(layers=[descriptor(size=True)]), "has the size True", 6),
    "a size that is text": (changed(layers=[descriptor(size="1")]), "has the size '1'", 6),
    "a media type that is none": (changed(layers=[descriptor(mediaType=[])]), "has the media type []", 6),
    "a config that is none": (changed(config=7), "a descriptor is not an object: 7", 6),
    "no config": (changed(config=None), "is no image manifest: it has no config; its media type is", 4),
    "no layers": (changed(layers=None), "is no image manifest: it has no layers; its media type is", 4),
    "too large": (b" " * (4 * 2**20 + 1), "is larger than 4194304 bytes", 6),
}


class TestDocumentsThatLie:
    """What a registry hands out is checked before it is used."""

    @pytest.mark.parametrize(("raw", "said", "code"), LIES.values(), ids=LIES)
    def test_they_are_refused(self, registry, source, raw, said, code):
        """In words, with an exit code."""
        registry.add_manifest(REPOSITORY, raw, MANIFEST, "v1")
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1")
        assert (said in caught.value.message, caught.value.exit_code) == (True, code)

    def test_annotations_that_are_no_text_are_left_out(self, registry, source):
        """They are of no use to anybody, and no reason to stop."""
        raw = changed(annotations={"a": 1, "b": "2"}, layers=[descriptor(annotations=[])])
        registry.add_manifest(REPOSITORY, raw, MANIFEST, "v1")
        found = puller.resolve(source(), "v1")
        assert (found.annotations, found.layers[0].annotations) == ({"b": "2"}, {})


class TestValues:
    """Small things that must not leak or confuse."""

    def test_a_credential_does_not_show_its_password(self):
        """Not even in a traceback."""
        assert repr(puller.Credential("me", "secret")) == "Credential(username='me')"

    def test_an_error_is_one_printable_line(self):
        """Registries and archives write into it."""
        error = puller.PullError(4, "a\n\x1b[31mb\u202e", "c\r")
        assert (error.message, error.hint) == (r"a\n\x1b[31mb\u202e", r"c\r")
