"""What the tests of the registry room share."""

import pytest
import trustme

from kubectl_modelcar import patience
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import docker_config
from tests.registry.sending import LOGIN, Clock


@pytest.fixture(scope="session")
def authority():
    """An authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
def clock(monkeypatch):
    """The clock of everybody's patience, which waiting moves on."""
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setattr(patience.Patience, "pause", lambda self, seconds: clock.wait(seconds) or self.stopped)
    return clock


@pytest.fixture
def waits(clock):
    """The seconds that were waited, without waiting them."""
    return clock.waits


@pytest.fixture
def log_in(sealed):
    """Write docker's config.json for a registry."""

    def write(host, credential=LOGIN):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(docker_config(parse_location(f"{host}/m"), credential))

    return write
