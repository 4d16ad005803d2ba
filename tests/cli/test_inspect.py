"""Tests of `inspect` as it is typed: whole outputs and exit codes."""

import json

import pytest
import yaml

from tests.cli.images import plain_image
from tests.conftest import Invoked
from tests.fakes.hub import Repository
from tests.real.models import MODEL

pytestmark = pytest.mark.usefixtures("here")

COMMITTED = "2025-03-04T05:06:07.000Z"


@pytest.fixture
def image(invoke, registry, hub):
    """Push the model from the Hub; return the image's name."""
    hub.repositories["org/tiny"] = Repository(card={"license": "apache-2.0"})
    hub.commit("org/tiny", MODEL, date=COMMITTED)
    image = f"{registry.host}/org/m:1"
    assert invoke("push", "org/tiny", image, "--plain-http", "-q", "--base", "none").code == 0
    return image


@pytest.fixture
def commit(hub):
    return hub.repositories["org/tiny"].branches["main"]


@pytest.fixture
def manifest(image, registry):
    return json.loads(registry.manifests[registry.tags[image.partition("/")[2]]][1])


class TestResult:
    def test_text(self, invoke, image, registry, commit, manifest):
        """Facts, then a line a file."""
        done = invoke("inspect", image, "--plain-http")
        layer = manifest["layers"][0]["digest"][7:19]
        assert done == Invoked(
            0,
            f"""\
Reference:  {registry.host}/org/m@{registry.tags["org/m:1"]}
Source:     https://huggingface.co/org/tiny
Revision:   {commit}
Licence:    apache-2.0
Created:    2025-03-04T05:06:07Z
Platform:   linux/amd64
Base:       none
Model:      6 files, 600.2 kB
Layers:     1, 607.2 kB

FILE                               SIZE       LAYER
config.json                        63 B       {layer}
model-00001-of-00002.safetensors   300.0 kB   {layer}
model-00002-of-00002.safetensors   300.0 kB   {layer}
model.safetensors.index.json       141 B      {layer}
papers/LICENSE                     11 B       {layer}
tokenizer.json                     19 B       {layer}

Readable by: kubectl modelcar, KServe native (oci+native://), KServe fetch (oci+fetch://), \
image volume (containerd), image volume (CRI-O), podman
""",
            "",
        )

    def test_json(self, invoke, image, registry, commit, manifest):
        """One document with all of it; sizes in bytes, digests whole."""
        done = invoke("inspect", image, "--plain-http", "-o", "json")
        said = json.loads(done.out)
        (layer,) = manifest["layers"]
        files = [(file["path"], file["bytes"], file["layer"]) for file in said.pop("files")]
        assert files == [(path, len(data), layer["digest"]) for path, data in sorted(MODEL.items())]
        answers = {one["consumer"]: (one["answer"], bool(one["why"])) for one in said.pop("consumers")}
        assert answers["kubectl modelcar"] == ("yes", True)
        assert answers["KServe sidecar (oci://)"] == answers["oras pull"] == ("no", True)
        assert said == {
            "reference": f"{registry.host}/org/m@{registry.tags['org/m:1']}",
            "digest": registry.tags["org/m:1"],
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "platform": "linux/amd64",
            "created": "2025-03-04T05:06:07Z",
            "source": "https://huggingface.co/org/tiny",
            "revision": commit,
            "licence": "apache-2.0",
            "base": "none",
            "layers": [
                {
                    "digest": layer["digest"],
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "bytes": layer["size"],
                    "model": True,
                }
            ],
            "bytes": sum(map(len, MODEL.values())),
        }
        assert (done.code, done.err) == (0, "")

    def test_yaml(self, invoke, image):
        """Says the same."""
        of_json = json.loads(invoke("inspect", image, "--plain-http", "-o", "json").out)
        assert yaml.safe_load(invoke("inspect", image, "--plain-http", "-o", "yaml").out) == of_json

    @pytest.mark.usefixtures("image")
    def test_reads_no_weights(self, invoke, image, registry):
        """Manifest and config are all that it asks for."""
        registry.log.clear()
        invoke("inspect", image, "--plain-http")
        assert sum(request.sent for request in registry.log) < 5000

    def test_layout(self, invoke):
        """With the base that push puts below."""
        reference = invoke("push", "./model", "oci:layout:v1", "-q").out.strip()
        said = json.loads(invoke("inspect", "oci:layout:v1", "-o", "json").out)
        assert said["reference"] == reference
        assert said["base"].startswith("modelcar-base-image@sha256:")
        assert [layer["model"] for layer in said["layers"]] == [False, True]
        assert (said["source"], said["revision"], said["licence"]) == (None, None, None)


