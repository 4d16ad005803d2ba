"""A real registry that is killed in the middle of a push, and comes back."""

import threading
import time

import pytest

from tests.real.models import tree, write
from tests.real.registry import serve
from tests.source.weights import weights

pytestmark = pytest.mark.real

MIB = 1 << 20
FILES = {"config.json": b'{"model_type": "llama"}\n', "model.safetensors": weights(70 * MIB)}


@pytest.mark.parametrize("program", ["registry", "docker-registry"])
def test_r30_registry_restarts(modelcar, real_tool, tmp_path, program):
    """Killed in mid-blob, three seconds down: the push goes on to the same digest, and the model comes back whole."""
    folder = write(tmp_path / "model", FILES)
    options = ("--plain-http", "-q", "--base", "none")
    with serve(real_tool(program), tmp_path / "registry") as registry:
        killer = threading.Thread(target=_kill_in_between, args=(registry, 3.0))
        killer.start()
        done = modelcar(tmp_path / "home", "push", folder, f"{registry.host}/again/model:1", *options)
        killer.join()
        assert (done.code, done.err) == (0, "")
        whole = modelcar(tmp_path / "other", "push", folder, f"{registry.host}/whole/model:1", *options)
        assert done.out.partition("@")[2] == whole.out.partition("@")[2]
        modelcar(tmp_path / "home", "pull", f"{registry.host}/again/model:1", tmp_path / "back", "--plain-http", "-q")
        assert tree(tmp_path / "back") == FILES


def _kill_in_between(registry, seconds):
    ends = time.monotonic() + 20
    while registry.uploaded() < MIB:
        assert time.monotonic() < ends, "no upload was caught on its way"
        time.sleep(0.002)
    registry.restart(seconds)
