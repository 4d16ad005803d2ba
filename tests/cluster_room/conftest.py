"""What the tests of the cluster room share: a sealed home, a fake API server."""

import os

import pytest

from tests.fakes.kube_api import FakeKubeApi


@pytest.fixture(autouse=True)
def sealed(monkeypatch, tmp_path):
    """Keep the machine's own kubeconfig, helm settings and proxies out."""
    for name in [n for n in os.environ if n.startswith(("HELM_", "KUBE")) or n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def api():
    """Run a fake API server."""
    with FakeKubeApi(token="t0ken") as server:
        yield server
