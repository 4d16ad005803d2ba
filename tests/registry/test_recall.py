"""Tests of what is remembered of the images that are there."""

import pytest

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import FILES_ANNOTATION, LayoutReference, digest_of
from kubectl_modelcar.registry import open_image, remembered_images
from tests.fakes.registry import Fault
from tests.registry.images import ACCESS, FILES, LAYER, add_image, reference


def remembered_layers(location):
    """Return the layers of the images with the tag that are remembered."""
    return [layer for image in remembered_images(location, ACCESS, [location.tag or "latest"]) for layer in image]


class TestRememberedLayers:
    """What the image that has the tag now saves us."""

    def test_ours(self, registry):
        """Digest, size and annotations."""
        add_image(registry)
        (layer,) = remembered_layers(reference(registry))
        assert (layer.digest, layer.size, layer.annotations) == (
            digest_of(LAYER),
            len(LAYER),
            {FILES_ANNOTATION: FILES},
        )

    @pytest.mark.parametrize("recipe", [None, "0", "2"])
    def test_of_another_recipe(self, registry, recipe):
        """The same files would give other bytes."""
        add_image(registry, recipe=recipe)
        assert remembered_layers(reference(registry)) == []

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(Fault(path="/manifests/", status=404, times=-1), id="none"),
            pytest.param(Fault(path="/manifests/", status=403, times=-1), id="not for us"),
            pytest.param(Fault(path="/manifests/", status=200, body=b"{", times=-1), id="broken"),
        ],
    )
    def test_none(self, registry, fault):
        """It is a help and no more."""
        add_image(registry)
        registry.faults.append(fault)
        assert remembered_layers(reference(registry)) == []

    def test_no_layout(self, tmp_path):
        """The folder is made by this push."""
        assert remembered_layers(LayoutReference(tmp_path / "new")) == []

    def test_broken_credentials(self, sealed, registry):
        """A login that cannot be read fails the push elsewhere; here it is no help."""
        (sealed / ".docker").mkdir()
        (sealed / ".docker" / "config.json").write_text("{")
        registry.faults.append(Fault(path="/manifests/", status=404))
        assert remembered_layers(reference(registry)) == []
        with pytest.raises(LocalFailure):
            open_image(reference(registry, "org/nothing"), ACCESS)
