"""Row P9 of the fault matrix: layers that would leave the folder, or are not what they say, are refused."""

import os
import stat
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from kubectl_modelcar.chart import puller
from tests.puller.images import FILES, GZIP, RAW, TAR, TITLE, Layer, header, ours, put, put_layout, tar, tree, zipped

SHELL = ("bin/sh", b"#!")
CONFIG = ("models/config.json", b"{}")
WEIGHTS = ("models/model.safetensors", b"w" * 3000)


class Space(NamedTuple):
    """What `os.statvfs` says of free space: blocks, and bytes of each."""

    f_bavail: int
    f_frsize: int


def refusal(folder: Path, *layers: Layer) -> puller.PullError:
    """Return the error of unpacking the layers; nothing may be left outside of the folder, or in it."""
    layout = puller.Layout(put_layout(folder / "layout", (None, layers)))
    before = tree(folder)
    with pytest.raises(puller.PullError) as caught:
        puller.unpack(layout, puller.resolve(layout, ""), folder / "model")
    assert tree(folder) == before
    return caught.value


REFUSED = {
    "..": (Layer(tar(("models/../../evil", b"x"))), "'..' in its name: models/../../evil"),
    ".. before models": (Layer(tar(("../models/evil", b"x"))), "'..' in its name"),
    "an absolute name where models/ may be left out": (
        Layer(tar(("/etc/passwd", b"x")), "application/vnd.cncf.model.weight.v1.tar"),
        "absolute name: /etc/passwd",
    ),
    "a symlink and a file through it": (
        Layer(tar(header("models/a", tarfile.SYMTYPE, "/etc"), ("models/a/evil", b"x"))),
        "models/a, which is neither",
    ),
    "a hard link to where it runs": (
        Layer(tar(header("models/a", tarfile.LNKTYPE, "puller.py"), ("models/a", b"x"))),
        "models/a, which is neither",
    ),
    "a block device": (Layer(tar(header("models/a", tarfile.BLKTYPE))), "models/a, which is neither"),
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
    "an annotation with a size that is none": (
        Layer(tar(CONFIG), TAR, {FILES: '[{"path": "config.json", "size": 1e999}]'}),
        "cannot be read",
    ),
    "an annotation with a sha256 that is none": (
        Layer(tar(CONFIG), TAR, {FILES: '[{"path": "config.json", "size": 2, "sha256": 7}]'}),
        "cannot be read",
    ),
    "other bytes than the digest": (Layer(tar(CONFIG), digest="sha256:" + "0" * 64), "has other bytes"),
}


class TestWhatIsRefused:
    """Nothing that could leave the folder, or is not what it says, is written."""

    @pytest.mark.parametrize(("layer", "said"), REFUSED.values(), ids=REFUSED)
    def test_p9_a_bad_layer_leaves_nothing(self, registry, source, tmp_path, layer, said):
        """The error is one of integrity and names what is bad."""
        manifest = puller.resolve(source(), put(registry, layer))
        with pytest.raises(puller.PullError) as caught:
            puller.unpack(source(), manifest, tmp_path / "a" / "model")
        assert (said in caught.value.message, caught.value.exit_code) == (True, 6)
        assert [path for path in tmp_path.rglob("*") if not path.is_dir() or path.is_symlink()] == []

    def test_p9_what_is_outside_of_models_is_not_written(self, tmp_path):
        """A base image's own files, whatever they are called, are nobody's model."""
        base = tar(
            ("/etc/passwd", b"x"), ("etc/shadow", b"x"), header("bin/sh", tarfile.SYMTYPE, "/bin/busybox"), CONFIG
        )
        layout = puller.Layout(put_layout(tmp_path / "layout", (None, (Layer(base),))))
        puller.unpack(layout, puller.resolve(layout, ""), tmp_path / "model")
        assert tree(tmp_path / "model") == {"config.json": b"{}"}

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

    def test_p9_a_million_entries_are_too_many(self, tmp_path, monkeypatch):
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

    def test_p9_setuid_stays_behind(self, tmp_path):
        """No mode of the archive, setuid above all, reaches the disk; the umask does."""
        evil = tarfile.TarInfo("models/x/a")
        evil.mode = 0o6777
        layout = puller.Layout(put_layout(tmp_path / "layout", (None, (Layer(tar(evil)),))))
        puller.unpack(layout, puller.resolve(layout, ""), tmp_path / "model")
        assert stat.S_IMODE((tmp_path / "model/x/a").stat().st_mode) == 0o644
        assert stat.S_IMODE((tmp_path / "model/x").stat().st_mode) == 0o755

    def test_p9_a_bomb_is_refused_when_its_size_is_known(self, tmp_path, monkeypatch):
        """The manifest has only the compressed size; the tar header says what it becomes, before a byte is written."""
        layer = zipped(tar(("models/zeros", bytes(8 << 20))))
        layout = puller.Layout(put_layout(tmp_path / "layout", (None, (layer,))))
        monkeypatch.setattr(os, "statvfs", lambda _: Space(4, 1 << 20))
        with pytest.raises(puller.PullError, match=r"8\.4 MB are needed and 4\.2 MB are free"):
            puller.unpack(layout, puller.resolve(layout, ""), tmp_path / "model")
        assert tree(tmp_path / "model") == {}
