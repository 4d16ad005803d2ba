"""Fixtures of the chat room: a fake endpoint, and an environment that points nowhere else."""

import pytest

from kubectl_modelcar.chat import Client, Endpoint
from tests.fakes.endpoint import FakeEndpoint


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    """Keep the machine's own proxies and authorities out of the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def endpoint():
    """A fake endpoint that serves the model `tiny`."""
    with FakeEndpoint() as fake:
        fake.serve_models("tiny")
        yield fake


@pytest.fixture
def client(endpoint):
    """A client of it that need not ask for the model."""
    with Client(Endpoint.parse(endpoint.url, model="tiny"), idle_seconds=5) as client:
        yield client
