"""Tests of images read as they are, byte for byte."""

import json
import threading

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, InvalidInput, LocalFailure, NetworkGaveUp, NotFoundOrRefused
from kubectl_modelcar.image import (
    CONFIG_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Held,
    LayoutReference,
    digest_of,
    parse_location,
)
from kubectl_modelcar.registry import LayoutTarget, OpenRepository, open_layout
from tests.fakes.registry import Fault

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
DOCKER_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def described(data, media_type=LAYER_TYPE, **more):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def manifest(*layers, config=b"{}", **more):
    """Return a manifest in a form that nobody of ours would write."""
    data = {"layers": [described(layer) for layer in layers], "config": described(config, CONFIG_TYPE), **more}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, **data}, indent=3).encode()


def index(*manifests, **more):
    data = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(manifests), **more}
    return json.dumps(data, indent=3).encode()


def remote(registry, reference="1"):
    mark = "@" if reference.startswith("sha256:") else ":"
    location = parse_location(f"{registry.host}/org/m{mark}{reference}")
    return OpenRepository(location, puller.Registry(registry.url, "org/m"))


def read(content, start=0):
    return b"".join(bytes(chunk) for chunk in content.chunks(start))


class TestManifests:
    """What a tag or a digest names."""

    def test_an_image(self, registry):
        """Its very bytes and type, config first, then its layers."""
        raw = manifest(b"one", b"two")
        registry.add_manifest("org/m", raw, MANIFEST_TYPE, "1")
        root = remote(registry).root()
        assert (root.document.data, root.document.media_type) == (raw, MANIFEST_TYPE)
        assert ([blob.digest for blob in root.blobs], root.manifests) == (
            [digest_of(data) for data in (b"{}", b"one", b"two")],
            (),
        )

    def test_docker_s(self, registry):
        """Keep their types."""
        raw = manifest(b"one", mediaType=DOCKER_TYPE)
        registry.add_manifest("org/m", raw, DOCKER_TYPE, "1")
        assert remote(registry).root().document.media_type == DOCKER_TYPE

    def test_an_index(self, registry):
        """Its images are named, not followed."""
        image = manifest(b"one")
        raw = index(described(image, MANIFEST_TYPE, platform={"os": "linux", "architecture": "riscv64"}))
        digest = registry.add_manifest("org/m", image, MANIFEST_TYPE)
        registry.add_manifest("org/m", raw, INDEX_TYPE, "1")
        root = remote(registry).root()
        assert (root.document.data, root.blobs, [one.digest for one in root.manifests]) == (raw, (), [digest])

    @pytest.mark.parametrize(
        ("raw", "media_type"),
        [
            pytest.param(b'{"schemaVersion":2,"manifests":[]}', INDEX_TYPE, id="an index"),
            pytest.param(
                b'{"schemaVersion":2,"layers":[],"config":' + json.dumps(described(b"{}")).encode() + b"}",
                MANIFEST_TYPE,
                id="an image",
            ),
        ],
    )
    def test_type_that_nobody_says(self, tmp_path, raw, media_type):
        """A layout has no Content-Type, and image-spec lets the document be silent: what is in it says it."""
        (tmp_path / "blobs" / "sha256").mkdir(parents=True)
        (tmp_path / "blobs" / "sha256" / digest_of(raw)[7:]).write_bytes(raw)
        opened = open_layout(LayoutReference(tmp_path, None, digest_of(raw)))
        assert opened.root().document.media_type == media_type

    @pytest.mark.parametrize(
        ("raw", "kind", "message"),
        [
            pytest.param(b"[]", IntegrityFailure, "is no JSON object of at most 4194304 bytes", id="an array"),
            pytest.param(b"{", IntegrityFailure, "is no JSON object of at most 4194304 bytes", id="cut"),
            pytest.param(b"[" * 100_000, IntegrityFailure, "is no JSON object of at most 4194304 bytes", id="deep"),
            pytest.param(
                b'{"a":"' + b"1" * 4_194_304 + b'"}',
                IntegrityFailure,
                "is no JSON object of at most 4194304 bytes",
                id="large",
            ),
            pytest.param(b"{}", NotFoundOrRefused, "is neither an image nor an index", id="nothing"),
            pytest.param(
                b'{"manifests":[],"layers":[]}', IntegrityFailure, "is an index and an image at once", id="both"
            ),
            pytest.param(b'{"manifests":7}', IntegrityFailure, "has no list of descriptors", id="no list"),
        ],
    )
    def test_broken(self, tmp_path, raw, kind, message):
        """In words, with the manifest's name."""
        (tmp_path / "blobs" / "sha256").mkdir(parents=True)
        (tmp_path / "blobs" / "sha256" / digest_of(raw)[7:]).write_bytes(raw)
        with pytest.raises(kind) as caught:
            open_layout(LayoutReference(tmp_path, None, digest_of(raw))).root()
        assert caught.value.message == f"the manifest {digest_of(raw)} of oci:{tmp_path} {message}"
        assert caught.value.hint

    def test_other_bytes_than_its_digest_says(self, tmp_path):
        """A disk that forgot a bit."""
        raw, digest = manifest(b"one"), digest_of(b"another")
        (tmp_path / "blobs" / "sha256").mkdir(parents=True)
        (tmp_path / "blobs" / "sha256" / digest[7:]).write_bytes(raw)
        with pytest.raises(IntegrityFailure) as caught:
            open_layout(LayoutReference(tmp_path, None, digest)).root()
        assert caught.value.message == (
            f"the manifest {digest} of oci:{tmp_path} has other bytes: their digest is {digest_of(raw)}"
        )


