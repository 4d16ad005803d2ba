"""Images of other tools are pulled by ours, and what other tools make of ours is known."""

import json
import subprocess
import tarfile

import pytest

from tests.real.models import MODEL, tree

pytestmark = pytest.mark.real


@pytest.fixture
def pull(invoke, tmp_path):
    """Give a function that pulls an image and returns its files."""

    def pull(image):
        done = invoke("pull", image, tmp_path / "pulled", "--plain-http", "-q")
        assert (done.code, done.out, done.err) == (0, f"{tmp_path / 'pulled'}\n", "")
        return tree(tmp_path / "pulled")

    return pull


@pytest.fixture
def push(invoke, model):
    """Give a function that pushes the model and returns the reference that was printed."""

    def push(image, *options):
        done = invoke("push", model, image, "--plain-http", "-q", *options)
        assert (done.code, done.err) == (0, "")
        return done.out.strip()

    return push


@pytest.fixture
def layer(model, tmp_path):
    """Make a layer as `podman build` of a Containerfile with COPY does: `models/` and the files, owners and times."""
    path = tmp_path / "layer.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(model, "models")
    return path


class TestImagesOfOthers:
    def test_oras_push(self, pull, plain, oras, model):
        """Each file raw, with its path as the title."""
        image = f"{plain.host}/others/oras:1"
        oras("push", "--plain-http", "--no-tty", image, *MODEL, folder=model)
        assert pull(image) == MODEL

    def test_crane_append(self, pull, plain, crane, layer):
        """A tar in gzip on an empty base."""
        image = f"{plain.host}/others/crane:1"
        crane("append", "--new_layer", layer, "--new_tag", image)
        assert pull(image) == MODEL

    def test_crane_append_to_an_index(self, pull, plain, crane, oras, layer):
        """The platform that is asked for is found in an index of two."""
        images = [f"{plain.host}/others/index:{architecture}" for architecture in ("arm64", "amd64")]
        for image in images:
            crane("append", "--new_layer", layer, "--new_tag", image)
            crane("mutate", image, "--set-platform", f"linux/{image.rpartition(':')[2]}", "--tag", image)
        oras("manifest", "index", "create", "--plain-http", f"{plain.host}/others/index:1", "arm64", "amd64")
        assert pull(f"{plain.host}/others/index:1") == MODEL

    def test_ours_on_theirs(self, push, pull, plain, crane, tmp_path):
        """What crane appended is below; the model's files come from our layers alone."""
        base = tmp_path / "base.tar"
        with tarfile.open(base, "w") as archive:
            archive.addfile(tarfile.TarInfo("etc/os-release"))
        crane("append", "--new_layer", base, "--new_tag", f"{plain.host}/others/base:1")
        crane("mutate", f"{plain.host}/others/base:1", "--set-platform", "linux/amd64")
        push(f"{plain.host}/others/ours:1", "--base", f"{plain.host}/others/base:1")
        crane("export", f"{plain.host}/others/ours:1", tmp_path / "export.tar")
        with tarfile.open(tmp_path / "export.tar") as archive:
            names = {member.name for member in archive if member.isfile()}
        assert names == {"etc/os-release", *(f"models/{path}" for path in MODEL)}
        assert pull(f"{plain.host}/others/ours:1") == MODEL


class TestOurImageInOtherTools:
    @pytest.fixture
    def image(self, push, plain):
        """Push the model; return the image's name."""
        push(f"{plain.host}/ours/model:1")
        return f"{plain.host}/ours/model:1"

    def test_oras_pull(self, image, oras, tmp_path):
        """It writes no file and says why: our layers have no title, or it would name a tar like the model's file."""
        said = oras("pull", "--plain-http", "--no-tty", "--output", tmp_path / "out", image).decode()
        assert "Skipped pulling layers without file name" in said
        assert not (tmp_path / "out").exists()

    def test_oras_copy(self, image, oras, pull, invoke, tmp_path):
        """To another repository and to a layout: the digest stays, and ours reads both."""
        digest = oras("resolve", "--plain-http", image).decode().strip()
        copy, layout = image.replace("model", "copy"), tmp_path / "layout"
        oras("cp", "--no-tty", "--from-plain-http", "--to-plain-http", image, copy)
        oras("cp", "--no-tty", "--from-plain-http", "--to-oci-layout", image, f"{layout}:1")
        assert invoke("inspect", f"oci:{layout}:1").out.splitlines()[0].endswith(f"oci:{layout}@{digest}")
        assert pull(f"{copy.removesuffix(':1')}@{digest}") == MODEL

    def test_layout_to_registry(self, push, plain, oras, crane, tmp_path):
        """What `push` writes into a layout, oras takes to a registry as it is."""
        reference = push(f"oci:{tmp_path / 'layout'}:1")
        image = f"{plain.host}/ours/from-layout:1"
        oras("cp", "--no-tty", "--from-oci-layout", f"{tmp_path / 'layout'}:1", "--to-plain-http", image)
        assert crane("digest", image).decode().strip() == reference.partition("@")[2]

    def test_tar_reads_the_layers(self, image, oras, tmp_path):
        """The system's tar lists them without a word of complaint."""
        manifest = json.loads(oras("manifest", "fetch", "--plain-http", image))
        blob = f"{image.removesuffix(':1')}@{manifest['layers'][-1]['digest']}"
        oras("blob", "fetch", "--plain-http", "--no-tty", "--output", tmp_path / "layer", blob)
        done = subprocess.run(["tar", "-tf", tmp_path / "layer"], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == sorted({"models/", "models/papers/", *(f"models/{path}" for path in MODEL)})
        assert done.stderr == ""
