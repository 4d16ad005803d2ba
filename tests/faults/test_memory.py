"""I5: memory does not grow with a file, whatever its way: artifacts, the Hub, a layout, a copy, many at once."""

import json
import subprocess
import sys

import pytest

from tests.real.models import sparse_weights, write
from tests.source.weights import safetensors, tensor

MIB = 2**20
SIZE = 200 * MIB
MOST = 100 * MIB  # bytes; the matrix allows 250


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Have a model of two shards that are each larger than the memory that may be used."""
    folder = write(tmp_path_factory.mktemp("model"), {"config.json": b"{}"})
    for number in (1, 2):
        sparse_weights(folder / f"{number}.safetensors", SIZE + number)
    return folder


@pytest.fixture
def peak(checkout, tmp_path, monkeypatch):
    """Give a function that runs the command line in a process and returns its peak memory in bytes."""
    monkeypatch.chdir(checkout)  # where -m finds tests.real.watched

    def peak(*arguments):
        command = [sys.executable, "-m", "tests.real.watched", tmp_path / "report", *arguments, "--plain-http", "-q"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads((tmp_path / "report").read_text())["peak"]

    return peak


@pytest.mark.real
class TestMemory:
    def test_i5_artifact(self, peak, distribution, folder):
        """Raw layers of a folder are digested, and sent where they are not there."""
        assert peak("push", folder, f"{distribution.host}/memory/artifact:1", "--format", "artifact") < MOST

    @pytest.mark.parametrize("options", [(), ("--format", "artifact"), ("--spool",)], ids=" ".join)
    def test_i5_hub(self, peak, distribution, hub, options):
        """From wire to wire, or by way of the disk."""
        hub.commit("org/large", {"model.safetensors": safetensors({"w": tensor(0, SIZE)}, bytes(SIZE))})
        assert peak("push", "org/large", f"{distribution.host}/memory/hub{len(options)}:1", *options) < MOST

    def test_i5_layout_and_back(self, peak, distribution, folder, tmp_path):
        """Into a layout, from there to a registry, and read to the last byte."""
        layout = f"oci:{tmp_path}/layout:1"
        image = f"{distribution.host}/memory/copied:1"
        commands = [("push", folder, layout), ("push", layout, image), ("verify", image, "--deep"), ("inspect", image)]
        assert [command for command in commands if peak(*command) > MOST] == []

    def test_i5_eight_at_once(self, peak, distribution, tmp_path):
        """Each transfer has its own buffers, and they are small."""
        folder = write(tmp_path / "model", {"config.json": b"{}"})
        for number in range(8):
            sparse_weights(folder / f"{number}.safetensors", 70 * MIB + number)
        assert peak("push", folder, f"{distribution.host}/memory/many:1", "--jobs", "8") < MOST
