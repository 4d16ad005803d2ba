"""Tests of looking into an image."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.image import CREATED, FILES_ANNOTATION, LAYER_TYPE, MANIFEST_TYPE, parse_location
from kubectl_modelcar.inspection import InspectedFile, InspectedLayer, inspect

SOURCE, REVISION, LICENCE, BASE_NAME, BASE_DIGEST = (
    f"org.opencontainers.image.{name}" for name in ("source", "revision", "licenses", "base.name", "base.digest")
)
DIGEST, CONFIG, BELOW, SMALL, LARGE = (f"sha256:{digit * 64}" for digit in "01234")
GZIP = f"{LAYER_TYPE}+gzip"


def layer(digest, size=1000, files=None, media_type=LAYER_TYPE):
    annotations = {} if files is None else {FILES_ANNOTATION: json.dumps(files)}
    return puller.Descriptor(media_type, digest, size, annotations)


HELD = puller.File("config.json", 12, layer(SMALL))


@dataclass
class Image:
    """An image as the registry room opens it."""

    layers: tuple
    annotations: dict = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    held: tuple = (HELD,)
    location: Any = field(default_factory=lambda: parse_location("quay.io/me/m:1"))

    @property
    def manifest(self):
        config = puller.Descriptor("application/vnd.oci.image.config.v1+json", CONFIG, 2)
        return puller.Manifest(DIGEST, MANIFEST_TYPE, b"", config, self.layers, self.annotations)

    def files(self):
        return self.held

    def config(self):
        return self.document


BASE = layer(BELOW, 1_300_000, media_type=GZIP)
ONE = layer(SMALL, 3072, [{"path": "config.json", "size": 12}])
TWO = layer(LARGE, 5_000_000, [{"path": "w.safetensors", "size": 4_999_000, "sha256": "e" * 64}])
OURS = Image(
    (BASE, ONE, TWO),
    {
        CREATED: "2025-06-01T12:00:00Z",
        SOURCE: "https://huggingface.co/org/m",
        REVISION: "f" * 40,
        LICENCE: "apache-2.0",
        BASE_NAME: "modelcar-base-image",
        BASE_DIGEST: "sha256:" + "b" * 64,
    },
    {"os": "linux", "architecture": "arm64", "created": "2020-01-01T00:00:00Z"},
    (puller.File("config.json", 12, ONE), puller.File("w.safetensors", 4_999_000, TWO, "e" * 64)),
)


class TestOurs:
    """An image that a push made."""

    def test_facts(self):
        """Where it comes from and whom it fits."""
        seen = inspect(OURS)
        assert (seen.reference, seen.platform, seen.created, seen.source, seen.revision, seen.licence, seen.base) == (
            f"quay.io/me/m@{DIGEST}",
            "linux/arm64",
            "2025-06-01T12:00:00Z",
            "https://huggingface.co/org/m",
            "f" * 40,
            "apache-2.0",
            "modelcar-base-image@sha256:" + "b" * 64,
        )

    def test_files(self):
        """With the layer of each, and the sha256 where it is known."""
        seen = inspect(OURS)
        assert seen.files == (
            InspectedFile("config.json", 12, SMALL, None),
            InspectedFile("w.safetensors", 4_999_000, LARGE, "e" * 64),
        )
        assert seen.size == 4_999_012

    def test_layers(self):
        """The base's hold no model."""
        assert inspect(OURS).layers == (
            InspectedLayer(BELOW, GZIP, 1_300_000, model=False),
            InspectedLayer(SMALL, LAYER_TYPE, 3072, model=True),
            InspectedLayer(LARGE, LAYER_TYPE, 5_000_000, model=True),
        )

    def test_no_base(self):
        """An image on scratch says so."""
        assert inspect(Image((ONE,))).base == "none"

    def test_base_without_a_name(self):
        """A layout's path stays out of the image; its digest does not."""
        assert inspect(Image((ONE,), {BASE_DIGEST: BELOW})).base == BELOW


class TestImagesOfOthers:
    """What is not told is not known, and nothing that is told can do harm."""

    def test_nothing_is_told(self):
        """No fact is made up."""
        seen = inspect(Image((layer(SMALL, media_type=GZIP),)))
        assert (seen.platform, seen.created, seen.source, seen.revision, seen.licence, seen.base) == (None,) * 6

    def test_no_model(self):
        """Is said instead of an empty table."""
        with pytest.raises(NotFoundOrRefused) as caught:
            inspect(Image((BASE,), held=()))
        assert caught.value.message == "no model in quay.io/me/m:1: no file below models/ and no titled layer"

    def test_created_of_the_config(self):
        """Podman writes it there alone."""
        assert inspect(Image((), document={"created": "2020-01-01T00:00:00Z"})).created == "2020-01-01T00:00:00Z"

    def test_labels(self):
        """Builders write labels; annotations win over them."""
        document = {"config": {"Labels": {SOURCE: "label", LICENCE: "label"}}}
        seen = inspect(Image((), {LICENCE: "annotation"}, document))
        assert (seen.source, seen.licence) == ("label", "annotation")

    @pytest.mark.parametrize(
        "document",
        [
            pytest.param({"config": None}, id="null"),
            pytest.param({"config": "text"}, id="text"),
            pytest.param({"config": {"Labels": None}}, id="null for labels"),
            pytest.param({"config": {"Labels": ["a"]}}, id="a list for labels"),
            pytest.param({"os": "linux"}, id="half a platform"),
        ],
    )
    def test_odd_configs(self, document):
        """Are read as far as they go."""
        seen = inspect(Image((), document=document))
        assert (seen.platform, seen.licence) == (None, None)

    @pytest.mark.parametrize(
        ("document", "attribute"),
        [
            pytest.param({"config": {"Labels": {LICENCE: ["mit"]}}}, "licence", id="list"),
            pytest.param({"config": {"Labels": {SOURCE: {"a": 1}}}}, "source", id="object"),
            pytest.param({"created": 7}, "created", id="number"),
            pytest.param({"os": ["linux"], "architecture": "amd64"}, "platform", id="list for a system"),
        ],
    )
    def test_no_texts(self, document, attribute):
        """A fact is a text or none."""
        assert getattr(inspect(Image((), document=document)), attribute) is None
