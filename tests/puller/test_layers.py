"""What is taken out of which layer, and what is refused."""

import gzip
import json
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import digest_of
from tests.puller.images import (
    FILES,
    GZIP,
    RAW,
    TAR,
    TITLE,
    Layer,
    header,
    ours,
    put,
    put_layout,
    tar,
    tree,
    zipped,
)

SHELL = ("bin/sh", b"#!")
CONFIG = ("models/config.json", b"{}")
WEIGHTS = ("models/model.safetensors", b"w" * 3000)
PLAIN = {"config.json": b"{}", "model.safetensors": b"w" * 3000}


def read(folder: Path, *layers: Layer) -> tuple[dict[str, int], dict[str, bytes]]:
    """Return what is listed (path to size) and what is unpacked, from a layout of the layers."""
    layout = puller.Layout(put_layout(folder / "layout", (None, layers)))
    manifest = puller.resolve(layout, "")
    listed = {file.path: file.size for file in puller.list_files(layout, manifest)}
    puller.unpack(layout, manifest, folder / "model")
    return listed, tree(folder / "model")


LAYERS = {
    "ours, two layers and a base": (
        Layer(tar(SHELL, ("models/not-the-model", b""))),
        ours({"config.json": b"{}"}),
        ours({"model.safetensors": b"w" * 3000}),
    ),
    "built by podman: gzip layers, a base": (zipped(tar(SHELL)), zipped(tar(CONFIG, WEIGHTS))),
    "a tar of two gzip members": (
        Layer(gzip.compress(tar(CONFIG, WEIGHTS)[:700]) + gzip.compress(tar(CONFIG, WEIGHTS)[700:]), GZIP),
    ),
    "docker's media types": (
        Layer(gzip.compress(tar(CONFIG, WEIGHTS)), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ),
    "absolute names": (Layer(tar(("/models/config.json", b"{}"), ("/models/model.safetensors", b"w" * 3000))),),
    "names with ./": (Layer(tar(("./models/config.json", b"{}"), ("./models/model.safetensors", b"w" * 3000))),),
    "tars titled with their file, by olot": (
        Layer(tar(CONFIG), TAR, {TITLE: "config.json"}),
        Layer(tar(WEIGHTS), TAR, {TITLE: "model.safetensors"}),
    ),
    "a gzip tar titled with a folder, by oras push": (
        Layer(gzip.compress(tar(CONFIG, WEIGHTS)), GZIP, {TITLE: "models", "io.deis.oras.content.unpack": "true"}),
    ),
    "files that stock oras push calls tar layers": (
        Layer(b"{}", TAR, {TITLE: "config.json"}),
        Layer(b"w" * 3000, TAR, {TITLE: "models/model.safetensors"}),
    ),
    "ModelPack, raw with title": (
        Layer(b"{}", "application/vnd.cncf.model.weight.config.v1.raw", {TITLE: "config.json"}),
        Layer(b"w" * 3000, RAW, {TITLE: "model.safetensors"}),
    ),
    "ModelPack, raw with file path, and something untitled": (
        Layer(b"{}", RAW, {"org.cncf.model.filepath": "config.json"}),
        Layer(b"w" * 3000, RAW, {"org.cncf.model.filepath": "model.safetensors"}),
        Layer(b"?", "application/vnd.in-toto+json"),
    ),
    "ModelPack, tar without models/": (
        Layer(
            tar(("config.json", b"{}"), ("model.safetensors", b"w" * 3000)), "application/vnd.cncf.model.weight.v1.tar"
        ),
    ),
    "a later layer replaces": (
        Layer(tar(("models/config.json", b"old, and longer"), WEIGHTS)),
        Layer(tar(CONFIG)),
    ),
    "a later layer removes a file and a folder, and nothing that begins like them": (
        Layer(tar(CONFIG, WEIGHTS, ("models/old.bin", b"o"), ("models/old/a", b"a"))),
        Layer(tar(("models/.wh.old.bin", b""), ("models/.wh.old", b""), ("models/.wh.config", b""))),
    ),
    "a later layer removes all that was there": (
        Layer(tar(("models/a", b"a"), ("models/b/c", b"c"))),
        Layer(tar(("models/.wh..wh..opq", b""), CONFIG, WEIGHTS)),
    ),
    "a later layer removes models and makes it anew": (
        Layer(tar(("models/a", b"a"))),
        Layer(tar((".wh.models", b""))),
        Layer(tar(CONFIG, WEIGHTS)),
    ),
    "an empty tar besides": (Layer(tar()), Layer(b"\0" * 1024), Layer(tar(CONFIG, WEIGHTS))),
    "a tar without its end": (Layer(tar(CONFIG, WEIGHTS)[: 512 + 512 + 512 + 3072]),),
    "PAX headers": (Layer(tar(CONFIG, WEIGHTS, format=tarfile.PAX_FORMAT)),),
    "one layer twice": (Layer(tar(CONFIG, WEIGHTS)), Layer(tar(CONFIG, WEIGHTS))),
}


class TestWhatLandsWhere:
    """Every kind of modelcar gives the same two files."""

    @pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
    def test_the_model_is_listed_and_unpacked(self, tmp_path, layers):
        """The list says what unpacking then writes."""
        listed, files = read(tmp_path, *layers)
        assert files == PLAIN
        assert listed == {path: len(data) for path, data in PLAIN.items()}

    @pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
    def test_a_file_is_read(self, tmp_path, layers):
        """One file can be read without the others."""
        layout = puller.Layout(put_layout(tmp_path, (None, layers)))
        manifest = puller.resolve(layout, "")
        assert puller.read_file(layout, manifest, "config.json") == b"{}"
        assert puller.read_file(layout, manifest, "model.safetensors") == b"w" * 3000

    def test_folders_are_kept(self, tmp_path):
        """A path below models/ stays a path."""
        _, files = read(tmp_path, Layer(tar(("models/a/b/c.json", b"1"), ("models/a/d.json", b"2"))))
        assert files == {"a/b/c.json": b"1", "a/d.json": b"2"}

    def test_keys_of_later_versions_are_left(self, tmp_path):
        """What an annotation says besides path, size and sha256 is for whoever knows it."""
        entry = {"path": "config.json", "size": 2, "git": "0" * 40, "more": {"a": [1]}}
        listed, files = read(tmp_path, Layer(tar(CONFIG), TAR, {FILES: json.dumps([entry])}))
        assert (listed, files) == ({"config.json": 2}, {"config.json": b"{}"})

    def test_two_files_with_the_same_bytes_are_two_files(self, tmp_path):
        """An artifact's layers may share a digest."""
        _, files = read(
            tmp_path, Layer(b"", RAW, {TITLE: "a"}), Layer(b"", RAW, {TITLE: "b"}), Layer(b"", TAR, {TITLE: "c"})
        )
        assert files == {"a": b"", "b": b"", "c": b""}

    @pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["GNU", "PAX"])
    def test_long_names_are_read(self, tmp_path, format):  # noqa: A002 (tarfile's name)
        """A name longer than a header's field comes whole."""
        name = "/".join(["n" * 60] * 4)
        _, files = read(tmp_path, Layer(tar((f"models/{name}", b"x"), CONFIG, format=format)))
        assert files == {name: b"x", "config.json": b"{}"}

    def test_our_raw_layer_is_named_by_its_annotation(self, tmp_path):
        """A model with a folder models/ of its own keeps it, where the manifest says so."""
        annotations = {TITLE: "models/a.json", FILES: json.dumps([{"path": "models/a.json", "size": 2}])}
        assert read(tmp_path, Layer(b"{}", RAW, annotations)) == ({"models/a.json": 2}, {"models/a.json": b"{}"})

    def test_a_raw_file_s_sha256_is_its_layer_s(self, tmp_path):
        """What is known of a file without reading it is said."""
        layout = puller.Layout(
            put_layout(tmp_path, (None, (Layer(b"{}", RAW, {TITLE: "a"}), ours({"b": b"1"}, sha256=True))))
        )
        manifest = puller.resolve(layout, "")
        assert [f.sha256 for f in puller.list_files(layout, manifest)] == [digest_of(b"1")[7:]]
        layout = puller.Layout(put_layout(tmp_path / "raw", (None, (Layer(b"{}", RAW, {TITLE: "a"}),))))
        assert [f.sha256 for f in puller.list_files(layout, puller.resolve(layout, ""))] == [digest_of(b"{}")[7:]]


