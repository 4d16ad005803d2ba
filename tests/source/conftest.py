"""What the tests of sources share."""

import pytest

from tests.source.hub_model import FILES


@pytest.fixture
def commit(hub):
    """A repository with one commit."""
    commit = hub.commit("org/m", FILES)
    hub.repositories["org/m"].card = {"license": "apache-2.0"}
    return commit


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting them."""
    waits = []
    monkeypatch.setattr("kubectl_modelcar.source.hub.HubSource.pause", lambda _source, seconds: waits.append(seconds))
    return waits
