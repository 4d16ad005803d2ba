"""Tests of copying images as they are."""

import json
import threading

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.copying import copy
from kubectl_modelcar.errors import IntegrityFailure, InvalidInput, LocalFailure, NotFoundOrRefused
from kubectl_modelcar.image import (
    CONFIG_TYPE,
    INDEX_TYPE,
    MANIFEST_TYPE,
    Descriptor,
    Document,
    Held,
    LayoutReference,
    digest_of,
    parse_location,
)
from kubectl_modelcar.registry import (
    BlobsMissing,
    LayoutTarget,
    OpenRepository,
    RegistryAccess,
    open_layout,
    open_target,
)
from kubectl_modelcar.registry.repository import StoredManifest
from tests.fakes.registry import Fault
from tests.fakes.watcher import Watcher

ACCESS = RegistryAccess(plain_http=True)
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
FILES = "io.github.kubectl-modelcar.files"
CONFIG = b'{"os":"linux"}'
ONE, TWO, SHARED = b"one" * 100_000, b"two" * 500_000, b"shared by both"


def described(data, media_type=LAYER_TYPE, **more):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


def image(*layers, config=CONFIG, **annotations):
    """Return a manifest in a form that nobody of ours would write: only its very bytes have its digest."""
    data = {
        "annotations": annotations,
        "layers": [layer if isinstance(layer, dict) else described(layer) for layer in layers],
        "config": described(config, CONFIG_TYPE),
        "mediaType": MANIFEST_TYPE,
        "schemaVersion": 2,
    }
    return json.dumps(data, indent=4).encode()


def index(*manifests, media_type=MANIFEST_TYPE):
    entries = [
        described(raw, media_type, platform={"os": "linux", "architecture": f"a{number}"})
        for number, raw in enumerate(manifests)
    ]
    return json.dumps({"manifests": entries, "mediaType": INDEX_TYPE, "schemaVersion": 2}, indent=4).encode()


AMD, ARM = image(SHARED, ONE, arch="amd"), image(SHARED, TWO, arch="arm")
BOTH = index(AMD, ARM)
BLOBS = (CONFIG, SHARED, ONE, TWO)


def remote(registry, name):
    """Return what is read from a registry, as an image below a model is."""
    location = parse_location(f"{registry.host}/{name}")
    return OpenRepository(location, puller.Registry(registry.url, location.repository))


def fill(registry, root=BOTH, media_type=INDEX_TYPE, repository="org/from"):
    """Put an index, its images and their blobs into a registry, and return the repository."""
    for blob in BLOBS:
        registry.add_blob(repository, blob)
    for raw in (AMD, ARM):
        registry.add_manifest(repository, raw, MANIFEST_TYPE)
    registry.add_manifest(repository, root, media_type, "1")
    return remote(registry, f"{repository}:1")


def layout(folder, root=BOTH, media_type=INDEX_TYPE):
    """Write the same into a layout folder, by hand, and return the repository."""
    target = LayoutTarget(LayoutReference(folder))
    for data in (*BLOBS, AMD, ARM, root):
        target.upload(Held("x", data))
    entry = described(root, media_type, annotations={"org.opencontainers.image.ref.name": "v"})
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return open_layout(LayoutReference(folder, "v"))


class FakeTarget:
    """A target that writes down what it is told, in order."""

    def __init__(self, *, has=(), loses=0, fails_at=None, overtaken=None):
        self.blobs, self.loses, self.fails_at = dict.fromkeys(has, b""), loses, fails_at
        self.overtaken, self.told, self.lock = overtaken, [], threading.Lock()
        self.stopped = threading.Event()

    def prepare(self):
        self.told.append("prepare")

    def has_blob(self, digest):
        return digest in self.blobs

    def mount(self, digest, repository):
        raise AssertionError(f"nobody knows {digest} to be in {repository}")

    def upload(self, content, digest=None):
        if content.name == self.fails_at:
            raise LocalFailure("the disk is full")
        if self.fails_at and not self.stopped.wait(10):
            raise AssertionError("nobody stopped this upload")
        data = b"".join(bytes(chunk) for chunk in content.chunks())
        with self.lock:
            self.told.append("blob")
            self.blobs[digest] = data
        return digest

    def put_manifest(self, document, tag):
        self.told.append((document.digest, tag))
        if self.loses:
            self.loses -= 1
            del self.blobs[digest_of(SHARED)]
            raise BlobsMissing("a blob is gone")
        return self.overtaken or document.digest

    def stop(self):
        self.stopped.set()


