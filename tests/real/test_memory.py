"""However large a file is: little memory, no second copy, no temporary file."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests.real.models import sparse_weights, write
from tests.source.weights import safetensors, tensor

pytestmark = pytest.mark.real

MIB = 2**20
SIZE = 300 * MIB
MOST = 100 * MIB


@dataclass(frozen=True)
class Seen:
    """Peak memory in bytes, and what was opened for writing."""

    peak: int
    written: list[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Have a model whose one shard is larger than the memory that may be used."""
    folder = write(tmp_path_factory.mktemp("model"), {"config.json": b"{}"})
    sparse_weights(folder / "model.safetensors", SIZE)
    return folder


@pytest.fixture
def watch(checkout, tmp_path, monkeypatch):
    """Give a function that runs the command line in a process and returns what was seen of it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.chdir(checkout)  # where -m finds tests.real.watched

    def watch(*arguments):
        command = [sys.executable, "-m", "tests.real.watched", tmp_path / "report", *arguments, "--plain-http", "-q"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert list((tmp_path / "tmp").iterdir()) == []
        return Seen(**json.loads((tmp_path / "report").read_text()))

    return watch


def models(seen):
    """Return what was written but for the cache that remembers files' digests, a few hundred bytes for each file."""
    return [path for path in seen.written if not path.endswith("/.cache/kubectl-modelcar/layers.sqlite")]


class TestPush:
    def test_first(self, watch, plain, folder):
        """The file goes from the disk to the wire and nowhere else."""
        seen = watch("push", folder, f"{plain.host}/memory/push:1")
        assert models(seen) == []
        assert seen.peak < MOST

    def test_again(self, watch, plain, folder):
        """It is read once more, to be digested."""
        watch("push", folder, f"{plain.host}/memory/again:1")
        seen = watch("push", folder, f"{plain.host}/memory/again:2")
        assert models(seen) == []
        assert seen.peak < MOST

    def test_from_the_hub(self, watch, hub, plain):
        """From wire to wire; a smaller file, because the Hub here keeps it in memory."""
        hub.commit("org/large", {"model.safetensors": safetensors({"w": tensor(0, 2 * MOST)}, bytes(2 * MOST))})
        seen = watch("push", "org/large", f"{plain.host}/memory/hub:1")
        assert [path for path in seen.written if "safetensors" in path] == []
        assert seen.peak < MOST


class TestPull:
    def test_first(self, watch, plain, folder, invoke, tmp_path):
        """From the wire into its final place."""
        assert invoke("push", folder, f"{plain.host}/memory/pull:1", "--plain-http", "-q").code == 0
        target = tmp_path / "pulled"
        seen = watch("pull", f"{plain.host}/memory/pull:1", target)
        outside = [path for path in seen.written if not path.startswith(str(target))]
        assert outside == []
        assert seen.peak < MOST
        assert (target / "model.safetensors").stat().st_size == (folder / "model.safetensors").stat().st_size
