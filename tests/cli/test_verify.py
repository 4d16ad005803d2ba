"""Tests of `verify` as it is typed: whole outputs and exit codes."""

import json

import pytest
import yaml

from kubectl_modelcar.cli.output import human_bytes
from tests.cli.images import plain_image
from tests.conftest import Invoked

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def image(invoke, registry):
    """Push the model; return the image's name."""
    image = f"{registry.host}/org/m:1"
    assert invoke("push", "./model", image, "--plain-http", "-q", "--base", "none").code == 0
    return image


@pytest.fixture
def digest(image, registry):
    return registry.tags[image.partition("/")[2]]


@pytest.fixture
def layer(registry, digest):
    """Return the digest of the image's one layer."""
    return json.loads(registry.manifests[digest][1])["layers"][0]["digest"]


@pytest.fixture
def size(registry, digest):
    """Return how large manifest, config and layer are, as people read it."""
    raw = registry.manifests[digest][1]
    manifest = json.loads(raw)
    return human_bytes(len(raw) + sum(blob["size"] for blob in (manifest["config"], *manifest["layers"])))


class TestGood:
    def test_text(self, invoke, image, registry, digest, size):
        """Facts, then who can read it and why."""
        assert invoke("verify", image, "--plain-http") == Invoked(
            0,
            f"""\
Reference:  {registry.host}/org/m@{digest}
Checked:    3 blobs, {size}, by size; --deep reads every byte
Result:     good

CONSUMER                        READS IT   WHY
kubectl modelcar                yes        every layer's digest is checked
KServe sidecar (oci://)         no         it runs sh, and there is none in the image: push with --base
KServe native (oci+native://)   yes        an image volume of Kubernetes 1.33, subPath models
KServe fetch (oci+fetch://)     yes        tar layers whose names begin with models/
image volume (containerd)       yes        containerd 2.0; with subPath 2.2
image volume (CRI-O)            yes        CRI-O 1.31; with subPath 1.33
artifact mount (CRI-O)          no         layers without a title or a filepath are left out
oras pull                       no         layers without a title are skipped, and exit code 0 says nothing of it
podman                          yes        as any image: podman pull, podman image mount
""",
            "",
        )

    def test_deep(self, invoke, image, timeless, size):
        """Progress says how it goes, a line a layer."""
        done = timeless(invoke("verify", image, "--plain-http", "--deep"))
        assert (done.code, done.err) == (0, "config.json and 5 more: verified (607.2 kB, _ s)\n")
        assert done.out.splitlines()[1:3] == [f"Checked:    3 blobs, {size}, every byte", "Result:     good"]

    def test_json(self, invoke, image, registry, digest):
        """One document with all of it."""
        done = invoke("verify", image, "--plain-http", "--deep", "-q", "-o", "json")
        said = json.loads(done.out)
        (only,) = said.pop("images")
        consumers = only.pop("consumers")
        assert said.pop("seconds") >= 0
        assert said == {
            "reference": f"{registry.host}/org/m@{digest}",
            "digest": digest,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "deep": True,
            "good": True,
            "problems": [],
        }
        assert only.pop("bytes") > 600_000
        assert only == {"digest": digest, "platform": None, "blobs": 3, "problems": []}
        assert (len(consumers), set(consumers[0])) == (9, {"consumer", "answer", "why"})
        assert (done.code, done.err) == (0, "")

    def test_yaml(self, invoke, image):
        """Says the same."""
        of_json = json.loads(invoke("verify", image, "--plain-http", "-o", "json").out)
        of_yaml = yaml.safe_load(invoke("verify", image, "--plain-http", "-o", "yaml").out)
        assert {**of_yaml, "seconds": 0} == {**of_json, "seconds": 0}

    def test_index(self, invoke, registry):
        """Each of its images; the table of those who can read them once."""
        image = f"{registry.host}/org/two:1"
        platforms = ("--platform", "linux/amd64", "--platform", "linux/arm64")
        assert invoke("push", "./model", image, "--plain-http", "-q", *platforms).code == 0
        done = invoke("verify", image, "--plain-http", "--deep", "-q")
        assert (done.code, done.out.splitlines()[1]) == (0, "Images:     linux/amd64, linux/arm64")
        assert done.out.count("CONSUMER") == 1

    def test_artifact(self, invoke, registry):
        """A raw file a layer."""
        image = f"{registry.host}/org/raw:1"
        assert invoke("push", "./model", image, "--plain-http", "-q", "--format", "artifact").code == 0
        done = invoke("verify", image, "--plain-http", "--deep", "-q")
        assert done.code == 0, done.err
        assert "oras pull                       yes        a file for each titled layer" in done.out.splitlines()

    def test_layout(self, invoke):
        """A folder on this machine."""
        invoke("push", "./model", "oci:layout:v1", "-q")
        done = invoke("verify", "oci:layout:v1", "--deep", "-q")
        assert (done.code, done.err) == (0, "")
        assert "KServe sidecar (oci://)         no " in done.out

    def test_somebody_else_s(self, invoke, registry):
        """What is not known without its bytes is said not to be known."""
        image = plain_image(registry, {"bin/sh": b"#!", "models/config.json": b"{}"})
        shallow = invoke("verify", image, "--plain-http", "-q").out
        deep = invoke("verify", image, "--plain-http", "-q", "--deep").out
        assert ("unknown" in shallow, "unknown" in deep) == (True, False)


