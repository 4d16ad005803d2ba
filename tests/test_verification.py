"""Tests of verifying images where they are stored: what is wrong is found, all of it, and nothing else."""

import gzip
import json
import resource

import pytest

from kubectl_modelcar.errors import NetworkGaveUp, NotAuthorised
from kubectl_modelcar.image import RECIPE_ANNOTATION, Answer, digest_of, parse_location
from kubectl_modelcar.registry import open_images
from kubectl_modelcar.verification import verify
from tests.fakes.registry import Fault
from tests.image.trees import tar_of
from tests.puller.images import FILES, GZIP, RAW, TAR, TITLE, Layer, header, put_layout, tar
from tests.verified import ACCESS, MODELPACK, TREE, Image, layer, sha256, uncompressed, verified

WEIGHTS = {"x.safetensors": b"x" * 70_000}
BASE = Layer(gzip.compress(tar(("bin/sh", b"#!"), header("usr/bin/x", b"2", "/bin/sh")), mtime=0), GZIP)
OURS = Image((BASE, layer(TREE), layer(WEIGHTS)))
RAWS = tuple(Layer(data, RAW, {TITLE: path}) for path, data in TREE.items())
STOCK = tuple(Layer(data, TAR, {TITLE: path}) for path, data in TREE.items())
GOOD = {
    "ours": OURS,
    "ours, without a base": Image((layer(TREE),)),
    "ours, of before sha256 was known": Image(
        (Layer(tar_of(TREE), TAR, {FILES: json.dumps([{"path": p, "size": len(d)} for p, d in TREE.items()])}),)
    ),
    "of another recipe": Image((layer(TREE),), annotations={RECIPE_ANNOTATION: "0"}),
    "built by podman": Image(
        (BASE, Layer(gzip.compress(tar(*((f"models/{path}", data) for path, data in TREE.items()))), GZIP)),
        annotations={},
    ),
    "a layer twice": Image((layer(TREE), layer(TREE))),
    "stock oras push": Image(STOCK, config_type="application/vnd.oci.empty.v1+json", annotations={}),
    "ModelPack": Image(
        RAWS,
        config={"modelfs": {"type": "layers", "diffIds": [digest_of(one.data) for one in RAWS]}},
        config_type=MODELPACK,
    ),
    "two files of the same bytes": Image(
        tuple(Layer(b"", RAW, {TITLE: path, FILES: json.dumps([{"path": path, "size": 0}])}) for path in "ab"),
        config_type=MODELPACK,
    ),
}


@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
class TestGood:
    """Images of every kind, as they should be."""

    @pytest.mark.parametrize("image", GOOD.values(), ids=GOOD)
    def test_nothing_is_wrong(self, registry, image, deep):
        """And what was looked at is in the result."""
        digest = image.put(registry)
        seen = verified(registry, deep=deep)
        assert seen.problems == ()
        assert (seen.digest, seen.deep, seen.reference) == (digest, deep, f"{registry.host}/org/m@{digest}")
        assert set(seen.blobs) == {digest} | {one["digest"] for one in _blobs_of(registry, digest)}

    def test_what_it_costs(self, registry, deep):
        """A HEAD a blob; with deep every byte of the layers, once."""
        OURS.put(registry)
        verified(registry, deep=deep)
        heads = registry.requests("HEAD")
        sent = sum(request.sent for request in registry.requests("GET", "/blobs/"))
        layers = sum(len(one.data) for one in OURS.layers)
        assert (len(heads), layers <= sent < layers + 1000 if deep else sent < 1000) == (4, True)

    def test_a_layout(self, tmp_path, deep):
        """From a folder it is the same."""
        folder = put_layout(tmp_path / "layout", ("v1", (layer(TREE),)))
        stored = open_images(parse_location(f"oci:{folder}:v1"), ACCESS)
        assert verify(stored, deep=deep).problems == ()

    def test_readers(self, registry, deep):
        """Whether sh is in a base's layer is known when it was read."""
        OURS.put(registry)
        (image,) = verified(registry, deep=deep).images
        answers = {one.consumer: one.answer for one in image.consumers}
        assert answers["kubectl modelcar"] == answers["image volume (containerd)"] == Answer.YES
        assert answers["KServe sidecar (oci://)"] == (Answer.YES if deep else Answer.UNKNOWN)
        assert answers["oras pull"] == Answer.NO


def _blobs_of(registry, digest):
    manifest = json.loads(registry.manifests[digest][1])
    return [manifest["config"], *manifest["layers"]]


