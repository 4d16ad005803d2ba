"""Tests of `push` as it is typed: whole outputs and exit codes."""

import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import Invoked
from tests.real.models import MODEL, write

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def image(registry):
    return f"{registry.host}/org/m:1"


@pytest.fixture
def push(invoke, image):
    """Give a function that pushes the folder `model`."""

    def push(*options, source="./model"):
        return invoke("push", source, image, "--plain-http", *options)

    return push


def published(registry):
    """Return the one digest that the registry has a tag for."""
    (digest,) = registry.tags.values()
    return digest


def manifest_of(registry):
    return json.loads(registry.manifests[published(registry)][1])


class TestResult:
    def test_text(self, push, registry, timeless):
        """The reference alone is on stdout; what happened is on stderr, a line a layer."""
        assert timeless(push("--base", "none")) == Invoked(
            0, f"{registry.host}/org/m@{published(registry)}\n", "config.json and 5 more: sent (607.2 kB, _ s)\n"
        )

    def test_again(self, push, registry, timeless):
        """The same digest, and nothing is sent."""
        push("--base", "none")
        assert timeless(push("--base", "none")) == Invoked(
            0, f"{registry.host}/org/m@{published(registry)}\n", "config.json and 5 more: exists (607.2 kB, _ s)\n"
        )

    @pytest.mark.parametrize("quiet", [("-q",), ("--progress", "none")], ids=" ".join)
    def test_quiet(self, push, registry, quiet):
        """Nothing on stderr."""
        assert push(*quiet) == Invoked(0, f"{registry.host}/org/m@{published(registry)}\n", "")

    def test_name(self, push, registry):
        """The reference, for scripts."""
        assert push("-q", "-o", "name") == Invoked(0, f"{registry.host}/org/m@{published(registry)}\n", "")

    def test_json(self, push, registry, image):
        """One document: reference, digest, layers with files and outcome, bytes, source, seconds."""
        done = push("-q", "-o", "json", "--base", "none")
        said = json.loads(done.out)
        (layer,) = manifest_of(registry)["layers"]
        assert said.pop("seconds") >= 0
        assert said == {
            "reference": f"{registry.host}/org/m@{published(registry)}",
            "digest": published(registry),
            "image": image,
            "tags": ["1"],
            "source": {"repository": None, "commit": None, "text": "model"},
            "layers": [
                {
                    "digest": layer["digest"],
                    "mediaType": layer["mediaType"],
                    "bytes": layer["size"],
                    "files": [{"path": path, "bytes": len(data)} for path, data in sorted(MODEL.items())],
                    "outcome": "sent",
                }
            ],
            "leftOut": [],
            "bytes": layer["size"],
            "bytesSent": layer["size"],
        }
        assert done.err == ""

    def test_yaml(self, push):
        """Says the same."""
        of_json, of_yaml = json.loads(push("-q", "-o", "json").out), yaml.safe_load(push("-q", "-o", "yaml").out)
        assert of_yaml.keys() == of_json.keys()
        assert of_yaml["layers"][1]["files"] == of_json["layers"][1]["files"]

    def test_layout(self, invoke, timeless):
        """A folder takes the place of the registry; an OCI layout is there afterwards."""
        done = timeless(invoke("push", "./model", "oci:layout:v1", "--base", "none"))
        (entry,) = json.loads(Path("layout/index.json").read_bytes())["manifests"]
        assert done == Invoked(0, f"oci:layout@{entry['digest']}\n", "config.json and 5 more: sent (607.2 kB, _ s)\n")

    def test_json_progress(self, push):
        """One object a line."""
        lines = [json.loads(line) for line in push("--progress", "json", "--base", "none").err.splitlines()]
        name = "config.json and 5 more"
        assert lines == [
            {"event": "begin", "name": name, "bytes": 607232},
            {"event": "end", "name": name, "outcome": "sent"},
        ]

    def test_hub(self, push, hub, registry):
        """Of a repository the reference is printed, and JSON tells the commit."""
        commit = hub.commit("org/tiny", MODEL)
        said = json.loads(push("-q", "-o", "json", source="org/tiny").out)
        assert said["reference"] == f"{registry.host}/org/m@{published(registry)}"
        assert said["source"] == {"repository": "org/tiny", "commit": commit, "text": f"hf://org/tiny@{commit}"}


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            pytest.param(
                ("--include", "*.json,papers/*"), ["config.json", "papers/LICENSE", "tokenizer.json"], id="list"
            ),
            pytest.param(
                ("--include", "config.json", "--include", "papers/*"), ["config.json", "papers/LICENSE"], id="two"
            ),
            pytest.param(("--include", "*.json", "--exclude", "t*"), ["config.json"], id="exclude"),
        ],
    )
    def test_files(self, push, options, expected):
        """Patterns choose them; commas part several."""
        done = push("-q", "-o", "json", "--base", "none", "--exclude", "*.index.json", *options)
        said = json.loads(done.out)
        assert [file["path"] for file in said["layers"][0]["files"]] == expected
        assert sorted(said["leftOut"] + expected) == sorted(MODEL)

    def test_platform(self, push, registry):
        """Goes into the config."""
        push("-q", "--platform", "linux/arm64", "--base", "none")
        config = json.loads(registry.blobs[manifest_of(registry)["config"]["digest"]])
        assert (config["os"], config["architecture"]) == ("linux", "arm64")

    def test_source_date_epoch(self, push, registry, monkeypatch):
        """The build's date is the image's, whatever the clock says."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        push("-q")
        assert manifest_of(registry)["annotations"]["org.opencontainers.image.created"] == "2023-11-14T22:13:20Z"

    def test_allow_unsafe(self, push):
        """Takes what is refused otherwise."""
        write(Path("model"), {"notes.txt": b"\x80\x04N."})
        assert (push("-q").code, push("-q", "--allow-unsafe").code) == (4, 0)