class TestBad:
    def test_text(self, invoke, image, registry, digest, layer):
        """All problems are in the result, their number in the error; exit code 6."""
        config = json.loads(registry.manifests[digest][1])["config"]["digest"]
        for one in (config, layer):
            registry.repositories["org/m"].discard(one)
        done = invoke("verify", image, "--plain-http")
        assert done.out.splitlines()[2:7] == [
            "Result:     2 wrong",
            "",
            "PROBLEM",
            f"looking for the blob {config} in {registry.host}/org/m: {registry.host} does not have it",
            f"looking for the blob {layer} in {registry.host}/org/m: {registry.host} does not have it",
        ]
        assert (done.code, done.err) == (
            6,
            f"""\
error: {registry.host}/org/m@{digest} has 2 problems
hint: push the model again, or ask whoever made the image
""",
        )

    def test_flipped_bit(self, invoke, image, registry, layer):
        """Is found by reading."""
        data = bytearray(registry.blobs[layer])
        data[300_000] ^= 1
        registry.blobs[layer] = bytes(data)
        assert invoke("verify", image, "--plain-http", "-q").code == 0
        done = invoke("verify", image, "--plain-http", "-q", "--deep", "-o", "json")
        said = json.loads(done.out)
        assert (done.code, said["good"], len(said["problems"])) == (6, False, 1)
        assert layer in said["problems"][0]

    def test_hostile_text(self, invoke, registry):
        """Names do not reach the terminal as commands."""
        image = plain_image(registry, {"models/a\x1b[31m.json": b"{}", "models/b\u202e": b""})
        done = invoke("verify", image, "--plain-http", "--deep", "-q")
        assert [char for char in done.out + done.err if not char.isprintable() and char != "\n"] == []
        assert (done.code, r"models/a\x1b[31m.json" in done.out) == (6, True)


class TestRefused:
    @pytest.mark.parametrize("text", ["granite", "quay.io/M", "oci:"])
    def test_reference(self, refused, text):
        """Exit code 2."""
        assert refused("verify", text)[0] == 2

    def test_not_there(self, refused, registry):
        """Exit code 4: there is nothing to verify."""
        code, error, _ = refused("verify", f"{registry.host}/org/m:9", "--plain-http")
        assert (code, error.partition(":")[0]) == (4, f"reading the manifest 9 from {registry.host.partition(':')[0]}")

    def test_nobody_there(self, refused):
        """Exit code 5: it cannot be told."""
        code, error, _ = refused("verify", "127.0.0.1:1/org/m:1", "--plain-http")
        assert (code, "refuses the connection" in error) == (5, True)