ONE = layer(TREE)
NAME = digest_of(ONE.data)
SHALLOW = {
    "diff id": (Image((ONE,), ["sha256:" + "0" * 64]), f"the layer {NAME} has the diff id {NAME}; the config says"),
    "too few diff ids": (Image((BASE, ONE), [NAME]), "names 1 layers, the manifest 2"),
    "too many diff ids": (Image((ONE,), [NAME, NAME]), "names 2 layers, the manifest 1"),
    "ModelPack's diff id": (
        Image(RAWS[:1], config={"modelfs": {"diffIds": [NAME]}}, config_type=MODELPACK),
        "has the diff id",
    ),
    "an annotation that cannot be read": (Image((Layer(ONE.data, TAR, {FILES: "7"}),)), "that cannot be read"),
    "an annotation that leads out": (
        Image((Layer(ONE.data, TAR, {FILES: '[{"path": "../x", "size": 1}]'}),)),
        "'..' in its name",
    ),
    "a file twice": (
        Image((Layer(ONE.data, TAR, {FILES: '[{"path": "x", "size": 1}, {"path": "x", "size": 1}]'}),)),
        "is said to hold x twice",
    ),
    "files of another size": (
        Image((layer(TREE, **{"config.json": {"size": 600}}),)),
        "the files it is said to hold make",
    ),
    "files larger than the layer": (
        Image((layer(TREE, **{"config.json": {"size": 10**6}}),), annotations={}),
        "fewer than the files that it is said to hold",
    ),
    "a raw layer of another file": (
        Image(
            (Layer(b"{}", RAW, {TITLE: "a", FILES: json.dumps([{"path": "a", "size": 3}])}),),
            config_type=MODELPACK,
        ),
        "is one file of 2 bytes, and is said to hold another",
    ),
    "a file that is another's folder": (
        Image((layer({"a": b"1"}), layer({"a/b": b"2"}))),
        "the image holds a as a file and as a folder of a/b",
    ),
    "no model": (Image((Layer(b"x", "application/vnd.in-toto+json"),), config_type=MODELPACK), "no model in"),
}


class TestShallow:
    """What is wrong without a byte of a layer."""

    @pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
    @pytest.mark.parametrize(("image", "said"), SHALLOW.values(), ids=SHALLOW)
    def test_it_is_found(self, registry, image, said, deep):
        """With deep, too; each once."""
        image.put(registry)
        problems = verified(registry, deep=deep).problems
        assert [said in problem for problem in problems].count(True) == 1, problems
        assert deep or len(problems) == 1

    def test_a_blob_that_is_not_there(self, registry):
        """Every one of them, by its digest."""
        digest = OURS.put(registry)
        gone = [one["digest"] for one in _blobs_of(registry, digest)[:2]]
        for one in gone:
            registry.repositories["org/m"].discard(one)
        problems = verified(registry, deep=True).problems
        assert len(problems) == 2
        assert all(digest in problem for digest, problem in zip(gone, problems, strict=True))

    def test_a_blob_of_another_size(self, registry):
        """A registry's disk was full, say."""
        OURS.put(registry)
        registry.blobs[digest_of(OURS.layers[1].data)] = OURS.layers[1].data[:-512]
        (problem,) = verified(registry, deep=False).problems
        size = len(OURS.layers[1].data)
        assert problem == (
            f"the blob {digest_of(OURS.layers[1].data)} has {size - 512} bytes; its manifest says {size}"
        )

    def test_a_registry_that_does_not_say_sizes(self, registry):
        """It is no problem of the image."""
        OURS.put(registry)
        registry.faults.append(Fault("HEAD", "/blobs/", headers={"Content-Length": ""}, times=-1))
        assert verified(registry, deep=False).problems == ()

    def test_a_registry_that_knows_no_head(self, registry):
        """It is asked in another way, and a blob of another size is found all the same."""
        OURS.put(registry)
        registry.faults.append(Fault("HEAD", "/blobs/", status=405, times=-1))
        assert verified(registry, deep=False).problems == ()
        registry.blobs[digest_of(OURS.layers[1].data)] = OURS.layers[1].data[:-512]
        (problem,) = verified(registry, deep=False).problems
        assert f"has {len(OURS.layers[1].data) - 512} bytes" in problem

    def test_a_config_of_other_bytes(self, registry):
        """It is as large as it should be, and another."""
        digest = OURS.put(registry)
        config = _blobs_of(registry, digest)[0]
        registry.blobs[config["digest"]] = b"x" * config["size"]
        (problem,) = verified(registry, deep=False).problems
        assert "is not what its digest" in problem or "is no JSON object" in problem

    @pytest.mark.parametrize(("status", "error"), [(503, NetworkGaveUp), (403, NotAuthorised)])
    def test_what_cannot_be_told_is_no_finding(self, registry, status, error):
        """The network and the login end it."""
        OURS.put(registry)
        registry.faults.append(Fault("HEAD", "/blobs/", status=status, times=-1, headers={"Retry-After": "0"}))
        with pytest.raises(error):
            verified(registry, deep=False)


