"""What the tests of the registry room share."""

import pytest
import trustme

from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import docker_config
from kubectl_modelcar.registry.wire import Wire
from tests.registry.sending import LOGIN


@pytest.fixture(scope="session")
def authority():
    """An authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting them."""
    waits = []
    monkeypatch.setattr(Wire, "pause", lambda _wire, seconds: waits.append(seconds))
    return waits


@pytest.fixture
def log_in(sealed):
    """Write docker's config.json for a registry."""

    def write(host, credential=LOGIN):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(docker_config(parse_location(f"{host}/m"), credential))

    return write