class TestLayoutWithoutTag:
    """Which image `oci:FOLDER` names."""

    @staticmethod
    def layout(folder, *entries):
        target = LayoutTarget(LayoutReference(folder))
        for raw, _ in entries:
            target.upload(Held("manifest", raw))
        listed = [described(raw, MANIFEST_TYPE, **more) for raw, more in entries]
        (folder / "index.json").write_bytes(index(*listed))
        return open_layout(LayoutReference(folder))

    @staticmethod
    def tagged(tag):
        return {"annotations": {"org.opencontainers.image.ref.name": tag}}

    @staticmethod
    def made_for(architecture):
        return {"platform": {"os": "linux", "architecture": architecture}}

    def test_latest(self, tmp_path):
        """Is what a push without a tag makes."""
        one, two = manifest(b"one"), manifest(b"two")
        opened = self.layout(tmp_path, (one, self.tagged("latest")), (two, self.tagged("2")))
        assert opened.root().document.data == one

    def test_the_only_one(self, tmp_path):
        """Whatever its tag is."""
        one = manifest(b"one")
        assert self.layout(tmp_path, (one, self.tagged("1"))).root().document.data == one

    def test_platforms(self, tmp_path):
        """An index.json that lists one image a platform is that index."""
        one, two = manifest(b"one"), manifest(b"two")
        opened = self.layout(tmp_path, (one, self.made_for("amd64")), (two, self.made_for("arm64")))
        root = opened.root()
        assert root.document.data == (tmp_path / "index.json").read_bytes()
        assert [entry.digest for entry in root.manifests] == [digest_of(one), digest_of(two)]

    @pytest.mark.parametrize(
        ("first", "second", "hint"),
        [
            pytest.param("1", "2", "say which: its tags are 1, 2", id="tags"),
            pytest.param(None, None, "name one by its digest: oci:FOLDER@sha256:...", id="none"),
        ],
    )
    def test_several(self, tmp_path, first, second, hint):
        """Are not guessed from."""
        more = [self.tagged(tag) if tag else {} for tag in (first, second)]
        opened = self.layout(tmp_path, (manifest(b"one"), more[0]), (manifest(b"two"), more[1]))
        with pytest.raises(InvalidInput) as caught:
            opened.root()
        assert (caught.value.message, caught.value.hint) == (f"oci:{tmp_path} holds 2 images", hint)


class TestContent:
    """Blobs, verified while they are read."""

    DATA = bytes(range(256)) * 10_000  # more than two chunks

    @pytest.fixture
    def content(self, registry):
        """The blob in a registry, its repository told by an image."""
        registry.add_manifest("org/m", manifest(self.DATA), MANIFEST_TYPE, "1")
        registry.add_blob("org/m", self.DATA)
        return remote(registry).content(Descriptor(LAYER_TYPE, digest_of(self.DATA), len(self.DATA)), "w")

    def test_all_of_it(self, content):
        """Name, size and bytes."""
        assert (content.name, content.size, read(content)) == ("w", len(self.DATA), self.DATA)

    @pytest.mark.parametrize("start", [0, 1, 1_000_000, 2_000_000, len(DATA)])
    def test_again_from_anywhere(self, content, start):
        """What broke on its way is read again from there, and only that."""
        assert (read(content), read(content, start)) == (self.DATA, self.DATA[start:])

    def test_again_after_a_part(self, content):
        """The bytes are digested once, so the digest is right in the end."""
        passed = next(content.chunks())
        assert bytes(passed) + read(content, len(passed)) == self.DATA

    def test_from_the_middle(self, content):
        """At once: what lies before is read for the digest alone."""
        assert read(content, 1_500_000) == self.DATA[1_500_000:]

    def test_other_bytes(self, registry, content):
        """Are found out at the end, before anybody takes them for the blob."""
        registry.faults.append(Fault("GET", "/blobs/", corrupt_at=2_000_000))
        with pytest.raises(IntegrityFailure) as caught:
            read(content)
        assert caught.value.message == (
            f"w in {registry.host}/org/m is not what its digest {digest_of(self.DATA)} says"
        )

    def test_stop(self, registry, content):
        """Ends a read that waits, at once."""
        registry.faults.append(Fault("GET", "/blobs/", stall_after=2_000_000))
        failed, begun = [], threading.Event()
        repository = content._repository

        def reading():
            try:
                for _ in content.chunks():
                    begun.set()
            except NetworkGaveUp as error:
                failed.append(error.message)

        thread = threading.Thread(target=reading)
        thread.start()
        assert begun.wait(10)
        repository.stop()
        thread.join(10)
        assert (thread.is_alive(), failed) == (False, ["the transfer was stopped"])

    def test_a_layout_s(self, tmp_path):
        """From a file; one that is missing is named."""
        LayoutTarget(LayoutReference(tmp_path)).upload(Held("w", self.DATA))
        repository = open_layout(LayoutReference(tmp_path))
        there = Descriptor(LAYER_TYPE, digest_of(self.DATA), len(self.DATA))
        assert read(repository.content(there, "w"), 5) == self.DATA[5:]
        missing = Descriptor(LAYER_TYPE, digest_of(b"gone"), 4)
        with pytest.raises(LocalFailure) as caught:
            read(repository.content(missing, "w"))
        assert digest_of(b"gone")[7:] in caught.value.message