class TestDeep:
    """What only the bytes tell."""

    @pytest.mark.parametrize("at", [100, 1000, -1], ids=["header", "file", "padding"])
    def test_a_flipped_bit(self, registry, at):
        """In one layer; the others are read all the same."""
        OURS.put(registry)
        data = bytearray(OURS.layers[1].data)
        data[at] ^= 1
        registry.blobs[digest_of(OURS.layers[1].data)] = bytes(data)
        assert verified(registry, deep=False).problems == ()
        (problem,) = verified(registry, deep=True).problems
        assert problem.startswith(
            f"the blob {digest_of(OURS.layers[1].data)} from {registry.host}/org/m has other bytes"
        )

    def test_a_base_layer_that_is_damaged(self, registry):
        """No consumer could start it."""
        OURS.put(registry)
        registry.blobs[digest_of(BASE.data)] = b"x" * len(BASE.data)
        (problem,) = verified(registry, deep=True).problems
        assert digest_of(BASE.data) in problem

    def test_a_diff_id_of_a_compressed_layer(self, registry):
        """It is of the tar, with its padding."""
        layers = GOOD["built by podman"].layers
        ids = [digest_of(uncompressed(one)) for one in layers]
        Image(layers, [ids[0], "sha256:" + "0" * 64], annotations={}).put(registry)
        assert verified(registry, deep=False).problems == ()
        assert verified(registry, deep=True).problems == (
            f"the layer {digest_of(layers[1].data)} has the diff id {ids[1]}; the config says sha256:{'0' * 64}",
        )

    def test_files_that_are_not_what_is_said(self, registry):
        """All of them: another sha256, another size, one more, one less."""
        said = {
            "config.json": {"sha256": sha256(b"other")},
            "sub/w.safetensors": {"path": "sub/v.safetensors"},
        }
        Image((layer(TREE, **said),)).put(registry)
        assert verified(registry, deep=False).problems == ()
        assert verified(registry, deep=True).problems == (
            f"config.json has the sha256 {sha256(TREE['config.json'])}; its manifest says {sha256(b'other')}",
            f"sub/v.safetensors is not in the layer {NAME}; its manifest says otherwise",
            f"sub/w.safetensors is in the layer {NAME}; its manifest says otherwise",
        )

    def test_sizes_that_only_look_right(self, registry):
        """The padding to whole blocks hides a byte."""
        Image((layer(TREE, **{"config.json": {"size": 8}}),)).put(registry)
        assert "config.json has 7 bytes; its manifest says 8" in verified(registry, deep=True).problems

    def test_unsafe_members_and_much_else(self, registry):
        """Every problem is in one report."""
        evil = tar(("models/../x", b"x"), header("models/l", b"2", "/etc"), ("models/ok", b"1"))
        bad, gone = Layer(evil, TAR), Layer(b"gone" * 200, TAR)
        Image((bad, gone), ["sha256:" + "1" * 64, "sha256:" + "2" * 64], annotations={}).put(registry)
        registry.repositories["org/m"].discard(digest_of(gone.data))
        problems = verified(registry, deep=True).problems
        for said in ("models/../x", "models/l, which is neither", "does not have it", "sha256:" + "1" * 64):
            assert len([problem for problem in problems if said in problem]) == 1, (said, problems)

    def test_a_base_image_s_own_links(self, registry):
        """They are nobody's model: no consumer looks for it there."""
        links = Layer(tar(header("models", b"2", "/etc")), TAR)
        Image((links, layer(TREE))).put(registry)
        assert verified(registry, deep=True).problems == ()

    def test_an_image_for_programs(self, registry):
        """Only the bytes tell that there is no model."""
        Image((Layer(tar(("bin/sh", b"#!")), TAR),), annotations={}).put(registry)
        (problem,) = verified(registry, deep=True).problems
        assert problem.startswith("no model in ")

    def test_memory_is_bounded(self, registry):
        """A layer of 160 MiB, compressed to little, passes through."""
        data = tar(("models/zeros", bytes(160 << 20)))
        big = Layer(gzip.compress(data, 1), GZIP)
        Image((big,), [digest_of(data)], annotations={}).put(registry)
        del data
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert verified(registry, deep=True).problems == ()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10  # KiB
