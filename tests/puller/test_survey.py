"""Reading a whole image without writing it: what each layer is, and all that is wrong with it."""

import gzip
import hashlib
import tarfile
import tracemalloc

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import Fault, digest_of
from tests.puller.images import (
    GZIP,
    INDEX,
    MANIFEST,
    RAW,
    REPOSITORY,
    TAR,
    TITLE,
    Layer,
    header,
    index,
    manifest,
    ours,
    put,
    put_layout,
    tar,
    zipped,
)

SHELL = ("bin/sh", b"#!")
CONFIG = ("models/config.json", b"{}")
WEIGHTS = ("models/a/w.safetensors", b"w" * 3000)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def survey(folder, *layers: Layer, **options) -> list[puller.Survey]:
    """Return what the layers are, read from a layout."""
    layout = puller.Layout(put_layout(folder / "layout", (None, layers)))
    return puller.survey(layout, puller.resolve(layout, "").layers, **options)


class Ends:
    """A watcher that notes how transfers end, and sums their bytes."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}
        self.came = 0

    def begin(self, name, total):
        del name, total

    def advance(self, name, amount):
        del name
        self.came += amount

    def end(self, name, outcome):
        self.ended[name] = outcome


class TestGood:
    """Layers that are what they say."""

    @pytest.mark.parametrize("form", ["tar", "gzip", "two members"])
    def test_files_and_diff_id(self, tmp_path, form):
        """Each file's sha256, and the digest of the uncompressed tar with its padding."""
        data = tar(SHELL, CONFIG, WEIGHTS)
        forms = {"tar": Layer(data), "gzip": zipped(data)}
        forms["two members"] = Layer(gzip.compress(data[:700]) + gzip.compress(data[700:]), GZIP)
        (seen,) = survey(tmp_path, forms[form])
        assert [(f.path, f.size, f.sha256) for f in seen.files] == [
            ("config.json", 2, sha256(b"{}")),
            ("a/w.safetensors", 3000, sha256(b"w" * 3000)),
        ]
        assert (seen.diff_id, seen.damage, seen.problems) == (digest_of(data), "", ())

    def test_a_raw_file(self, tmp_path):
        """It is no tar, so it has no diff id."""
        (seen,) = survey(tmp_path, Layer(b"{}", RAW, {TITLE: "config.json"}))
        assert [(f.path, f.sha256) for f in seen.files] == [("config.json", sha256(b"{}"))]
        assert (seen.diff_id, seen.damage, seen.problems) == (None, "", ())

    @pytest.mark.parametrize(
        ("names", "shell", "plain"),
        [
            (["bin/sh", "models/a"], True, True),
            (["./usr/bin/sh", "./models/a"], True, False),
            (["/models/a"], False, False),
            (["usr/share/sh", "models/sh"], False, True),
        ],
    )
    def test_a_shell_and_plain_names(self, tmp_path, names, shell, plain):
        """What KServe's sidecar and its fetcher want to find."""
        (seen,) = survey(tmp_path, Layer(tar(*((name, b"") for name in names))))
        assert (seen.shell, seen.plain) == (shell, plain)

    def test_several_layers_in_order(self, tmp_path):
        """However they are read; the watcher sees every byte."""
        layers = [ours({f"{n}.json": b"x" * n}) for n in range(6)]
        watch = Ends()
        seen = survey(tmp_path, *layers, jobs=3, watch=watch)
        assert [s.files[0].path for s in seen] == [f"{n}.json" for n in range(6)]
        assert watch.ended == {f"{n}.json": "verified" for n in range(6)}
        assert watch.came == sum(len(layer.data) for layer in layers)

    def test_memory_does_not_grow(self, tmp_path):
        """Bytes pass; nothing is kept."""
        layer = zipped(tar(("models/zeros", bytes(64 << 20))))
        layout = puller.Layout(put_layout(tmp_path / "layout", (None, (layer,))))
        layers = puller.resolve(layout, "").layers
        tracemalloc.start()
        puller.survey(layout, layers)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20