TARGET = parse_location("registry.example.com/org/to:1")


class TestOrder:
    """Blobs, then manifests by their digests, then the tags."""

    def test_an_index(self, tmp_path):
        """Its images come before it, the tags last."""
        target = FakeTarget()
        result = copy(layout(tmp_path), target, TARGET, ("1", "latest"))
        assert target.told == [
            "prepare",
            *["blob"] * 4,
            (digest_of(AMD), None),
            (digest_of(ARM), None),
            (digest_of(BOTH), "1"),
            (digest_of(BOTH), "latest"),
        ]
        assert target.blobs == {digest_of(data): data for data in BLOBS}
        assert (result.digest, result.reference) == (
            digest_of(BOTH),
            f"registry.example.com/org/to@{digest_of(BOTH)}",
        )

    def test_one_image(self, tmp_path):
        """Of a single platform."""
        target = FakeTarget()
        copy(layout(tmp_path, AMD, MANIFEST_TYPE), target, TARGET, ("1",))
        assert target.told == ["prepare", *["blob"] * 3, (digest_of(AMD), "1")]

    def test_an_index_in_an_index(self, tmp_path):
        """From the bottom up, each manifest once."""
        LayoutTarget(LayoutReference(tmp_path)).upload(Held("x", BOTH))
        outer = json.dumps(
            {"schemaVersion": 2, "manifests": [described(BOTH, INDEX_TYPE), described(AMD, MANIFEST_TYPE)]}
        ).encode()
        target = FakeTarget()
        copy(layout(tmp_path, outer), target, TARGET, ("1",))
        assert target.told[-4:] == [
            (digest_of(AMD), None),
            (digest_of(ARM), None),
            (digest_of(BOTH), None),
            (digest_of(outer), "1"),
        ]

    def test_a_manifest_that_is_named_twice(self, registry):
        """Is read once."""
        outer = json.dumps(
            {"schemaVersion": 2, "manifests": [described(AMD, MANIFEST_TYPE), described(AMD, MANIFEST_TYPE)]}
        ).encode()
        source = fill(registry, outer)
        registry.log.clear()
        copy(source, FakeTarget(), TARGET, ("1",))
        assert len(registry.requests("GET", f"/manifests/{digest_of(AMD)}")) == 1

    def test_nothing_twice(self, tmp_path):
        """What is there, and what both images share, is not sent."""
        target = FakeTarget(has=[digest_of(ONE)])
        result = copy(layout(tmp_path), target, TARGET, ("1",))
        assert {blob.name: blob.sent for blob in result.blobs} == {
            digest_of(CONFIG)[:19]: True,
            digest_of(SHARED)[:19]: True,
            digest_of(ONE)[:19]: False,
            digest_of(TWO)[:19]: True,
        }
        assert result.sent_bytes == len(CONFIG) + len(SHARED) + len(TWO)

    def test_no_tag(self, tmp_path):
        """Nothing would name it."""
        with pytest.raises(InvalidInput):
            copy(layout(tmp_path), FakeTarget(), TARGET, ())


