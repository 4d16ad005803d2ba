"""Tests of who can read an image: a table of kinds of images and every consumer's answer."""

from dataclasses import dataclass, field, replace

import pytest

from kubectl_modelcar.image import (
    ARTIFACT_CONFIG_TYPE,
    ARTIFACT_TYPE,
    CONFIG_TYPE,
    FILEPATH,
    FILES_ANNOTATION,
    LAYER_TYPE,
    TITLE,
    Answer,
    Contents,
    ImageFacts,
    consumers,
)

RAW = "application/vnd.cncf.model.weight.v1.raw"
ANSWERS = {"y": Answer.YES, "p": Answer.PARTLY, "n": Answer.NO, "?": Answer.UNKNOWN}
NAMES = (
    "kubectl modelcar",
    "KServe sidecar (oci://)",
    "KServe native (oci+native://)",
    "KServe fetch (oci+fetch://)",
    "image volume (containerd)",
    "image volume (CRI-O)",
    "artifact mount (CRI-O)",
    "oras pull",
    "podman",
)


@dataclass(frozen=True)
class Layer:
    """A layer as a descriptor says it."""

    media_type: str = LAYER_TYPE
    annotations: dict[str, str] = field(default_factory=dict)


OURS = Layer(annotations={FILES_ANNOTATION: "[]"})
BASE, GZIP, ZSTD = Layer(LAYER_TYPE + "+gzip"), Layer(LAYER_TYPE + "+gzip"), Layer(LAYER_TYPE + "+zstd")
TITLED = Layer(annotations={TITLE: "model.safetensors"})
FOLDER = Layer(LAYER_TYPE + "+gzip", {TITLE: "models", "io.deis.oras.content.unpack": "true"})
FILE = Layer(RAW, {TITLE: "a", FILEPATH: "a"})
READ = Contents(model=True, raw=False, plain=True, sh=True)
FILES = Contents(model=True, raw=True, plain=True, sh=False)


def image(*layers, contents=READ, diff_ids=None, **facts) -> ImageFacts:
    known = {"config_type": CONFIG_TYPE, "artifact_type": None, **facts}
    return ImageFacts(layers=layers, diff_ids=len(layers) if diff_ids is None else diff_ids, contents=contents, **known)


def artifact(*layers, contents=FILES, config_type=ARTIFACT_CONFIG_TYPE) -> ImageFacts:
    return ImageFacts(config_type, ARTIFACT_TYPE, layers, None, contents)


KINDS = {
    # one letter a consumer, in the order of NAMES
    "ours, on a base with sh": (image(BASE, OURS), "yyyyyynny"),
    "ours, on the embedded base": (image(BASE, OURS, contents=replace(READ, sh=False)), "ynyyyynny"),
    "ours, base not read": (image(BASE, OURS, contents=replace(READ, sh=None)), "y?yyyynny"),
    "built by podman": (image(GZIP, GZIP), "yyyyyynny"),
    "built by podman, not read": (image(GZIP, GZIP, contents=Contents()), "????" + "??nn?"),
    "built by podman, names with ./": (image(GZIP, contents=replace(READ, plain=False)), "yyynyynny"),
    "docker's types": (
        image(
            Layer("application/vnd.docker.image.rootfs.diff.tar.gzip"),
            config_type="application/vnd.docker.container.image.v1+json",
        ),
        "yyyyyynny",
    ),
    "zstd": (image(ZSTD), "nyynyynny"),
    "titled tars of olot": (image(GZIP, TITLED), "yyyyyynny"),
    "titled tars of olot, not read": (image(GZIP, TITLED, contents=Contents()), "??????" + "??" + "?"),
    "an image with an artifactType": (image(OURS, artifact_type="x/y"), "yyyyypnny"),
    "a config of other layers": (image(OURS, OURS, diff_ids=1), "ynnynnnnn"),
    "an image for programs": (image(GZIP, contents=replace(READ, model=False)), "nnnynnnnn"),
    "128 layers": (image(*[OURS] * 128), "yyyypynny"),
    "501 layers": (image(*[OURS] * 501), "yyyypnnny"),
    "an image with a raw layer": (
        image(OURS, Layer(RAW, FILE.annotations | OURS.annotations), diff_ids=1),
        "ypppppppp",
    ),
    "ModelPack, raw": (artifact(FILE, FILE), "ynnnnnyyp"),
    "modctl, without titles": (artifact(Layer(RAW, {FILEPATH: "a"})), "ynnnnnynp"),
    "raw, one without a name": (artifact(FILE, Layer(RAW)), "ynnnnnppp"),
    "raw, none with a name": (artifact(Layer(RAW), contents=Contents(model=False)), "nnnnnnnnp"),
    "stock oras push of files": (artifact(TITLED, config_type="application/vnd.oci.empty.v1+json"), "ynnnnnyyp"),
    "stock oras push, not read": (artifact(TITLED, contents=Contents()), "?nn?nn??p"),
    "oras push of a folder": (artifact(FOLDER, contents=READ), "ynnynnnyp"),
    "a folder to unpack that is a plain tar": (
        artifact(Layer(LAYER_TYPE, FOLDER.annotations), contents=READ),
        "ynnynnnnp",
    ),
    "ModelPack, tar": (
        artifact(Layer("application/vnd.cncf.model.weight.v1.tar", {FILEPATH: "a"}), contents=READ),
        "ynnnnnnnp",
    ),
    "no layers": (image(contents=Contents(model=False)), "nnnnnnnnn"),
}


@pytest.mark.parametrize(("facts", "answers"), KINDS.values(), ids=KINDS)
class TestConsumers:
    """Every kind of image, every consumer."""

    def test_answers(self, facts, answers):
        """As each one's source has it."""
        assert {one.consumer: one.answer for one in consumers(facts)} == {
            name: ANSWERS[letter] for name, letter in zip(NAMES, answers, strict=True)
        }

    def test_reasons(self, facts, answers):
        """Are there, short, and one clause."""
        del answers
        assert [one.why for one in consumers(facts) if not 0 < len(one.why) <= 80 or one.why.endswith(".")] == []
