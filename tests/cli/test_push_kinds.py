"""Tests of what `push` can make beside one image: tags, labels, indexes, artifacts, copies, and nothing at all."""

import json

import pytest

from tests.conftest import Invoked
from tests.real.models import MODEL

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def push(invoke, registry):
    """Give a function that pushes the folder `model`."""

    def push(*options, source="./model", image=None):
        return invoke("push", source, image or f"{registry.host}/org/m:1", "--plain-http", "-q", *options)

    return push


def document(registry, tag="1"):
    return json.loads(registry.manifests[registry.tags[f"org/m:{tag}"]][1])


class TestTags:
    def test_all_are_published(self, push, registry):
        """Beside the image's own; commas part several."""
        said = json.loads(push("--tag", "2,3", "--tag", "latest", "-o", "json").out)
        assert said["tags"] == ["1", "2", "3", "latest"]
        assert sorted(registry.tags) == ["org/m:1", "org/m:2", "org/m:3", "org/m:latest"]

    def test_in_place_of_latest(self, push, registry):
        """An image without a tag gets those that are named."""
        push("--tag", "v2", image=f"{registry.host}/org/m")
        assert list(registry.tags) == ["org/m:v2"]

    def test_that_is_none(self, push, registry):
        """Is refused before anything is asked."""
        assert push("--tag", "a/b") == Invoked(
            2,
            "",
            "error: tag 'a/b' is not valid\nhint: a tag has letters, digits, '.', '_' and '-', at most 128 of them\n",
        )
        assert registry.log == []


class TestLabels:
    def test_are_published(self, push, registry):
        """A label in the config, an annotation in the manifest."""
        push("--label", "team=search", "--annotation", "stage=a=b")
        manifest = document(registry)
        config = json.loads(registry.blobs[manifest["config"]["digest"]])
        assert (config["config"]["Labels"]["team"], manifest["annotations"]["stage"]) == ("search", "a=b")

    @pytest.mark.parametrize(
        ("option", "text", "why"),
        [
            pytest.param("--label", "team", "'team' is not KEY=VALUE", id="no value"),
            pytest.param("--annotation", "=x", "'=x' is not KEY=VALUE", id="no key"),
            pytest.param(
                "--annotation",
                "io.github.kubectl-modelcar.recipe=9",
                "io.github.kubectl-modelcar.recipe is set by push itself",
                id="ours",
            ),
        ],
    )
    def test_that_are_none(self, push, registry, option, text, why):
        """Are refused before anything is asked."""
        done = push(option, text)
        assert (done.code, done.out, done.err.splitlines()[0]) == (2, "", f"error: {option}: {why}")
        assert registry.log == []


class TestPlatforms:
    def test_several_make_an_index(self, push, registry):
        """Each once."""
        push("--platform", "linux/arm64,linux/amd64")
        assert [entry["platform"]["architecture"] for entry in document(registry)["manifests"]] == ["amd64", "arm64"]

    @pytest.mark.parametrize("text", ["linux", "linux/x86_64", "linux/amd64,linux/amd64", "linux/arm64,linux/arm64/v8"])
    def test_that_are_none(self, push, registry, text):
        """What cannot be meant is refused before anything is asked."""
        assert (push("--platform", text).code, registry.log) == (2, [])


class TestArtifact:
    def test_holds_the_files(self, push, registry):
        """Each a layer, under its own name."""
        push("--format", "artifact")
        layers = document(registry)["layers"]
        assert sorted(layer["annotations"]["org.opencontainers.image.title"] for layer in layers) == sorted(MODEL)

    @pytest.mark.parametrize("options", [("--base", "none"), ("--platform", "linux/arm64"), ("--label", "a=b")])
    def test_is_no_image(self, push, registry, options):
        """What only an image has is refused."""
        assert push("--format", "artifact", *options) == Invoked(
            2,
            "",
            f"error: {options[0]} makes no sense with --format artifact\nhint: an artifact has files and no image\n",
        )
        assert registry.log == []


class TestDryRun:
    def test_says_what_would_be_pushed(self, push, registry):
        """Layers with their sizes; the registry hears nothing."""
        done = push("--dry-run", "--tag", "2")
        assert done.out == (
            "Source:     model\n"
            f"Image:      {registry.host}/org/m\n"
            "Tags:       1, 2\n"
            f"Files:      {len(MODEL)}\n"
            "Layers:     1, 607.2 kB\n"
            "\n"
            "LAYER                    SIZE       MEDIA TYPE\n"
            "config.json and 5 more   607.2 kB   application/vnd.oci.image.layer.v1.tar\n"
        )
        assert (done.code, registry.log) == (0, [])

    def test_as_json(self, push, registry):
        """The same, for programs."""
        said = json.loads(push("--dry-run", "-o", "json").out)
        assert [file["path"] for layer in said["layers"] for file in layer["files"]] == sorted(MODEL)
        assert (said["tags"], registry.log) == (["1"], [])


class TestCopy:
    """An image of an OCI layout as the source."""

    @pytest.fixture
    def layout(self, here, push):
        """An index of two platforms in a layout; return its digest."""
        del here  # where the layout is made
        done = push("--platform", "linux/amd64,linux/arm64", "-o", "json", image="oci:layout:v1")
        return json.loads(done.out)["digest"]

    def test_keeps_the_digest(self, push, registry, layout):
        """Byte for byte, an index with its images, under every tag."""
        done = push("--tag", "2", source="oci:layout:v1")
        assert done == Invoked(0, f"{registry.host}/org/m@{layout}\n", "")
        assert registry.tags == {"org/m:1": layout, "org/m:2": layout}

    def test_again(self, push, layout):
        """Sends nothing."""
        push(source="oci:layout:v1")
        said = json.loads(push("-o", "json", source="oci:layout:v1").out)
        assert (said["digest"], said["bytesSent"]) == (layout, 0)

    @pytest.mark.parametrize(
        "options",
        [("--base", "none"), ("--include", "*.json"), ("--allow-unsafe",), ("--format", "image"), ("--dry-run",)],
        ids=lambda options: options[0],
    )
    @pytest.mark.usefixtures("layout")
    def test_changes_nothing(self, push, registry, options):
        """What would make another image of it is refused."""
        done = push(*options, source="oci:layout:v1")
        assert done.err.startswith(
            f"error: {options[0]} makes no sense for the image oci:layout:v1: it is copied as it is"
        )
        assert (done.code, registry.log) == (2, [])

    @pytest.mark.parametrize(
        ("source", "code"),
        [("oci:nothing:1", 4), ("oci:layout:v9", 4), ("oci:", 2)],
        ids=["no layout", "no tag", "empty"],
    )
    @pytest.mark.usefixtures("layout")
    def test_of_nothing(self, push, registry, source, code):
        """Says that there is nothing, and publishes nothing."""
        done = push(source=source)
        assert (done.code, done.out, registry.tags) == (code, "", {})
