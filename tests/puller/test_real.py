"""Real parts: what oras and crane push to distribution's registry is read back, byte for byte."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from kubectl_modelcar.chart import puller
from tests.puller.images import header, ours, put_layout, tar, tree

pytestmark = pytest.mark.real

MODEL = {"config.json": b'{"model_type": "llama"}', "a/tokenizer.json": b"{}", "model.safetensors": os.urandom(3 << 20)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Write the model's files; return their folder."""
    root = tmp_path_factory.mktemp("model")
    for path, data in MODEL.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_bytes(data)
    return root


@pytest.fixture(scope="module")
def host(real_tool, tmp_path_factory):
    """Serve distribution's registry; return its host and port."""
    root = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {"version": 0.1, "log": {"level": "error"}, "http": {"addr": address}}
    config["storage"] = {"filesystem": {"rootdirectory": str(root / "store")}}
    (root / "config.yml").write_text(json.dumps(config))
    with (root / "log").open("w") as log:
        command = [real_tool("registry"), "serve", root / "config.yml"]
        process = subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
    try:
        for _ in range(200):
            assert process.poll() is None, (root / "log").read_text()
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))):
                    break
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def pulled(host: str, repository: str, reference: str, volume: Path) -> dict[str, bytes]:
    """Return the files that the puller makes of an image, after checking its list against them."""
    source = puller.Registry(f"http://{host}", repository)
    listed = {file.path: file.size for file in puller.list_files(source, puller.resolve(source, reference))}
    files = tree(puller.pull(source, reference, volume))
    del files[".complete"]
    assert listed == {path: len(data) for path, data in files.items()}
    return files


class TestRealTools:
    """Images that others make."""

    @pytest.mark.parametrize(
        "media_type", [None, "application/octet-stream", "application/vnd.cncf.model.weight.v1.raw"]
    )
    def test_files_that_oras_pushes(self, real_tool, host, folder, tmp_path, media_type):
        """Stock `oras push` of files, with its own type and with others."""
        name = f"files-{(media_type or 'stock')[-5:].lower()}".replace(".", "-")
        files = [f"{path}:{media_type}" if media_type else path for path in MODEL]
        command = [real_tool("oras"), "push", "--plain-http", "--no-tty", f"{host}/oras/{name}:v1", *files]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        assert pulled(host, f"oras/{name}", "v1", tmp_path) == MODEL

    def test_a_folder_that_oras_pushes(self, real_tool, host, folder, tmp_path):
        """It becomes one gzip tar with unpack annotations, below the folder's name."""
        root = tmp_path / "root"
        root.mkdir()
        subprocess.run(["cp", "-r", folder, root / "models"], check=True)
        command = [real_tool("oras"), "push", "--plain-http", "--no-tty", f"{host}/oras/folder:v1", "models"]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
        assert pulled(host, "oras/folder", "v1", tmp_path / "volume") == MODEL

    def test_an_image_that_crane_appends(self, real_tool, host, tmp_path):
        """crane compresses the layer; the base image's files are left out."""
        layer = tmp_path / "layer.tar"
        links = header("bin/sh", b"2", "/bin/busybox")
        layer.write_bytes(
            tar(links, ("bin/busybox", b"x"), *((f"models/{path}", data) for path, data in MODEL.items()))
        )
        command = [real_tool("crane"), "append", "--insecure", "-f", layer, "-t", f"{host}/crane/image:v1"]
        subprocess.run(command, check=True, capture_output=True)
        assert pulled(host, "crane/image", "v1", tmp_path / "volume") == MODEL

    def test_our_image_that_oras_copies(self, real_tool, host, tmp_path):
        """From a layout folder to the registry; the digest stays."""
        layout = put_layout(tmp_path / "layout", ("v1", tuple(ours({path: data}) for path, data in MODEL.items())))
        command = [real_tool("oras"), "cp", "--no-tty", "--from-oci-layout", f"{layout}:v1", "--to-plain-http"]
        subprocess.run([*command, f"{host}/copied/image:v1"], check=True, capture_output=True)
        digest = puller.resolve(puller.Layout(layout), "v1").digest
        assert pulled(host, "copied/image", digest, tmp_path / "volume") == MODEL