class TestMemory:
    """A pod's init container has little."""

    @pytest.mark.parametrize("form", ["tar", "gzip"])
    def test_it_does_not_grow_with_the_image(self, tmp_path, form):
        """Neither with the size of a file nor with the number of files around it."""
        data = tar(*((f"usr/{n}", b"") for n in range(10_000)), ("models/zeros", bytes(32 << 20)))
        layer = Layer(data) if form == "tar" else zipped(data)
        layout = puller.Layout(put_layout(tmp_path / "layout", (None, (layer,))))
        manifest = puller.resolve(layout, "")
        del data, layer
        tracemalloc.start()
        puller.list_files(layout, manifest)
        puller.unpack(layout, manifest, tmp_path / "model")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


class TestReadFile:
    """One file of an image, in memory."""

    def test_a_missing_file_is_named(self, registry, source):
        """The error says which file of which image."""
        manifest = puller.resolve(source(), put(registry, ours({"a": b"a"})))
        with pytest.raises(puller.PullError) as caught:
            puller.read_file(source(), manifest, "config.json")
        assert caught.value.message == f"reading config.json from {registry.host}/org/model: there is no such file"
        assert caught.value.exit_code == 4

    def test_a_removed_file_is_missing(self, tmp_path):
        """A whiteout hides what is in the layers below."""
        layout = puller.Layout(
            put_layout(tmp_path, (None, (Layer(tar(CONFIG)), Layer(tar(("models/.wh.config.json", b""))))))
        )
        with pytest.raises(puller.PullError, match="no such file"):
            puller.read_file(layout, puller.resolve(layout, ""), "config.json")

    def test_a_large_file_is_refused(self, tmp_path):
        """The limit is the caller's memory."""
        layout = puller.Layout(put_layout(tmp_path, (None, (ours({"a": b"12345"}),))))
        with pytest.raises(puller.PullError, match="a has 5 bytes; at most 4 are read at once"):
            puller.read_file(layout, puller.resolve(layout, ""), "a", limit=4)

    def test_a_damaged_layer_is_found(self, registry, source):
        """A small layer is read whole and its digest compared."""
        layer = Layer(tar(CONFIG), digest="sha256:" + "0" * 64)
        manifest = puller.resolve(source(), put(registry, layer))
        with pytest.raises(puller.PullError, match="has other bytes"):
            puller.read_file(source(), manifest, "config.json")

    def test_a_damaged_file_of_a_large_layer_is_found(self, registry, source):
        """The file's own sha256 is compared where the manifest knows it; the rest of the layer is not read."""
        layer = ours({"config.json": b"{}", "w": b"w" * (3 << 20)}, sha256=True)
        manifest = puller.resolve(source(), put(registry, layer))
        assert puller.read_file(source(), manifest, "config.json", limit=100) == b"{}"
        registry.blobs[digest_of(layer.data)] = layer.data.replace(b"{}", b"[]")
        with pytest.raises(puller.PullError, match=r"config\.json in .* has other bytes than the manifest says"):
            puller.read_file(source(), manifest, "config.json", limit=100)


