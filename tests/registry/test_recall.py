"""Tests of what is remembered of the images that are there."""

import pytest

from kubectl_modelcar.image import FILES_ANNOTATION, LayoutReference, digest_of
from kubectl_modelcar.registry import open_target, remembered_images
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.images import ACCESS, FILES, LAYER, add_image, reference
from tests.registry.sending import counted_connections


def remembered_layers(location, *tags):
    """Return the layers of the images that are remembered: of those with the tags, then of some others."""
    there = open_target(location, ACCESS)
    return [layer for image in remembered_images(there, tags or [location.tag or "latest"]) for layer in image]


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
            pytest.param(Fault(path="/manifests/", status=200, body=b"1" * 5_000_000, times=-1), id="large"),
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


class TestSeveralTags:
    """The tags that are pushed to, and the latest others."""

    def test_order(self, registry):
        """Eight others, the last first; each is read when it is asked for."""
        for number in range(12):
            add_image(registry, tag=f"v{number:02}", config=b"%d" % number)
        images = remembered_images(open_target(reference(registry), ACCESS), ["v03", "v11"])
        assert [len(registry.requests(path="/manifests/")) for _ in images] == list(range(1, 11))
        tags = [request.path.rpartition("/")[2] for request in registry.requests(path="/manifests/")]
        assert tags == ["v03", "v11", "v10", "v09", "v08", "v07", "v06", "v05", "v04", "v02"]

    @pytest.mark.parametrize(("auth", "tokens"), [("bearer", 1), ("basic", 0), (None, 0)])
    def test_one_login_for_all(self, log_in, auth, tokens):
        """The one that the push has, over the push's own connection."""
        with FakeRegistry(auth=auth) as registry, counted_connections(registry) as connections:
            for number in range(9):
                add_image(registry, tag=f"v{number}")
            log_in(registry.host)
            there = open_target(reference(registry), ACCESS)
            there.prepare()
            assert len(list(remembered_images(there, ["new"]))) == 8
            begun = 2 if auth is None else 3  # POST and DELETE, the first after a challenge
            assert len(registry.requests(path="^/v2")) == begun + 1 + 1 + 8  # tags/list, the new tag, eight others
            assert (len(registry.requests(path="^/token")), connections[0]) == (tokens, 1 + tokens)
