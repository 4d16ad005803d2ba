"""What is taken out of which layer, and what is refused."""

import gzip
import json
import stat
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


def refusal(folder: Path, *layers: Layer) -> puller.PullError:
    """Return the error of unpacking the layers; nothing may be left outside of the folder, or in it."""
    layout = puller.Layout(put_layout(folder / "layout", (None, layers)))
    before = tree(folder)
    with pytest.raises(puller.PullError) as caught:
        puller.unpack(layout, puller.resolve(layout, ""), folder / "model")
    assert tree(folder) == before
    return caught.value


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

    def test_files_come_with_modes_of_their_own(self, tmp_path):
        """No mode of the archive, setuid above all, reaches the disk; the umask does."""
        evil = tarfile.TarInfo("models/x/a")
        evil.mode = 0o6777
        read(tmp_path, Layer(tar(evil)))
        assert stat.S_IMODE((tmp_path / "model/x/a").stat().st_mode) == 0o644
        assert stat.S_IMODE((tmp_path / "model/x").stat().st_mode) == 0o755

    def test_a_raw_file_s_sha256_is_its_layer_s(self, tmp_path):
        """What is known of a file without reading it is said."""
        layout = puller.Layout(
            put_layout(tmp_path, (None, (Layer(b"{}", RAW, {TITLE: "a"}), ours({"b": b"1"}, sha256=True))))
        )
        manifest = puller.resolve(layout, "")
        assert [f.sha256 for f in puller.list_files(layout, manifest)] == [digest_of(b"1")[7:]]
        layout = puller.Layout(put_layout(tmp_path / "raw", (None, (Layer(b"{}", RAW, {TITLE: "a"}),))))
        assert [f.sha256 for f in puller.list_files(layout, puller.resolve(layout, ""))] == [digest_of(b"{}")[7:]]


REFUSED = {
    "..": (Layer(tar(("models/../../evil", b"x"))), "'..' in its name: models/../../evil"),
    ".. before models": (Layer(tar(("../models/evil", b"x"))), "'..' in its name"),
    "a symlink": (Layer(tar(header("models/a", tarfile.SYMTYPE, "/etc"))), "models/a, which is neither"),
    "models as a symlink": (Layer(tar(header("models", tarfile.SYMTYPE, "/etc"))), "models, which is neither"),
    "a hard link": (Layer(tar(CONFIG, header("models/a", tarfile.LNKTYPE, "models/config.json"))), "models/a, which"),
    "a device": (Layer(tar(header("models/a", tarfile.CHRTYPE))), "models/a, which is neither"),
    "a fifo": (Layer(tar(header("models/a", tarfile.FIFOTYPE))), "models/a, which is neither"),
    "a sparse file": (Layer(tar(header("models/a", tarfile.GNUTYPE_SPARSE))), "models/a, which is neither"),
    "an escape in a name": (Layer(tar(("models/\x1b[31m", b""))), r"control characters in its name: models/\x1b[31m"),
    "a name that is no UTF-8": (Layer(tar(("models/\udcff", b""))), r"control characters in its name: models/\udcff"),
    "a file twice in a layer": (Layer(tar(CONFIG, CONFIG)), "models/config.json twice"),
    "a file and a folder": (Layer(tar(("models/a", b""), ("models/a/b", b""))), "as a file and as a folder"),
    "a folder and a file": (Layer(tar(("models/a/b", b""), ("models/a", b""))), "as a file and as a folder"),
    "our own mark": (Layer(tar(("models/.complete", b""))), "the puller's own mark"),
    "a member larger than the layer": (
        Layer(tar(header("models/a", tarfile.REGTYPE, size=1 << 40))),
        "larger than its layer",
    ),
    "a layer cut in a member": (Layer(tar(WEIGHTS)[:2000]), "larger than its layer"),
    "a damaged header": (Layer(tar(CONFIG)[:1024] + b"x" * 512 + bytes(1024)), "damaged tar header"),
    "no tar at all": (Layer(b"x" * 5000), "no readable tar"),
    "gzip of no tar": (zipped(b"x" * 5000), "no readable tar"),
    "a gzip cut short": (Layer(zipped(tar(CONFIG)).data[:-20], GZIP), "no readable gzip"),
    "a gzip that is damaged": (Layer(zipped(tar(WEIGHTS)).data[:30] + bytes(60), GZIP), "no readable gzip"),
    "a name of a gigabyte": (
        Layer(tar(header("x", tarfile.GNUTYPE_LONGNAME, size=1 << 30))),
        "header of 1073741824 bytes",
    ),
    "an absolute title": (Layer(b"x", RAW, {TITLE: "/etc/passwd"}), "absolute name: /etc/passwd"),
    "a title with ..": (Layer(b"x", RAW, {TITLE: "a/../../b"}), "'..' in its name"),
    "a title that names nothing": (Layer(b"x", RAW, {TITLE: "./"}), "which names no file"),
    "an annotation that is no list": (Layer(tar(CONFIG), TAR, {FILES: "7"}), "cannot be read"),
    "an annotation that leads out": (
        Layer(tar(CONFIG), TAR, {FILES: '[{"path": "../x", "size": 2}]'}),
        "'..' in its name",
    ),
    "an annotation with another prefix": (
        Layer(tar(CONFIG), TAR, {FILES: '[{"path": "./x", "size": 2}]'}),
        "cannot be read",
    ),
    "an annotation of another file": (
        Layer(tar(CONFIG), TAR, {FILES: '[{"path": "x", "size": 2}]'}),
        "holds other files",
    ),
    "an annotation of another size": (
        Layer(tar(CONFIG), TAR, {FILES: '[{"path": "config.json", "size": 3}]'}),
        "holds other files",
    ),
    "other bytes than the digest": (Layer(tar(CONFIG), digest="sha256:" + "0" * 64), "has other bytes"),
}