class TestListFiles:
    """Listing costs little: the pages of a large model are not read."""

    def test_our_images_cost_no_request(self, registry, source):
        """The manifest says it all."""
        manifest = puller.resolve(source(), put(registry, Layer(tar(SHELL)), ours({"b": b"1", "a": b"2"})))
        before = len(registry.log)
        assert [file.path for file in puller.list_files(source(), manifest)] == ["a", "b"]
        assert len(registry.log) == before

    def test_large_members_are_jumped_over(self, registry, source):
        """Of a tar with two files of 40 MiB little more than the headers comes over the wire."""
        big = bytes(40 << 20)
        manifest = puller.resolve(source(), put(registry, Layer(tar(("models/a", big), ("models/b", big), CONFIG))))
        files = puller.list_files(source(), manifest)
        assert [(file.path, file.size) for file in files] == [("a", 40 << 20), ("b", 40 << 20), ("config.json", 2)]
        ranges = [request.headers.get("range") for request in registry.requests("GET", "/blobs/")]
        assert ranges == [None, f"bytes={512 + (40 << 20) - 1}-", f"bytes={2 * (512 + (40 << 20)) - 1}-"]

    def test_a_member_that_ends_behind_the_layer_is_refused(self, registry, source):
        """A list with an invented size would fool whoever sizes a volume by it."""
        layer = Layer(tar(header("models/a", tarfile.REGTYPE, size=1 << 40)))
        manifest = puller.resolve(source(), put(registry, layer))
        with pytest.raises(puller.PullError, match="larger than its layer"):
            puller.list_files(source(), manifest)
