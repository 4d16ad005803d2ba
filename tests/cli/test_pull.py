"""Tests of `pull` as it is typed: whole outputs and exit codes."""

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.images import plain_image
from tests.conftest import Invoked
from tests.fakes.registry import Fault
from tests.real.models import MODEL, tree

pytestmark = pytest.mark.usefixtures("here")

SIZE = sum(map(len, MODEL.values()))


@pytest.fixture
def image(invoke, registry):
    """Push the model; return the image's name."""
    image = f"{registry.host}/org/m:1"
    assert invoke("push", "./model", image, "--plain-http", "-q", "--base", "none").code == 0
    return image


@pytest.fixture
def digest(image, registry):
    return registry.tags[image.partition("/")[2]]


class TestResult:
    def test_text(self, invoke, image, timeless):
        """The folder alone is on stdout; what happened is on stderr, a line a layer."""
        assert timeless(invoke("pull", image, "pulled", "--plain-http")) == Invoked(
            0, "pulled\n", "config.json and 5 more: received (607.2 kB, _ s)\n"
        )
        assert tree(Path("pulled")) == MODEL

    def test_permissions(self, invoke, image):
        """Of an ordinary folder and ordinary files."""
        invoke("pull", image, "pulled", "--plain-http")
        assert {oct(path.stat().st_mode & 0o777) for path in Path("pulled").rglob("*") if path.is_file()} == {"0o644"}
        assert oct(Path("pulled").stat().st_mode & 0o777) == "0o755"

    def test_json(self, invoke, image, registry, digest):
        """One document: folder, reference, files, bytes, seconds."""
        done = invoke("pull", image, "pulled", "--plain-http", "-q", "-o", "json")
        said = json.loads(done.out)
        assert said.pop("seconds") >= 0
        assert said == {
            "folder": "pulled",
            "reference": f"{registry.host}/org/m@{digest}",
            "digest": digest,
            "files": [{"path": path, "bytes": len(data)} for path, data in sorted(MODEL.items())],
            "bytes": SIZE,
        }
        assert (done.code, done.err) == (0, "")

    def test_yaml(self, invoke, image):
        """Says the same."""
        said = yaml.safe_load(invoke("pull", image, "pulled", "--plain-http", "-q", "-o", "yaml").out)
        assert (said["folder"], said["bytes"]) == ("pulled", SIZE)

    def test_by_digest(self, invoke, image, digest):
        """Without its tag."""
        assert invoke("pull", f"{image.removesuffix(':1')}@{digest}", "pulled", "--plain-http", "-q").code == 0
        assert tree(Path("pulled")) == MODEL

    def test_layout(self, invoke):
        """From a folder too."""
        invoke("push", "./model", "oci:layout:v1", "-q")
        assert invoke("pull", "oci:layout:v1", "deep/down/pulled", "-q") == Invoked(0, "deep/down/pulled\n", "")
        assert tree(Path("deep/down/pulled")) == MODEL

    def test_empty_folder(self, invoke, image):
        """Is taken."""
        Path("pulled").mkdir()
        assert invoke("pull", image, "pulled", "--plain-http", "-q").code == 0
        assert tree(Path("pulled")) == MODEL

    def test_folder_that_holds_the_model(self, invoke, image, registry, timeless):
        """It is read, said to be there, and nothing is downloaded; the result is the same."""
        registry.log.clear()
        assert timeless(invoke("pull", image, "model", "--plain-http")) == Invoked(
            0, "model\n", "config.json and 5 more: exists (600.2 kB, _ s)\n"
        )
        assert registry.requests(path="/blobs/") == []

    def test_names_beyond_ascii_without_a_locale(self, invoke_process, registry):
        """LC_ALL=C and no UTF-8 mode: files are named in UTF-8 all the same, and what cannot be said is spelt out."""
        image = plain_image(registry, {"models/größe/模型.json": b"{}"})
        locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
        for command in (("pull", image, "pulled", "-o", "json"), ("inspect", image), ("verify", image, "--deep")):
            done = invoke_process(*command, "--plain-http", **locale)
            assert (done.code, "bug" in done.err) == (0, False), done.err
        assert Path("pulled/größe/模型.json").read_bytes() == b"{}"


