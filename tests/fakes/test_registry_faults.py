"""The fake registry misbehaves just as it is asked to, and just as often."""

import http.client
import socket
import time

import pytest

from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.fakes.test_registry import BLOB, DIGEST, Client


@pytest.fixture
def registry():
    """Serve a registry with one blob."""
    with FakeRegistry() as serving:
        serving.add_blob("org/model", BLOB)
        yield serving


@pytest.fixture
def ask(registry):
    """Give a client of it."""
    return Client(registry)


class TestFaults:
    """Each way to misbehave does just that, just as often as asked."""

    def blob(self, ask, **headers):
        """Read the blob."""
        return ask("GET", f"/v2/org/model/blobs/{DIGEST}", **headers)

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    def test_cut_after(self, ask, registry, reset):
        """Once; then it works again."""
        registry.faults.append(Fault(cut_after=1000, reset=reset))
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            self.blob(ask)
        assert self.blob(ask)[0] == 200
        assert [request.sent for request in registry.log] == [1000, 200000]

    def test_status(self, ask, registry):
        """With headers and a body, after some that pass."""
        registry.faults.append(Fault(after=1, times=2, status=429, headers={"Retry-After": "3"}, body=b"slow"))
        answers = [self.blob(ask) for _ in range(4)]
        assert [(status, headers["Retry-After"]) for status, headers, _ in answers] == [
            (200, None),
            (429, "3"),
            (429, "3"),
            (200, None),
        ]

    def test_matching(self, ask, registry):
        """By method and path; for ever with -1."""
        registry.faults.append(Fault(method="HEAD", path="/blobs/", times=-1, status=500))
        url = f"/v2/org/model/blobs/{DIGEST}"
        assert [ask(method, url)[0] for method in ("HEAD", "GET", "HEAD")] == [500, 200, 500]

    def test_stall_after(self, registry):
        """The connection stays, silent, until the registry ends."""
        registry.faults.append(Fault(stall_after=1000))
        connection = http.client.HTTPConnection(registry.host, timeout=0.2)
        connection.request("GET", f"/v2/org/model/blobs/{DIGEST}")
        with pytest.raises(TimeoutError):
            connection.getresponse().read()
        connection.close()

    def test_trickle(self, ask, registry):
        """Byte by byte."""
        registry.add_blob("org/model", b"abc")
        registry.faults.append(Fault(trickle=0.03))
        started = time.monotonic()
        assert ask("GET", f"/v2/org/model/blobs/{digest_of(b'abc')}")[2] == b"abc"
        assert time.monotonic() - started >= 0.06  # between three bytes are two waits

    def test_bodies_that_differ(self, ask, registry):
        """A flipped bit, something appended, no length, everything for a part."""
        registry.faults += [Fault(corrupt_at=1), Fault(extra=b"!"), Fault(chunked=True), Fault(ignore_range=True)]
        assert self.blob(ask)[2] == b"00" + BLOB[2:]
        assert self.blob(ask)[2] == BLOB + b"!"
        _, headers, body = self.blob(ask)
        assert (headers["Content-Length"], body) == (None, BLOB)
        assert self.blob(ask, Range="bytes=5-")[2] == BLOB

    def test_headers_that_differ(self, ask, registry):
        """Others, or none."""
        registry.faults.append(Fault(headers={"Docker-Content-Digest": "", "Content-Type": "text/html"}))
        _, headers, _ = self.blob(ask)
        assert (headers["Docker-Content-Digest"], headers["Content-Type"]) == (None, "text/html")

    @pytest.mark.parametrize(("keep", "said"), [(None, "0-999"), (True, "0-999"), (False, "0-0")])
    def test_cut_request_after(self, ask, registry, keep, said):
        """The bytes that came are kept or lost, and counted."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        registry.faults.append(Fault(method="PATCH", cut_request_after=1000, reset=True, keep=keep))
        with pytest.raises((OSError, http.client.HTTPException)):
            ask("PATCH", location, bytes(1 << 20))
        assert ask("GET", location)[1]["Range"] == said
        assert [request.received for request in registry.log] == [0, 1000, 0]

    def test_lose_answer(self, ask, registry):
        """What was asked is done, only nobody hears of it."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        registry.faults.append(Fault(method="PUT", lose_answer=True))
        with pytest.raises((OSError, http.client.HTTPException)):
            ask("PUT", f"{location}&digest={digest_of(b'x')}", b"x")
        assert registry.knows("a", digest_of(b"x"))

    def test_take_only(self, ask, registry):
        """A part is taken, and the answer is for that."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        registry.faults.append(Fault(method="PATCH", take_only=10))
        status, headers, _ = ask("PATCH", location, bytes(100), Content_Range="0-99")
        assert (status, headers["Range"]) == (202, "0-9")
        assert ask("PATCH", headers["Location"], bytes(90), Content_Range="10-99")[1]["Range"] == "0-99"
        assert [request.received for request in registry.log] == [0, 100, 90]

    def test_corrupt_request_at(self, ask, registry):
        """A bit flips on the way, so that the digest is another."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        registry.faults.append(Fault(method="PUT", corrupt_request_at=2))
        assert ask("PUT", f"{location}&digest={digest_of(b'abc')}", b"abc")[0] == 400

    def test_apply(self, ask, registry):
        """What was asked is done, and a gateway says that it is not."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        registry.faults.append(Fault(method="PUT", status=504, apply=True))
        assert ask("PUT", f"{location}&digest={digest_of(b'x')}", b"x")[0] == 504
        assert registry.knows("a", digest_of(b"x"))

    def test_early(self, registry):
        """The answer comes before the body, and the connection ends."""
        registry.faults.append(Fault(method="PATCH", status=413, early=True))
        with socket.create_connection(registry.host.split(":"), timeout=5) as client:
            client.sendall(b"PATCH /v2/a/blobs/uploads/x HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 413 ")
        assert [(request.received, request.status) for request in registry.log] == [(0, 413)]

    def test_silent(self, registry):
        """Nothing is answered, and nothing ends."""
        registry.faults.append(Fault(silent=True))
        connection = http.client.HTTPConnection(registry.host, timeout=0.2)
        connection.request("GET", "/v2/")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()

    def test_a_client_that_leaves(self, registry):
        """In the middle of its body or of ours: the counters say how far it came."""
        with socket.create_connection(registry.host.split(":"), timeout=5) as client:
            client.sendall(b"PATCH /v2/a/blobs/uploads/x HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
        until(lambda: registry.log)
        assert [(request.received, request.status) for request in registry.log] == [(3, 0)]
        large = registry.add_blob("org/model", bytes(64 << 20))
        with socket.create_connection(registry.host.split(":"), timeout=5) as client:
            client.sendall(f"GET /v2/org/model/blobs/{large} HTTP/1.1\r\n\r\n".encode())
            client.recv(1000)
        until(lambda: registry.log[-1].sent < 64 << 20)


def until(condition) -> None:
    """Wait for what another thread does at once, or soon."""
    ends = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
