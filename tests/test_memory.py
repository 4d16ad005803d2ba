"""Tests of what is remembered between pushes."""

import stat
import threading
from pathlib import Path

import pytest

from kubectl_modelcar.memory import KnownLayer, Memory, cache_folder

LAYER = KnownLayer("sha256:" + "a" * 64, 7, {"w.safetensors": "b" * 64})


@pytest.fixture
def memory(tmp_path):
    """An empty memory."""
    made = Memory(tmp_path / "cache")
    yield made
    made.close()


class TestMemory:
    """One file for all pushes."""

    def test_recalls_what_it_learnt(self, memory, tmp_path):
        """Another process finds it, too."""
        memory.learn("key", LAYER)
        assert Memory(tmp_path / "cache").recall("key") == LAYER

    def test_does_not_make_things_up(self, memory):
        """An unknown key is nothing."""
        assert memory.recall("key") is None

    def test_knows_where_a_blob_was_seen(self, memory):
        """The latest place first, and none of another registry."""
        for registry, repository in (("a", "org/one"), ("a", "org/two"), ("b", "org/three"), ("a", "org/one")):
            memory.saw(registry, LAYER.digest, repository)
        assert memory.places("a", LAYER.digest) == ("org/one", "org/two")

    def test_is_private(self, memory, tmp_path):
        """Names of private models are nobody else's business."""
        memory.learn("key", LAYER)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache").iterdir()}
        assert modes == {"layers.sqlite": 0o600}

    def test_serves_threads(self, memory):
        """Every layer is sent by a thread of its own."""
        threads = [
            threading.Thread(target=memory.learn, args=(str(n), KnownLayer(LAYER.digest, n, {}))) for n in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [memory.recall(str(n)).size for n in range(16)] == list(range(16))

    def test_forgets_the_oldest(self, memory, monkeypatch, tmp_path):
        """The file does not grow for ever."""
        monkeypatch.setattr("kubectl_modelcar.memory._MOST", 2)
        for number in range(4):
            memory.learn(str(number), LAYER)
        memory.close()
        again = Memory(tmp_path / "cache")
        assert [again.recall(str(number)) is not None for number in range(4)] == [False, False, True, True]

    def test_a_damaged_one_is_begun_anew(self, tmp_path):
        """It would be of no use for ever."""
        (tmp_path / "layers.sqlite").write_bytes(b"no database" * 100)
        memory = Memory(tmp_path)
        memory.learn("key", LAYER)
        assert (memory.recall("key"), Memory(tmp_path).recall("key")) == (LAYER, LAYER)

    def test_is_nothing_when_it_cannot_be_opened(self, tmp_path):
        """A push goes on without it."""
        (tmp_path / "layers.sqlite").mkdir()
        memory = Memory(tmp_path)
        memory.learn("key", LAYER)
        assert memory.recall("key") is None

    def test_is_nothing_where_nothing_can_be_written(self):
        """A home that is read-only is no reason to fail."""
        memory = Memory(Path("/proc/self/cache"))
        memory.saw("a", LAYER.digest, "org/one")
        assert memory.places("a", LAYER.digest) == ()


def test_cache_folder(monkeypatch, tmp_path):
    """XDG_CACHE_HOME, or below the home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "kubectl-modelcar"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "kubectl-modelcar"
