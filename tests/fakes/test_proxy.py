"""Tests of the fake proxy: it tunnels, and does nothing else."""

import http.client

import pytest

from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.proxy import FakeProxy


@pytest.fixture
def proxy():
    with FakeProxy() as fake:
        yield fake


def test_tunnel(proxy):
    """What goes in at one end comes out at the other, and the target is remembered."""
    with FakeKubeApi() as api:
        proxy.addresses = {"api.test:6443": api.url.removeprefix("http://")}
        connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
        connection.set_tunnel("api.test", 6443)
        connection.request("GET", "/api/v1/namespaces/models")
        status = connection.getresponse().status
        connection.close()
    assert (status, proxy.tunnels, len(api.requests)) == (200, ["api.test:6443"], 1)


def test_no_other_request(proxy):
    """A client that does not tunnel is told so."""
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"))
    connection.request("GET", "http://127.0.0.1:1/")
    status = connection.getresponse().status
    connection.close()
    assert (status, proxy.tunnels) == (501, [])
