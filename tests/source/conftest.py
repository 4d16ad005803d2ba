"""What the tests of sources share."""

import time

import pytest

from tests.source.hub_model import FILES


@pytest.fixture
def commit(hub):
    """A repository with one commit."""
    commit = hub.commit("org/m", FILES)
    hub.repositories["org/m"].card = {"license": "apache-2.0"}
    return commit


@pytest.fixture
def folder(tmp_path):
    """A folder with a configuration, weights in a folder below, and what nobody asked for."""
    model = tmp_path / "model"
    (model / "sub").mkdir(parents=True)
    (model / "config.json").write_bytes(b"{}")
    (model / "sub" / "w.safetensors").write_bytes(b"w" * 10)
    (model / "image.png").write_bytes(b"png")
    (model / ".git").mkdir()
    (model / ".git" / "config.json").write_bytes(b"{}")
    return model


class Clock:
    """The time of day, and what was slept through."""

    def __init__(self):
        self.skipped = 0.0

    def monotonic(self):
        return time.monotonic() + self.skipped

    def time(self):
        return time.time() + self.skipped


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting them."""
    waits, clock = [], Clock()

    def pause(patience, seconds):
        waits.append(seconds)
        clock.skipped += seconds
        return patience.stopped

    monkeypatch.setattr("kubectl_modelcar.patience.time", clock)
    monkeypatch.setattr("kubectl_modelcar.patience.Patience.pause", pause)
    return waits
