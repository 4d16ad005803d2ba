"""Tests of manifests and configs as bytes."""

import json

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import (
    CONFIG_TYPE,
    FILES_ANNOTATION,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    MOST_MANIFEST,
    BaseImage,
    Descriptor,
    Document,
    LayerPlan,
    ModelFile,
    Platform,
    digest_of,
    image_config,
    image_manifest,
    index_manifest,
    layer_descriptor,
    manifest_size,
    parse_platform,
    require_small_manifest,
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

UBI = {
    "os": "linux",
    "architecture": "arm64",
    "variant": "v8",
    "config": {
        "User": "1001",
        "Env": ["PATH=/usr/bin", "container=oci"],
        "Entrypoint": ["/usr/bin/serve"],
        "Cmd": ["/bin/bash"],
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
        "ExposedPorts": {"8080/tcp": {}},
        "Volumes": {"/data": {}},
        "Labels": {
            "name": "ubi9/ubi-micro",
            "io.buildah.version": "1.40.1",
            "org.opencontainers.image.version": "9.6",
            "org.opencontainers.image.revision": "f" * 40,
        },
    },
}
"""The config of a base that says all that a config can say."""


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


class TestRunConfig:
    """What a runtime goes by: the base's own, and labels."""

    def run_config(self, config=None, **labels):
        made = image_config(
            BaseImage(config or UBI), [], platform=Platform("linux", "arm64"), created=CREATED, labels=labels
        )
        return json.loads(made.data)

    def test_the_base_stays_what_it_is(self):
        """User, command, environment, ports, volumes: whoever chose the base chose them."""
        theirs = {key: value for key, value in UBI["config"].items() if key != "Labels"}
        made = self.run_config()
        ours = {key: value for key, value in made["config"].items() if key != "Labels"}
        assert (ours, made["variant"]) == (theirs, "v8")

    def test_labels(self):
        """Are merged over the base's; what the base says of its own version and origin is not said of the model."""
        assert self.run_config(**{"name": "granite", "org.opencontainers.image.source": "https://x"})["config"][
            "Labels"
        ] == {
            "io.buildah.version": "1.40.1",
            "name": "granite",
            "org.opencontainers.image.source": "https://x",
        }

    def test_labels_in_any_order(self):
        """Give the same bytes."""
        assert self.run_config(a="1", b="2") == self.run_config(b="2", a="1")
        assert list(self.run_config(b="2", a="1")["config"]["Labels"]) == ["a", "b", "io.buildah.version", "name"]

    @pytest.mark.parametrize("labels", [None, {}])
    def test_without_labels(self, labels):
        """No empty object is made."""
        assert self.run_config({"config": {"Labels": labels}})["config"] == {}

    @pytest.mark.parametrize("path", ["/models", "/models/", "models", "/", "/models/sub"])
    def test_volumes_over_the_model(self, path):
        """Are dropped: a runtime would lay an empty folder, or a second copy, over the model."""
        made = self.run_config({"config": {"Volumes": {path: {}, "/data": {}, "/models-of-others": {}}}})
        assert made["config"] == {"Volumes": {"/data": {}, "/models-of-others": {}}}

    def test_nothing_but_such_volumes(self):
        """Leaves no empty object."""
        assert self.run_config({"config": {"Volumes": {"/models": {}}}})["config"] == {}

    def test_the_base_is_not_changed(self):
        """It is a value, and may be used for another platform."""
        before = json.dumps(UBI)
        self.run_config(name="granite")
        assert json.dumps(UBI) == before

    def test_variant(self):
        """Of the platform wins."""
        config = image_config(BaseImage(), [], platform=Platform("linux", "arm", "v7"), created=CREATED)
        assert json.loads(config.data)["variant"] == "v7"


class TestIndex:
    """One image a platform."""

    AMD, ARM = Document(MANIFEST_TYPE, b"{}"), Document(MANIFEST_TYPE, b"[]")

    def test_golden_bytes(self):
        """Sorted by platform, whatever the order; the annotations sorted, too."""
        entries = [(self.ARM, parse_platform("linux/arm64/v8")), (self.AMD, Platform())]
        index = index_manifest(entries, {"b": "2", "a": "1"})
        assert index.data.decode() == (
            '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['
            f'{{"mediaType":"{MANIFEST_TYPE}","digest":"{digest_of(b"{}")}","size":2,'
            '"platform":{"architecture":"amd64","os":"linux"}},'
            f'{{"mediaType":"{MANIFEST_TYPE}","digest":"{digest_of(b"[]")}","size":2,'
            '"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}],"annotations":{"a":"1","b":"2"}}'
        )
        assert index_manifest(entries[::-1], {"a": "1", "b": "2"}) == index
        assert index.media_type == INDEX_TYPE

    def test_without_annotations(self):
        """No empty object is made."""
        assert set(json.loads(index_manifest([(self.AMD, Platform())]).data)) == {
            "schemaVersion",
            "mediaType",
            "manifests",
        }

    @pytest.mark.parametrize("second", ["linux/arm64", "linux/arm64/v8"])
    def test_a_platform_twice(self, second):
        """Is refused: a runtime would take either."""
        entries = [(self.AMD, parse_platform("linux/arm64")), (self.ARM, parse_platform(second))]
        with pytest.raises(InvalidInput) as caught:
            index_manifest(entries)
        assert caught.value.message == "the platforms linux/arm64, linux/arm64 are not all different"


class TestManifestSize:
    """How large a manifest will be is known before anything is sent."""

    @pytest.mark.parametrize("count", [0, 1, 500])
    def test_is_never_less_than_the_manifest(self, count):
        """An estimate that is safe, and not much too large."""
        plan = LayerPlan(tuple(ModelFile(f'a "name" {n}', n, git="a" * 40) for n in range(count)))
        layer = layer_descriptor(plan, ONE, {file.path: "b" * 64 for file in plan.files})
        config = image_config(BaseImage(), [layer], platform=Platform(), created=CREATED)
        real = len(image_manifest(config, BaseImage(), [layer], {"a": "b" * 100}).data)
        assert real <= manifest_size([plan]) <= real + 20_000

    def test_limit(self):
        """Of registries, and of our puller."""
        plan = LayerPlan(tuple(ModelFile(f"{n}", n) for n in range(40_000)))
        with pytest.raises(InvalidInput) as caught:
            require_small_manifest([plan])
        assert caught.value.message == (
            f"40000 files need a manifest of {manifest_size([plan])} bytes; registries take {MOST_MANIFEST}"
        )
        require_small_manifest([LayerPlan(plan.files[:1000])])


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
