"""OCI layouts that are broken, as source, base, target and image: no wait without end, no traceback, no half of one."""

import hashlib
import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from tests.faults.program import model

MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
FILES = "io.github.kubectl-modelcar.files"
QUIET = ("--progress", "none")


class Layout:
    """A good layout of one image, to be broken."""

    def __init__(self, folder: Path):
        self.folder, self.index = folder, folder / "index.json"
        self.entry = json.loads(self.index.read_text())["manifests"][0]
        self.manifest = json.loads(self.blob(self.entry["digest"]).read_text())
        self.layer = self.blob(self.manifest["layers"][0]["digest"])

    def blob(self, digest):
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def say(self, raw):
        self.index.write_bytes(raw if isinstance(raw, bytes) else json.dumps(raw).encode())

    def entries(self, *more, **changed):
        self.say({"schemaVersion": 2, "manifests": [{**self.entry, **changed}, *more]})

    def put(self, document, media_type=MANIFEST):
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        self.blob(digest).write_bytes(raw)
        self.entries(mediaType=media_type, digest=digest, size=len(raw))


def index(*said):
    return [(f"index {one[:12]!r}", lambda layout, one=one: layout.say(one)) for one in said]


def entry(key, *values):
    return [(f"entry {key}={str(one)[:20]}", lambda layout, one=one: layout.entries(**{key: one})) for one in values]


def of_manifest(key, *values):
    def change(layout, value):
        layout.put({**layout.manifest, key: value})

    return [(f"manifest {key}={str(one)[:20]}", lambda layout, one=one: change(layout, one)) for one in values]


def of_layer(key, *values):
    def change(layout, value):
        first, *others = layout.manifest["layers"]
        layout.put({**layout.manifest, "layers": [{**first, key: value}, *others]})

    return [(f"layer {key}={str(one)[:20]}", lambda layout, one=one: change(layout, one)) for one in values]


def raw(*manifests):
    return [(f"manifest {one[:12]!r}", lambda layout, one=one: layout.put(one)) for one in manifests]


def kinds(what, path):
    """Return the kinds of things that may be in the place of a file."""

    def replaced(make):
        def change(layout):
            place = path(layout)
            place.unlink()
            make(place)

        return change

    made = {
        "FIFO": os.mkfifo,
        "folder": Path.mkdir,
        "circle": lambda place: place.symlink_to(place),
        "/dev/zero": lambda place: place.symlink_to("/dev/zero"),
        "nothing": lambda _: None,
    }
    return [(f"{what} is a {kind}", replaced(make)) for kind, make in made.items()]


def hole(layout):
    os.truncate(layout.index, 8 << 30)


def short(layout):
    os.truncate(layout.layer, 1000)


def flipped(layout):
    data = bytearray(layout.layer.read_bytes())
    data[0] ^= 1
    layout.layer.write_bytes(data)


def no_blobs(layout):
    shutil.rmtree(layout.folder / "blobs")


def index_of_itself(layout):
    entry = {"mediaType": INDEX, "digest": "sha256:" + "0" * 64, "size": 10}
    layout.put({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}, INDEX)


BROKEN = [
    *index(b"", b"[]", b"null", b"{}", b'{"manifests": null}', b'{"manifests": ["x", 1, null]}', b'{"manifests": []}'),
    *index(b"[" * 100_000, b'{"a":' * 100_000, bytes(range(256)), b'{"manifests": [{"size": 1e400}]}'),
    *entry("digest", "sha256:../../../../etc/passwd", "SHA256:" + "0" * 64, "sha512:" + "0" * 128, None, 5),
    *entry("size", -1, bool(1), "5", 10**30, 1.5),
    *entry("annotations", [1], None, {"org.opencontainers.image.ref.name": 1}),
    *kinds("index.json", lambda layout: layout.index),
    *kinds("manifest", lambda layout: layout.blob(layout.entry["digest"])),
    *kinds("layer", lambda layout: layout.layer),
    *kinds("config", lambda layout: layout.blob(layout.manifest["config"]["digest"])),
    *raw(b"[]", b"null", b"{}", b"[" * 100_000, b" " * (9 << 20), b'{"schemaVersion": 1}'),
    *of_manifest("layers", None, "x", [1, 2], [{}]),
    *of_manifest("config", None, 5, {}),
    *of_manifest("annotations", [], {"a": 1}, {"a\ud800": "\udfff"}),
    *of_layer("size", -5, 10**7, 7),
    *of_layer("mediaType", "\x00x", 5),
    *of_layer("annotations", {FILES: '[{"path": "../x", "size": -1}]'}, {FILES: "[" * 100_000}, {"\x1b[31m": "\u202e"}),
    *((change.__name__.replace("_", " "), change) for change in (hole, short, flipped, no_blobs, index_of_itself)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Have a small model."""
    return model(tmp_path_factory.mktemp("model"), 1, 20_000)


@pytest.fixture
def layout(invoke, folder, tmp_path):
    """Have a layout with the image in it."""
    assert invoke("push", folder, f"oci:{tmp_path}/layout:1", "--base", "none", *QUIET).code == 0
    return Layout(tmp_path / "layout")


@pytest.fixture
def little_memory():
    """Let this process take no gigabyte more: what reads a device to its end fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("nobody_waits", "little_memory")
class TestBrokenLayouts:
    @pytest.mark.parametrize("break_", [pytest.param(change, id=name) for name, change in BROKEN])
    def test_broken(self, invoke, registry, layout, folder, tmp_path, break_):  # noqa: PLR0917  by name
        """Whoever reads it ends with a code of its own; what is published nevertheless is whole."""
        break_(layout)
        image = f"oci:{layout.folder}:1"
        plain = ("--plain-http", *QUIET)
        commands = {
            "copy": ("push", image, f"{registry.host}/org/copy:1", *plain),
            "base": ("push", folder, f"{registry.host}/org/base:1", "--base", image, *plain),
            "pull": ("pull", image, tmp_path / "pulled", *QUIET),
            "inspect": ("inspect", image, *QUIET),
            "verify": ("verify", image, "--deep", *QUIET),
            "target": ("push", folder, f"oci:{layout.folder}:2", "--base", "none", *QUIET),
        }
        for command, arguments in commands.items():
            done = invoke(*arguments)
            assert done.code in (0, 2, 4, 5, 6, 7), (command, done.err)
            assert "\x1b" not in done.out + done.err, command
            if done.code and command != "verify":
                kinds = [line.partition(":")[0] for line in done.err.splitlines()]
                assert kinds == ["error", "hint"], (command, done.err)
        for digest in registry.tags.values():
            document = json.loads(registry.manifests[digest][1])
            assert [
                blob["digest"] for blob in (document["config"], *document["layers"]) if not blob_of(registry, blob)
            ] == []


def blob_of(registry, blob):
    """Tell whether the registry has a blob as its manifest says that it is."""
    return len(registry.blobs.get(blob["digest"], b"")) == blob["size"]
