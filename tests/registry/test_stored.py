"""Tests of what a name stands for: an image or an index, for a platform or for any, in a layout of several."""

import json

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.image import INDEX_TYPE, MANIFEST_TYPE, LayoutReference, digest_of
from kubectl_modelcar.registry import docker_config, open_image, open_images
from tests.fakes.registry import PASSWORD, USER, FakeRegistry
from tests.puller.images import ours, put_layout
from tests.registry.images import ACCESS, add_image, reference


@pytest.fixture
def login(sealed):
    """Write docker's config.json for a registry."""

    def write(registry, password=PASSWORD):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir()
        path.write_bytes(docker_config(reference(registry), puller.Credential(USER, password)))

    return write


class TestPlatform:
    """A wish that an image without an index fulfils or not."""

    ARM = b'{"os":"linux","architecture":"arm64","variant":"v8"}'

    @pytest.mark.parametrize(
        ("config", "platform"),
        [
            (ARM, "linux/arm64"),
            (ARM, "linux/arm64/v8"),
            (b'{"os":"linux","architecture":"arm64"}', "linux/arm64/v8"),
            (b"{}", "linux/s390x"),
            (b'{"os":"linux"}', "windows/amd64"),
            (b'{"os":7,"architecture":"arm64"}', "linux/amd64"),
        ],
    )
    def test_fits(self, registry, config, platform):
        """As far as its config says something; an artifact's does not."""
        add_image(registry, config=config)
        open_image(reference(registry), ACCESS).require_platform(platform)

    @pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm", "linux/arm64/v7", "windows/arm64"])
    def test_does_not_fit(self, registry, platform):
        """What it is for is said."""
        add_image(registry, config=self.ARM)
        with pytest.raises(NotFoundOrRefused) as caught:
            open_image(reference(registry), ACCESS).require_platform(platform)
        assert caught.value.message == f"{reference(registry)} is for linux/arm64/v8, not for {platform}"
        assert caught.value.hint == "leave out --platform to take it"


class TestOpenImages:
    """What a name stands for, whole."""

    def test_an_image(self, registry):
        """It has no entries; its manifest is read by digest."""
        digest = add_image(registry)
        stored = open_images(reference(registry), ACCESS)
        assert (stored.digest, stored.media_type, stored.entries) == (digest, MANIFEST_TYPE, None)
        assert stored.open(digest).manifest.digest == digest

    def test_an_index(self, registry):
        """Its entries are not followed; one that is not there is an error of its own."""
        digest = add_image(registry)
        entry = {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 9, "platform": {"os": "unknown"}}
        gone = entry | {"digest": digest_of(b"gone")}
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry, gone]}).encode()
        registry.add_manifest("org/m", index, INDEX_TYPE, "2")
        stored = open_images(reference(registry, "org/m:2"), ACCESS)
        assert (stored.digest, [one.digest for one in stored.entries]) == (digest_of(index), [digest, gone["digest"]])
        with pytest.raises(NotFoundOrRefused):
            stored.open(gone["digest"])

    def test_a_private_one(self, login):
        """With the login, as any other."""
        with FakeRegistry(auth="bearer") as registry:
            digest = add_image(registry)
            login(registry)
            assert open_images(reference(registry), ACCESS).digest == digest


class TestLayout:
    """An OCI layout with several images."""

    @pytest.fixture
    def layout(self, tmp_path):
        """Return the layout's folder."""
        images = [("latest", (ours({"a": b"new"}),)), ("old", (ours({"a": b"old"}),))]
        return put_layout(tmp_path / "layout", *images)

    @pytest.mark.parametrize(
        "read", [lambda where: open_image(where, ACCESS).manifest, lambda where: open_images(where, ACCESS)]
    )
    def test_the_digest_is_what_counts(self, layout, read):
        """And not what has the default tag."""
        old = read(LayoutReference(layout, "old")).digest
        assert read(LayoutReference(layout, digest=old)).digest == old
        assert read(LayoutReference(layout)).digest == read(LayoutReference(layout, "latest")).digest != old
