"""Images are written as OCI layouts that other people's tools accept."""

import json
import subprocess
import tarfile

import pytest

from tests.cluster.layout import Layer, write_layout

CONFIG = {"Entrypoint": ["/a"], "User": "1001"}


@pytest.fixture
def layer(tmp_path):
    """Give a layer of one file."""
    (tmp_path / "a").write_text("content")
    with tarfile.open(tmp_path / "layer.tar", "w") as archive:
        archive.add(tmp_path / "a", "a")
    return Layer.of(tmp_path / "layer.tar")


class TestWriteLayout:
    """The parts of an image name each other by digest."""

    def test_blobs(self, layer, tmp_path):
        """Index, manifest and config lead to the layer."""
        write_layout(tmp_path / "image", [layer], CONFIG, "amd64")

        def blob(descriptor):
            return json.loads((tmp_path / "image" / "blobs" / descriptor["digest"].replace(":", "/")).read_text())

        manifest = blob(json.loads((tmp_path / "image" / "index.json").read_text())["manifests"][0])
        config = blob(manifest["config"])
        assert (config["config"], config["architecture"], config["rootfs"]["diff_ids"]) == (
            CONFIG,
            "amd64",
            [layer.digest],
        )
        assert manifest["layers"][0]["size"] == layer.file.stat().st_size

    @pytest.mark.real
    def test_oras(self, real_tool, layer, tmp_path):
        """The real oras copies it, which checks every digest and size on the way."""
        write_layout(tmp_path / "image", [layer], CONFIG, "amd64")
        digest = json.loads((tmp_path / "image" / "index.json").read_text())["manifests"][0]["digest"]
        copy = [real_tool("oras"), "copy", "--no-tty", "--from-oci-layout", f"{tmp_path / 'image'}@{digest}"]
        ran = subprocess.run(
            [*copy, "--to-oci-layout", f"{tmp_path / 'copy'}:1"], capture_output=True, text=True, check=False
        )
        assert (ran.returncode, ran.stderr) == (0, "")