class TestImagesOfOthers:
    def test_compressed_tar(self, invoke, registry):
        """Its files are found; what it does not say is left out."""
        image = plain_image(registry, {"etc/hosts": b"x", "models/config.json": b"{}"})
        done = invoke("inspect", image, "--plain-http")
        digest = registry.tags["org/plain:1"]
        (layer,) = json.loads(registry.manifests[digest][1])["layers"]
        assert done == Invoked(
            0,
            f"""\
Reference:  {registry.host}/org/plain@{digest}
Platform:   linux/arm64
Model:      1 files, 2 B
Layers:     1, {layer["size"]} B

FILE          SIZE   LAYER
config.json   2 B    {layer["digest"][7:19]}

Readable by: kubectl modelcar, KServe fetch (oci+fetch://) (?)
""",
            "",
        )

    @pytest.mark.parametrize(("name", "code"), [("models/a.json", 0), ("models/a\x1b[31m.json", 6)])
    def test_hostile_text(self, invoke, registry, name, code):
        """Neither names nor annotations reach the terminal as commands, nor begin lines of their own."""
        licence = "MIT\x1b[2K\rBase: trusted\nBase:       trusted@sha256:0\n\x1b]52;c;aGk=\x07\u202e"
        image = plain_image(registry, {name: b"{}"}, **{"org.opencontainers.image.licenses": licence})
        done = invoke("inspect", image, "--plain-http")
        text = done.out + done.err
        assert (done.code, "trusted" in text) == (code, code == 0)
        assert [char for char in text if not char.isprintable() and char != "\n"] == []
        assert [line for line in text.splitlines() if line.startswith("Base:")] == []

    def test_no_modelcar(self, refused, registry):
        """Exit code 4: there is no model in it."""
        image = plain_image(registry, {"etc/os-release": b"NAME=x\n"})
        assert refused("inspect", image, "--plain-http") == (
            4,
            f"no model in {image}: no file below models/ and no titled layer",
            "images for models hold them below models/ (KServe's modelcar), artifacts name each layer's file",
        )


class TestPlatform:
    def test_of_an_image_without_a_choice(self, invoke, refused, registry):
        """Counts when it is typed, even if it is the default's own text."""
        image = plain_image(registry, {"models/config.json": b"{}"})
        assert invoke("inspect", image, "--plain-http").code == 0
        assert invoke("inspect", image, "--plain-http", "--platform", "linux/arm64").code == 0
        code, error, _ = refused("inspect", image, "--plain-http", "--platform", "linux/amd64")
        assert (code, error) == (4, f"{image} is for linux/arm64, not for linux/amd64")


class TestRefused:
    @pytest.mark.parametrize("text", ["granite", "quay.io/M", "oci:"])
    def test_reference(self, refused, text):
        """Exit code 2."""
        assert refused("inspect", text)[0] == 2

    def test_layout_that_is_not_there(self, refused):
        """Exit code 4."""
        assert refused("inspect", "oci:nothing:v1") == (
            4,
            "oci:nothing is no OCI image layout: index.json: No such file or directory",
            "check the name: IMAGE is HOST/REPO[:TAG] or oci:FOLDER[:TAG]",
        )

    def test_manifest_that_is_none(self, refused, registry):
        """Exit code 4: what the tag names is no image."""
        registry.add_manifest("org/odd", b'{"schemaVersion": 2}', "application/vnd.oci.image.manifest.v1+json", "1")
        code, error, _ = refused("inspect", f"{registry.host}/org/odd:1", "--plain-http")
        assert code == 4
        assert f" in {registry.host}/org/odd is no image manifest" in error
