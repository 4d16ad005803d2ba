"""Tests of manifests and configs as bytes."""

import json

import pytest

from kubectl_modelcar.image import (
    CONFIG_TYPE,
    FILES_ANNOTATION,
    LAYER_TYPE,
    MANIFEST_TYPE,
    BaseImage,
    Descriptor,
    Document,
    LayerPlan,
    ModelFile,
    Platform,
    digest_of,
    image_config,
    image_manifest,
    layer_descriptor,
)

CREATED = "2026-01-02T03:04:05Z"
ONE, TWO, BELOW = ("sha256:" + digit * 64 for digit in "123")
LAYERS = [Descriptor(LAYER_TYPE, ONE, 10_240), Descriptor(LAYER_TYPE, TWO, 2**33)]
BASE = BaseImage(
    {
        "created": "2020-01-01T00:00:00Z",
        "os": "linux",
        "architecture": "arm64",
        "config": {"Env": ["PATH=/bin"], "Entrypoint": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "d" * 64]},
        "history": [{"created_by": "somebody"}],
    },
    (Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", BELOW, 5),),
    "quay.io/base/micro:1",
    "sha256:" + "b" * 64,
)


class TestConfig:
    """The config makes the image runnable."""

    def test_without_a_base(self):
        """All that a runtime asks for, and nothing of this machine."""
        config = image_config(BaseImage(), LAYERS, platform=Platform(), created=CREATED)
        entry = {"created": CREATED, "created_by": "kubectl-modelcar recipe 1", "comment": "model files"}
        assert json.loads(config.data) == {
            "created": CREATED,
            "os": "linux",
            "architecture": "amd64",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [ONE, TWO]},
            "history": [entry, entry],
        }
        assert config.media_type == CONFIG_TYPE

    def test_with_a_base(self):
        """The base's entry point, environment and layers stay, the platform and the date are ours."""
        config = json.loads(image_config(BASE, LAYERS[:1], platform=Platform("linux", "arm64"), created=CREATED).data)
        assert config == {
            "created": CREATED,
            "os": "linux",
            "architecture": "arm64",
            "config": {"Env": ["PATH=/bin"], "Entrypoint": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "d" * 64, ONE]},
            "history": [
                {"created_by": "somebody"},
                {"created": CREATED, "created_by": "kubectl-modelcar recipe 1", "comment": "model files"},
            ],
        }

    @pytest.mark.parametrize(
        "base",
        [
            pytest.param({"config": None, "history": None, "rootfs": {"diff_ids": []}}, id="null"),
            pytest.param({}, id="absent"),
        ],
    )
    def test_sparse_base(self, base):
        """What image-spec lets a config leave out or set to null is nothing."""
        config = json.loads(image_config(BaseImage(base), [], platform=Platform(), created=CREATED).data)
        assert (config["config"], config["history"], config["rootfs"]["diff_ids"]) == ({}, [], [])


class TestManifest:
    """The manifest is made once, as the bytes that are sent and hashed."""

    CONFIG = Document(CONFIG_TYPE, b"{}")

    def test_golden_bytes(self):
        """Compact JSON, keys in their order; the annotations sorted."""
        manifest = image_manifest(self.CONFIG, BaseImage(), LAYERS[:1], {"b": "2", "a": "größe"})
        config = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        assert manifest.data.decode() == (
            '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
            f'"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},'
            f'"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{ONE}","size":10240}}],'
            '"annotations":{"a":"größe","b":"2","io.github.kubectl-modelcar.recipe":"1"}}'
        )
        assert manifest.digest == digest_of(manifest.data)

    def test_the_base_lies_below(self):
        """Layers apply in order: the base's first."""
        data = json.loads(image_manifest(self.CONFIG, BASE, LAYERS, {}).data)
        assert [layer["digest"] for layer in data["layers"]] == [BELOW, ONE, TWO]

    def test_is_a_plain_image(self):
        """CRI-O 1.33 takes a manifest with an artifact type for an artifact and does not run it."""
        data = json.loads(image_manifest(self.CONFIG, BASE, LAYERS, {}).data)
        assert set(data) == {"schemaVersion", "mediaType", "config", "layers", "annotations"}

    def test_descriptor_of_a_document(self):
        """Type, digest and size of the very bytes."""
        assert self.CONFIG.descriptor == Descriptor(CONFIG_TYPE, digest_of(b"{}"), 2)
        assert image_manifest(self.CONFIG, BASE, (), {}).media_type == MANIFEST_TYPE


class TestLayerDescriptor:
    """A layer remembers its files."""

    PLAN = LayerPlan((ModelFile("größe.json", 3), ModelFile("w.safetensors", 4, "e" * 64)))

    def test_remembers_files(self):
        """Path, size, and the sha256 where it is known."""
        descriptor = layer_descriptor(self.PLAN, ONE)
        assert descriptor.annotations == {
            FILES_ANNOTATION: (
                f'[{{"path":"größe.json","size":3}},{{"path":"w.safetensors","size":4,"sha256":"{"e" * 64}"}}]'
            )
        }
        assert (descriptor.media_type, descriptor.digest, descriptor.size) == (LAYER_TYPE, ONE, self.PLAN.size)

    def test_has_no_title(self):
        """`oras pull` would write the tar under the model file's name."""
        assert "org.opencontainers.image.title" not in layer_descriptor(self.PLAN, ONE).annotations


def test_platform():
    """As image indexes write it."""
    assert str(Platform("linux", "arm64")) == "linux/arm64"