class TestWhatIsRefused:
    """Nothing that could leave the folder, or is not what it says, is written."""

    @pytest.mark.parametrize(("layer", "said"), REFUSED.values(), ids=REFUSED)
    def test_a_bad_layer_leaves_nothing(self, registry, source, tmp_path, layer, said):
        """The error is one of integrity and names what is bad."""
        manifest = puller.resolve(source(), put(registry, layer))
        with pytest.raises(puller.PullError) as caught:
            puller.unpack(source(), manifest, tmp_path / "a" / "model")
        assert (said in caught.value.message, caught.value.exit_code) == (True, 6)
        assert tree(tmp_path) == {}

    def test_zstd_is_refused_with_a_way_out(self, tmp_path):
        """The standard library reads no zstd."""
        error = refusal(tmp_path, Layer(b"\x28\xb5\x2f\xfd" + bytes(600), TAR + "+zstd"))
        assert error.exit_code == 4
        assert error.message.endswith("is compressed with zstd, which cannot be read here")
        assert error.hint == "push the model with uncompressed or gzip layers"

    @pytest.mark.parametrize(
        "layers",
        [(Layer(tar(SHELL)),), (), (Layer(b"x", RAW),)],
        ids=["an image for programs", "no layers", "untitled"],
    )
    def test_an_image_without_a_model_is_refused(self, tmp_path, layers):
        """An empty folder would be worse: the server would say it much later."""
        error = refusal(tmp_path, *layers)
        layout = f"oci:{tmp_path / 'layout'}"
        assert error.message == f"no model in {layout}: no file below models/ and no titled layer"
        assert error.exit_code == 4

    def test_a_million_entries_are_too_many(self, tmp_path, monkeypatch):
        """Names take memory; nobody's model has that many files."""
        monkeypatch.setattr(puller, "MOST_FILES", 3)
        error = refusal(tmp_path, Layer(tar(*((f"models/{n}", b"") for n in range(4)))))
        assert error.message == "the image holds more than 3 files"

    def test_a_layout_s_blob_of_another_size_is_refused(self, tmp_path):
        """A file that was cut is found before it is read."""
        error = refusal(tmp_path, Layer(tar(CONFIG), size=10))
        assert error.message.endswith("has 10240 bytes; its manifest says 10")
        assert error.exit_code == 6

    def test_a_layout_s_damaged_blob_is_refused(self, tmp_path):
        """A flipped bit in the middle of a file changes the digest."""
        folder = put_layout(tmp_path / "layout", (None, (ours({"a": b"a" * 5000}),)))
        blob = max((folder / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
        data = bytearray(blob.read_bytes())
        data[1000] ^= 1
        blob.write_bytes(data)
        layout = puller.Layout(folder)
        with pytest.raises(puller.PullError, match="has other bytes"):
            puller.unpack(layout, puller.resolve(layout, ""), tmp_path / "model")
        assert not (tmp_path / "model/a").exists()


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
