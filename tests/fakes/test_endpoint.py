"""The fake endpoint does what its script says, byte for byte, and fails loudly on anything else.

Read by plain sockets and http.client, so that it is not proved by the client that it proves.
"""

import http.client
import json
import socket
import time

import pytest

from tests.fakes.endpoint import (
    CHAT,
    DONE,
    FakeEndpoint,
    Pause,
    Reset,
    UntilHangUp,
    answer,
    broken_stream,
    delta,
    event,
    events,
    response,
    stream,
    wire,
)


@pytest.fixture
def endpoint():
    with FakeEndpoint() as fake:
        yield fake


@pytest.fixture
def ask(endpoint):
    """Ask a question (after the script was written) and return the socket."""
    connections = []

    def ask():
        connection = socket.create_connection(_address(endpoint), timeout=5)
        connections.append(connection)
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: b\r\nContent-Length: 2\r\n\r\n{}")
        return connection

    yield ask
    for connection in connections:
        connection.close()


def _address(endpoint):
    host, port = endpoint.url.removeprefix("http://").split(":")
    return host, int(port)


def _all(connection):
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


class TestReplies:
    def test_raw_bytes_go_out_as_they_are(self, endpoint, ask):
        """Nothing is added to recorded traffic."""
        endpoint.chat(wire(b"nonsense\x00"))
        assert _all(ask()) == b"nonsense\x00"

    def test_a_response_has_its_length(self, endpoint, ask):
        """A plain body is framed by Content-Length."""
        endpoint.chat(response(418, "tea", "text/plain", retry_after="1"))
        assert _all(ask()) == (
            b"HTTP/1.1 418 Whatever\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n"
            b"retry-after: 1\r\n\r\ntea"
        )

    def test_a_stream_is_chunked(self, endpoint, ask):
        """Each part is a chunk, and the end is said."""
        endpoint.chat(stream(b"ab", b"c"))
        assert _all(ask()).endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")

    def test_a_broken_stream_is_not_ended(self, endpoint, ask):
        """The last chunk is missing."""
        endpoint.chat(broken_stream(b"ab"))
        assert _all(ask()).endswith(b"2\r\nab\r\n")

    def test_pieces_are_the_same_bytes(self, endpoint, ask):
        """Cutting changes when bytes come and not which."""
        endpoint.chat(events(delta("Hello"), DONE).in_pieces(3))
        assert _all(ask()) == b"".join(events(delta("Hello"), DONE).steps)

    def test_a_pause_is_waited_for(self, endpoint, ask):
        """Bytes before it come before it."""
        endpoint.chat(wire(b"a").then(Pause(0.3), b"b"))
        asking = ask()
        assert asking.recv(1) == b"a"
        begun = time.monotonic()
        assert (asking.recv(1), time.monotonic() - begun > 0.2) == (b"b", True)

    def test_a_reset_is_a_reset(self, endpoint, ask):
        """The client sees ECONNRESET, not an end."""
        endpoint.chat(wire(b"a").then(Pause(0.1), Reset()))
        with pytest.raises(ConnectionResetError):
            _all(ask())

    def test_sees_the_client_hang_up(self, endpoint, ask):
        """Nothing is said until then."""
        endpoint.chat(wire(b"a").then(UntilHangUp()))
        asking = ask()
        assert (asking.recv(1), endpoint.hung_up.is_set()) == (b"a", False)
        asking.close()
        assert endpoint.hung_up.wait(5)

    def test_an_answer_is_shaped_like_one_of_vllm(self):
        """Role, text, reason, usage, end."""
        body = b"".join(answer("Hi").steps)
        said = [json.loads(line[6:]) for line in body.split(b"\r\n") if line.startswith(b'data: {"id"')]
        assert [bool(item["choices"]) for item in said] == [True, True, True, False]
        assert event(DONE) in body


class TestRequests:
    def test_are_recorded(self, endpoint, ask):
        """Method, path, headers and body are there to be compared."""
        endpoint.chat(response(200))
        _all(ask())
        (request,) = endpoint.requests
        assert (request.method, request.path, request.headers["x-a"], request.json()) == ("POST", CHAT, "b", {})

    def test_replies_are_used_in_order_and_the_last_stays(self, endpoint):
        """A retry meets the next reply."""
        endpoint.on("/v1/models", response(503), response(200))
        assert [self._get(endpoint, "/v1/models") for _ in range(3)] == [503, 200, 200]

    def test_one_without_a_reply_fails_the_test(self):
        """No test passes because nothing was scripted."""
        with pytest.raises(AssertionError, match=r"\['GET /health'\]"), FakeEndpoint() as fake:
            assert self._get(fake, "/health") == 501

    def _get(self, endpoint, path):
        connection = http.client.HTTPConnection(*_address(endpoint), timeout=5)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status