class TestLimits:
    """Of registries, before the first byte."""

    def test_a_layer_that_is_too_large(self, tmp_path):
        """Is named, with the way out, and sent all the same: it is what is known, and no promise."""
        layer = described(ONE, annotations={FILES: json.dumps([{"path": "w.safetensors", "size": len(ONE)}])})
        source, target, watcher = layout(tmp_path, image(layer), MANIFEST_TYPE), FakeTarget(), Watcher()
        large = StoredManifest(
            source.root().document,
            blobs=(Descriptor(LAYER_TYPE, digest_of(ONE), 12_300_000_000, layer["annotations"]),),
        )
        source.root = lambda: large
        with pytest.raises(IntegrityFailure):  # the layer is not as large as the manifest says
            copy(source, target, parse_location("ghcr.io/org/to:1"), ("1",), progress=watcher)
        assert [line for line in watcher.lines if line.startswith("warning")] == [
            (
                "warning: GitHub's registry takes layers of up to 10.0 GB: w.safetensors (12.3 GB) is too large by 2.3 "
                "GB: push to another registry, or push the model itself, in smaller shards (max_shard_size)"
            )
        ]
        assert target.told == ["prepare"]

    def test_a_registry_without_limits(self, tmp_path):
        """Nothing is said."""
        watcher = Watcher()
        copy(layout(tmp_path), FakeTarget(), TARGET, ("1",), progress=watcher)
        assert [line for line in watcher.lines if line.startswith("warning")] == []


class TestFailures:
    """Nothing is published then."""

    def test_one_blob_fails(self, tmp_path):
        """The others are stopped, and its error is told."""
        target = FakeTarget(fails_at=digest_of(TWO)[:19])
        with pytest.raises(LocalFailure, match="the disk is full"):
            copy(layout(tmp_path), target, TARGET, ("1",))
        assert (target.stopped.is_set(), [one for one in target.told if isinstance(one, tuple)]) == (True, [])

    def test_other_bytes(self, registry):
        """Of a blob are found out while it passes."""
        source, target = fill(registry), FakeTarget()
        registry.faults.append(Fault("GET", f"/blobs/{digest_of(TWO)}", corrupt_at=5))
        with pytest.raises(IntegrityFailure) as caught:
            copy(source, target, TARGET, ("1",))
        assert digest_of(TWO) in caught.value.message
        assert [one for one in target.told if isinstance(one, tuple)] == []

    def test_an_image_that_is_missing(self, registry):
        """Before the target is asked for anything."""
        source, target = fill(registry, index(AMD, image(b"never pushed"))), FakeTarget()
        with pytest.raises(NotFoundOrRefused):
            copy(source, target, TARGET, ("1",))
        assert target.told == []

    def test_too_many_manifests(self, tmp_path):
        """An index that names thousands is no model."""
        entries = [described(b"%d" % number, MANIFEST_TYPE) for number in range(201)]
        raw = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        root = layout(tmp_path, raw).root()

        class Endless:
            """A source that has every manifest."""

            location = TARGET

            def root(self):
                return root

            def manifest(self, reference):
                return StoredManifest(Document(MANIFEST_TYPE, reference.encode()))

        with pytest.raises(NotFoundOrRefused) as caught:
            copy(Endless(), FakeTarget(), TARGET, ("1",))
        assert caught.value.message == f"the index {digest_of(raw)} names more than 200 manifests"

    @pytest.mark.parametrize("times", [1, 2])
    def test_r23_blobs_that_are_collected_meanwhile(self, tmp_path, times):
        """Are looked for and sent again, in two rounds at most."""
        target = FakeTarget(loses=times)
        result = copy(layout(tmp_path), target, TARGET, ("1",))
        assert (target.told.count("blob"), target.blobs[digest_of(SHARED)]) == (4 + times, SHARED)
        assert (target.told[-1], [blob.sent for blob in result.blobs]) == ((digest_of(BOTH), "1"), [True] * 4)

    def test_r23_for_ever(self, tmp_path):
        """The registry's own words are told."""
        with pytest.raises(BlobsMissing):
            copy(layout(tmp_path), FakeTarget(loses=3), TARGET, ("1",))

    def test_r22_another_push_meanwhile(self, tmp_path):
        """Won: the digest is ours, the tag is not, and that is said."""
        watcher = Watcher()
        result = copy(layout(tmp_path), FakeTarget(overtaken="sha256:other"), TARGET, ("1",), progress=watcher)
        name = "registry.example.com/org/to"
        assert [line for line in watcher.lines if line.startswith("warning")] == [
            f"warning: {name}:1 names sha256:other by now: somebody else pushed; ours is {name}@{result.digest}"
        ]