class TestInterrupted:
    @pytest.fixture(autouse=True)
    def _large_files_are_small(self, monkeypatch):
        """Make a layer of each shard, as if it had gigabytes."""
        monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)

    def test_goes_on(self, invoke, image, registry):
        """What was verified is kept below the folder, and shows nowhere else; the next pull goes on with it."""
        registry.faults.append(Fault(method="GET", path="/blobs/", status=404, after=2, times=-1))
        assert invoke("pull", image, "pulled", "--plain-http", "--jobs", "1").code == 4
        assert [path for path in Path("pulled").rglob("*") if not _is_hidden(path)] == []
        registry.faults.clear()
        registry.log.clear()
        assert invoke("pull", image, "pulled", "--plain-http", "-q") == Invoked(0, "pulled\n", "")
        assert (tree(Path("pulled")), len(registry.requests(path="/blobs/"))) == (MODEL, 1)

    def test_another_image_meanwhile(self, invoke, image, registry):
        """What was kept of one image is not mixed into another, and goes."""
        registry.faults.append(Fault(method="GET", path="/blobs/", status=404, after=2, times=-1))
        assert invoke("pull", image, "pulled", "--plain-http", "--jobs", "1").code == 4
        registry.faults.clear()
        Path("model/config.json").write_bytes(b"{}")
        assert invoke("push", "./model", image, "--plain-http", "-q").code == 0
        assert invoke("pull", image, "pulled", "--plain-http").code == 0
        assert tree(Path("pulled")) == {**MODEL, "config.json": b"{}"}


def _is_hidden(path):
    return any(part.startswith(".") for part in path.parts)


class TestRefused:
    def test_folder_with_files(self, refused, image):
        """Of somebody: nothing of it is touched."""
        Path("model/notes.txt").write_text("mine")
        assert refused("pull", image, "model", "--plain-http") == (
            7,
            "unpacking to model: the folder is not empty",
            "name a new or empty folder",
        )
        assert tree(Path("model")) == {**MODEL, "notes.txt": b"mine"}

    @pytest.mark.parametrize(("platform", "code"), [("linux/arm64", 0), ("linux/amd64", 4)])
    def test_platform_of_an_image_without_a_choice(self, invoke, registry, platform, code):
        """Counts when it is typed; the default takes what there is."""
        image = plain_image(registry, {"models/config.json": b"{}"})
        assert invoke("pull", image, "any", "--plain-http", "-q").code == 0
        done = invoke("pull", image, "pulled", "--plain-http", "-q", "--platform", platform)
        said = f"error: {image} is for linux/arm64, not for {platform}\nhint: leave out --platform to take it\n"
        assert (done.code, done.err, Path("pulled").exists()) == (code, said if code else "", not code)

    def test_file(self, refused, image):
        """Is no folder."""
        code, error, _ = refused("pull", image, "model/config.json/x", "--plain-http")
        assert (code, error) == (7, "writing to model/config.json/x: Not a directory")

    def test_flipped_bit(self, refused, image, registry):
        """Exit code 6, naming the blob; no file shows."""
        registry.faults.append(Fault(method="GET", path="/blobs/", corrupt_at=100_000, times=-1))
        code, error, _ = refused("pull", image, "pulled", "--plain-http")
        (layer,) = [digest for digest, data in registry.blobs.items() if len(data) > 100_000]
        assert code == 6
        assert layer in error
        assert [path for path in Path("pulled").rglob("*") if not _is_hidden(path)] == []

    @pytest.mark.parametrize("text", ["granite", "quay.io/M", "oci:"])
    def test_reference(self, refused, here, text):
        """Exit code 2, and no folder."""
        assert refused("pull", text, "pulled")[0] == 2
        assert [path.name for path in here.iterdir()] == ["model"]

    def test_layout_that_is_not_there(self, refused, here):
        """Exit code 4, and no folder."""
        assert refused("pull", "oci:nothing:v1", "pulled") == (
            4,
            "oci:nothing is no OCI image layout: index.json: No such file or directory",
            "check the name: IMAGE is HOST/REPO[:TAG] or oci:FOLDER[:TAG]",
        )
        assert [path.name for path in here.iterdir()] == ["model"]

    def test_image_that_is_no_modelcar(self, refused, registry, here):
        """Exit code 4: there is no model in it."""
        image = plain_image(registry, {"etc/os-release": b"NAME=x\n"})
        assert refused("pull", image, "pulled", "--plain-http") == (
            4,
            f"no model in {registry.host}/org/plain: no file below models/ and no titled layer",
            "images for models hold them below models/ (KServe's modelcar), artifacts name each layer's file",
        )
        assert [path.name for path in here.iterdir()] == ["model"]