class TestBad:
    """Everything that is wrong is told, and reading goes on."""

    def test_all_members_that_are_refused(self, tmp_path):
        """Not only the first; what is good between them is read."""
        evil = tar(
            ("models/../x", b"x"), header("models/l", tarfile.SYMTYPE, "/etc"), CONFIG, CONFIG, header("models/d", b"3")
        )
        (seen,) = survey(tmp_path, Layer(evil))
        assert [problem.removeprefix("the image holds ") for problem in seen.problems] == [
            "a file with '..' in its name: models/../x",
            "models/l, which is neither a plain file nor a folder",
            "models/config.json twice in a layer",
            "models/d, which is neither a plain file nor a folder",
        ]
        assert [file.path for file in seen.files] == ["config.json"]
        assert (seen.diff_id, seen.damage) == (digest_of(evil), "")

    def test_a_thousand_problems_are_counted(self, tmp_path):
        """A report has an end."""
        layer = Layer(tar(*((f"models/../{n}", b"") for n in range(1000))))
        (seen,) = survey(tmp_path, layer)
        assert len(seen.problems) == 101
        assert seen.problems[-1] == f"the layer {digest_of(layer.data)} holds 900 more that are refused"

    @pytest.mark.parametrize(
        ("data", "media_type", "said"),
        [
            (b"x" * 5000, TAR, "is no readable tar"),
            (zipped(tar(WEIGHTS)).data[:-20], GZIP, "is no readable gzip"),
            (b"\x28\xb5\x2f\xfd" + bytes(600), TAR + "+zstd", "is compressed with zstd"),
            (tar(WEIGHTS)[:2000], TAR, "larger than its layer"),
        ],
        ids=["no tar", "gzip cut", "zstd", "cut in a member"],
    )
    def test_a_blob_that_is_intact_and_cannot_be_read(self, tmp_path, data, media_type, said):
        """Its digest is right; what is in it is not known."""
        (seen,) = survey(tmp_path, Layer(data, media_type))
        assert (len(seen.problems), seen.damage, seen.diff_id) == (1, "", None)
        assert said in seen.problems[0]

    @pytest.mark.parametrize("at", [10, 600, -1], ids=["header", "file", "padding"])
    def test_a_flipped_bit(self, registry, source, at):
        """The digest is of all bytes; other layers are read all the same."""
        layer, other = ours({"a": b"a" * 1000}), ours({"b": b"b"})
        found = puller.resolve(source(), put(registry, layer, other))
        registry.faults.append(Fault(path=digest_of(layer.data), corrupt_at=at % len(layer.data), times=-1))
        watch = Ends()
        bad, good = puller.survey(source(), found.layers, watch=watch)
        assert f"the blob {digest_of(layer.data)} from {registry.host}/org/model has other bytes" in bad.damage
        assert (good.damage, [file.path for file in good.files]) == ("", ["b"])
        assert watch.ended == {"a": "damaged", "b": "verified"}

    def test_a_blob_that_is_not_there(self, registry, source):
        """It is damage like any other."""
        layer, other = ours({"a": b"a"}), ours({"b": b"b"})
        found = puller.resolve(source(), put(registry, layer, other))
        registry.repositories[REPOSITORY].discard(digest_of(layer.data))
        bad, good = puller.survey(source(), found.layers)
        assert ("does not have it" in bad.damage, good.damage) == (True, "")

    @pytest.mark.parametrize(("status", "code"), [(403, 3), (503, 5)])
    def test_the_network_and_the_login_end_it(self, registry, source, status, code):
        """They say nothing of the image."""
        found = puller.resolve(source(), put(registry, ours({"a": b"a"})))
        registry.faults.append(Fault(path="/blobs/", status=status, times=-1))
        with pytest.raises(puller.PullError) as caught:
            puller.survey(source(), found.layers)
        assert caught.value.exit_code == code


class TestEntries:
    """What a reference names: an image, or an index of them."""

    def test_an_index_s_entries(self, registry, source):
        """Unknown platforms are among them."""
        raw = manifest(ours({"a": b""}))
        top = registry.add_manifest(REPOSITORY, index((raw, "linux/amd64"), (raw, "unknown/unknown")), INDEX, "v1")
        digest, media_type, entries = puller.entries_of(source(), "v1")
        assert (digest, media_type, [entry.platform["os"] for entry in entries]) == (top, INDEX, ["linux", "unknown"])

    def test_an_image(self, registry, source):
        """It has none."""
        digest = put(registry, ours({"a": b""}))
        assert puller.entries_of(source(), "v1") == (digest, MANIFEST, None)

    @pytest.mark.parametrize(
        ("layers", "cheap"),
        [
            ((ours({"a": b""}), zipped(tar(SHELL))), True),
            ((Layer(b"", RAW, {TITLE: "a"}),), True),
            ((Layer(b"", TAR, {TITLE: "a"}),), True),
            ((zipped(tar(CONFIG)),), False),
            ((Layer(tar(CONFIG)),), False),
            ((Layer(b"", GZIP, {TITLE: "models"}),), False),
        ],
        ids=["ours", "raw", "stock oras", "podman", "a tar", "a gzip folder"],
    )
    def test_whether_a_list_is_cheap(self, tmp_path, layers, cheap):
        """It is where the manifest says what there is, or a few bytes do."""
        layout = puller.Layout(put_layout(tmp_path, (None, layers)))
        assert puller.lists_cheaply(puller.resolve(layout, "")) is cheap