class TestProgress:
    """Whoever watches sees files."""

    def test_names(self, tmp_path):
        """Of the files in a layer, else its title, else its digest; never the same twice."""
        layers = [
            described(ONE, annotations={FILES: '[{"path":"a.json","size":1},{"path":"b.json","size":1}]'}),
            described(TWO, annotations={"org.opencontainers.image.title": "w"}),
            described(SHARED, annotations={"org.opencontainers.image.title": "w"}),
        ]
        result = copy(layout(tmp_path, image(*layers), MANIFEST_TYPE), FakeTarget(), TARGET, ("1",))
        assert [blob.name for blob in result.blobs] == [
            digest_of(CONFIG)[:19],
            "a.json and 1 more",
            "w",
            f"w ({digest_of(SHARED)[:19]})",
        ]

    def test_bytes(self, tmp_path):
        """All of them, once."""
        watcher = Amounts()
        copy(layout(tmp_path), FakeTarget(has=[digest_of(ONE)]), TARGET, ("1",), progress=watcher)
        sent = {digest_of(data)[:19]: len(data) for data in (CONFIG, SHARED, TWO)}
        assert watcher.amounts == {**sent, digest_of(ONE)[:19]: 0}
        assert {line for line in watcher.lines if line.startswith("end")} == {
            *(f"end {name} sent" for name in sent),
            f"end {digest_of(ONE)[:19]} exists",
        }

    def test_bytes_of_an_upload_that_breaks(self, tmp_path):
        """Begin again where it is taken up."""

        class Breaking(FakeTarget):
            """A target that loses all but the first byte, at first."""

            def upload(self, content, digest=None):
                lost = b"".join(bytes(chunk) for chunk in content.chunks())
                kept = Held(content.name, lost[:1] + b"".join(bytes(chunk) for chunk in content.chunks(1)))
                return super().upload(kept, digest)

        target, watcher = Breaking(), Amounts()
        copy(layout(tmp_path), target, TARGET, ("1",), progress=watcher)
        assert target.blobs == {digest_of(data): data for data in BLOBS}
        assert watcher.amounts == {digest_of(data)[:19]: len(data) for data in BLOBS}


class Amounts(Watcher):
    """A watcher that adds up the bytes of each transfer since it last began."""

    def __init__(self):
        super().__init__()
        self.amounts = {}

    def begin(self, name, total):
        super().begin(name, total)
        self.amounts[name] = 0

    def advance(self, name, amount):
        self.amounts[name] += amount


class TestRoundTrip:
    """Between real layouts and registries, byte for byte."""

    @staticmethod
    def stored(repository):
        """Return all that a repository's image is."""
        found, waiting = {}, [repository.root()]
        while waiting:
            manifest = waiting.pop()
            found[manifest.document.digest] = (manifest.document.media_type, manifest.document.data)
            waiting += [repository.manifest(entry.digest) for entry in manifest.manifests]
            for blob in manifest.blobs:
                found[blob.digest] = b"".join(bytes(chunk) for chunk in repository.content(blob, "x").chunks())
        return found

    @pytest.mark.parametrize("to", ["layout", "registry"])
    @pytest.mark.parametrize("of", ["layout", "registry"])
    @pytest.mark.parametrize("root", [(BOTH, INDEX_TYPE), (AMD, MANIFEST_TYPE)], ids=["an index", "one image"])
    def test_same(self, registry, tmp_path, of, to, root):
        """The same digests of the same bytes, under each tag."""
        source = layout(tmp_path / "from", *root) if of == "layout" else fill(registry, *root)
        name = f"oci:{tmp_path}/to" if to == "layout" else f"{registry.host}/org/to"
        location = parse_location(f"{name}:1")
        copy(source, open_target(location, ACCESS), location, ("1", "2"))
        for tag in ("1", "2"):
            there = (
                open_layout(LayoutReference(tmp_path / "to", tag))
                if to == "layout"
                else remote(registry, f"org/to:{tag}")
            )
            assert self.stored(there) == self.stored(source)

    def test_again(self, registry, tmp_path):
        """Moves no blob."""
        location = parse_location(f"{registry.host}/org/to:1")
        results = [copy(layout(tmp_path), open_target(location, ACCESS), location, ("1",)) for _ in range(2)]
        assert [result.sent_bytes for result in results] == [sum(map(len, BLOBS)), 0]
