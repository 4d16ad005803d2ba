"""What the tests of the cluster room share: no kubeconfig but their own, a fake API server."""

import pytest

from tests.fakes.kube_api import FakeKubeApi


@pytest.fixture(autouse=True)
def no_kubeconfig(sealed, monkeypatch):  # noqa: ARG001  after the home is sealed
    """Look for kubeconfigs where they are by default: in the sealed home."""
    monkeypatch.delenv("KUBECONFIG")


@pytest.fixture
def api():
    """Run a fake API server."""
    with FakeKubeApi(token="t0ken") as server:
        yield server
