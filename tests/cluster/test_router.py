"""The router hands on what is a Route's, and nothing else. (That it admits Routes is tested on the cluster.)"""

import asyncio
import http.client
import socket

import pytest

from tests.cluster.router import Backend, Router
from tests.fakes.endpoint import MODELS, FakeEndpoint, models


@pytest.fixture
def backend():
    with FakeEndpoint() as fake:
        fake.serve_models("tiny")
        fake.on(f"{MODELS}?a=b", models("tiny"))
        yield fake


@pytest.fixture
def ask(backend):
    """Give a function that sends one request by a router and returns the status and the body."""
    port = int(backend.url.rpartition(":")[2])
    router = Router({"model.test": Backend("/v1", "127.0.0.1", port)})

    async def answer(host, path):
        async with await asyncio.start_server(router.serve, "127.0.0.1", 0) as server:
            return await asyncio.to_thread(get, server.sockets[0].getsockname()[1], host, path)

    return lambda host, path: asyncio.run(answer(host, path))


def get(port, host, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers={"Host": host, "Connection": "keep-alive"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


class TestRouter:
    """One request at a time."""

    @pytest.mark.parametrize("path", [MODELS, f"{MODELS}?a=b"])
    @pytest.mark.parametrize("host", ["model.test", "model.test:443"])
    def test_handed_on(self, ask, backend, host, path):
        """What is below the Route's path arrives as it was sent, on a connection of its own."""
        assert ask(host, path)[0] == 200
        (request,) = backend.requests
        assert (request.path, request.headers["host"], request.headers["connection"]) == (path, host, "close")

    @pytest.mark.parametrize(
        ("host", "path"),
        [("other.test", MODELS), ("model.test", "/health"), ("model.test", "/v1x"), ("model.test", "/")],
        ids=["another host", "another path", "a longer segment", "the root"],
    )
    def test_refused(self, ask, backend, host, path):
        """What no Route asks for is 503, as OpenShift has it."""
        status, body = ask(host, path)
        assert (status, b"Application is not available" in body, backend.requests) == (503, True, [])

    def test_something_that_is_no_http(self, capsys):
        """A broken request ends its own connection only."""

        async def send():
            async with await asyncio.start_server(Router().serve, "127.0.0.1", 0) as server:
                return await asyncio.to_thread(talk, server.sockets[0].getsockname())

        assert (asyncio.run(send()), capsys.readouterr().out.startswith("broken: ")) == (b"", True)


def talk(address):
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        return connection.recv(100)


class TestBackend:
    """Which paths a Route takes."""

    @pytest.mark.parametrize(
        ("path", "asked", "expected"),
        [
            ("/v1", "/v1", True),
            ("/v1", "/v1/x", True),
            ("/v1", "/v1?x", True),
            ("/v1", "/v10", False),
            ("/", "/x", True),
        ],
    )
    def test_takes(self, path, asked, expected):
        """Whole segments."""
        assert Backend(path, "", 0).takes(asked) == expected
