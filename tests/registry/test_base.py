"""Tests of the image below the model."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from kubectl_modelcar.errors import IntegrityFailure, InvalidInput, NotFoundOrRefused
from kubectl_modelcar.image import CONFIG_TYPE, MANIFEST_TYPE, BaseImage, Platform, digest_of
from kubectl_modelcar.registry import EMBEDDED, NONE, RegistryAccess, open_base

ACCESS = RegistryAccess(plain_http=True)
LAYER = b"a layer"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def add_base(registry, config, *, media_type=GZIP, layers=(LAYER,), tag="1"):
    """Put a base image there and return its digest."""
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    for blob in (raw, *layers):
        registry.add_blob("base", blob)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(raw), "size": len(raw)},
        "layers": [
            {"mediaType": media_type, "digest": digest_of(layer), "size": len(layer), "annotations": {"a": "b"}}
            for layer in layers
        ],
    }
    return registry.add_manifest("base", json.dumps(manifest).encode(), MANIFEST_TYPE, tag)


def config(*diff_ids):
    return {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": list(diff_ids)}}


class TestNone:
    """Scratch."""

    def test_nothing(self):
        """No config, no layers, no name."""
        base = open_base(NONE, ACCESS, Platform())
        assert (base.image, b"".join(base.content(None).chunks())) == (BaseImage(), b"")


class TestEmbedded:
    """The image that a package of ours brings along."""

    @pytest.mark.parametrize(
        ("architecture", "variant"), [("amd64", None), ("arm64", None), ("arm64", "v8")], ids=["amd64", "arm64", "v8"]
    )
    def test_platforms(self, architecture, variant):
        """Small, with a shell for KServe's sidecar, for either machine; nothing is asked of a network."""
        base = open_base(EMBEDDED, ACCESS, Platform("linux", architecture, variant))
        assert (base.image.name, base.image.config["architecture"]) == ("modelcar-base-image", architecture)
        assert sum(layer.size for layer in base.image.layers) < 2_000_000
        for layer in base.image.layers:
            assert digest_of(b"".join(bytes(chunk) for chunk in base.content(layer).chunks())) == layer.digest

    def test_out_of_a_zip(self, tmp_path, monkeypatch):
        """A copy of the layout is there as long as the program runs: layers are read when they are sent."""
        ends = []

        @contextmanager
        def copied(folder):
            yield Path(shutil.copytree(folder, tmp_path / "copy"))
            shutil.rmtree(tmp_path / "copy")

        monkeypatch.setattr("kubectl_modelcar.registry.base.as_file", copied)
        monkeypatch.setattr("kubectl_modelcar.registry.base.atexit.register", ends.append)
        base = open_base(EMBEDDED, ACCESS, Platform())
        (layer,) = base.image.layers
        assert digest_of(b"".join(map(bytes, base.content(layer).chunks()))) == layer.digest
        (end,) = ends
        end()
        assert not (tmp_path / "copy").exists()

    def test_other_platform(self):
        """What it has not."""
        with pytest.raises(NotFoundOrRefused) as caught:
            open_base(EMBEDDED, ACCESS, Platform("linux", "mips"))
        assert "linux/mips" in caught.value.message


class TestReference:
    """Any image of a registry."""

    def test_base(self, registry):
        """Its config, its layers without their annotations, its name and digest."""
        digest = add_base(registry, config("sha256:" + "d" * 64))
        base = open_base(f"{registry.host}/base:1", ACCESS, Platform())
        assert base.image.config == config("sha256:" + "d" * 64)
        assert [(layer.media_type, layer.digest, layer.annotations) for layer in base.image.layers] == [
            (GZIP, digest_of(LAYER), {})
        ]
        assert (base.image.name, base.image.digest) == (f"{registry.host}/base", digest)
        content = base.content(base.image.layers[0])
        assert (content.name, content.size, b"".join(map(bytes, content.chunks()))) == ("base image", 7, LAYER)

    @pytest.mark.parametrize(
        ("given", "ours"),
        [
            pytest.param("application/vnd.docker.image.rootfs.diff.tar.gzip", GZIP, id="docker, gzip"),
            pytest.param(
                "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.oci.image.layer.v1.tar", id="docker"
            ),
        ],
    )
    def test_docker_s_types(self, registry, given, ours):
        """In a manifest of OCI's a layer has OCI's type: some tools refuse a mixture."""
        add_base(registry, config("sha256:" + "d" * 64), media_type=given)
        base = open_base(f"{registry.host}/base:1", ACCESS, Platform())
        assert [layer.media_type for layer in base.image.layers] == [ours]

    @pytest.mark.parametrize(
        "broken",
        [
            pytest.param({"rootfs": None}, id="null"),
            pytest.param({}, id="an artifact's"),
            pytest.param({"rootfs": {"diff_ids": 7}}, id="a number"),
            pytest.param(config("sha256:" + "d" * 64, "sha256:" + "e" * 64), id="another number of layers"),
        ],
    )
    def test_no_image(self, registry, broken):
        """An artifact, for example, has no such config."""
        add_base(registry, broken)
        with pytest.raises(IntegrityFailure) as caught:
            open_base(f"{registry.host}/base:1", ACCESS, Platform())
        assert (caught.value.message, caught.value.hint) == (
            f"base {registry.host}/base:1 is no container image: its config does not name its layers",
            "use an image that a container runtime can run, or --base none",
        )

    def test_another_platform(self, registry):
        """A base of one machine and a model for another would never start."""
        add_base(registry, config("sha256:" + "d" * 64))
        with pytest.raises(InvalidInput) as caught:
            open_base(f"{registry.host}/base:1", ACCESS, Platform("linux", "arm64"))
        assert (caught.value.message, caught.value.hint) == (
            f"base {registry.host}/base:1 is for linux/amd64, not for linux/arm64",
            "add --platform linux/amd64",
        )

    @staticmethod
    def add_arm(registry, variant):
        more = {"architecture": "arm"} | ({"variant": variant} if variant else {})
        add_base(registry, config("sha256:" + "d" * 64) | more)

    @pytest.mark.parametrize(
        ("there", "wanted"),
        [
            pytest.param(None, None, id="none"),
            pytest.param("v7", None, id="none is wanted"),
            pytest.param(None, "v7", id="none is said"),
            pytest.param("v7", "v7", id="the same"),
        ],
    )
    def test_variants(self, registry, there, wanted):
        """A base that says no variant runs on all of them."""
        self.add_arm(registry, there)
        base = open_base(f"{registry.host}/base:1", ACCESS, Platform("linux", "arm", wanted))
        assert base.image.config.get("variant") == there

    def test_another_variant(self, registry):
        """Is another platform."""
        self.add_arm(registry, "v6")
        with pytest.raises(InvalidInput) as caught:
            open_base(f"{registry.host}/base:1", ACCESS, Platform("linux", "arm", "v7"))
        assert caught.value.hint == "add --platform linux/arm/v6"

    def test_no_reference(self):
        """A word that is none of the three."""
        with pytest.raises(InvalidInput) as caught:
            open_base("ubi", ACCESS, Platform())
        assert caught.value.message == "image 'ubi' does not name its registry"
