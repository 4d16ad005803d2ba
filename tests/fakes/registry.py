"""An in-memory OCI registry on loopback (distribution-spec 1.1) that can be told to misbehave.

    with FakeRegistry(auth="bearer") as registry:
        digest = registry.add_blob("org/model", b"...")
        registry.faults.append(Fault(path=r"/blobs/sha256:", cut_after=100))

It checks what it is sent as a real one does: digests, ranges, credentials, scopes, and that a manifest's blobs are
there. What it answers is in `registry_answers`; here are its state, the wire and the faults.
"""

import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.fakes.registry_answers import IDENTITY_TOKEN, PASSWORD, USER, Answer, Asked, State, answer_to, digest_of

__all__ = ["IDENTITY_TOKEN", "PASSWORD", "USER", "FakeRegistry", "Fault", "Request", "digest_of"]

PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came and what it was answered; bytes count bodies only."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    received: int
    status: int
    sent: int


@dataclass(slots=True)
class Fault:
    """A way to misbehave for the next `times` requests whose method and path (with query) match; -1 is for ever.

    `after` lets that many matching requests pass first.
    """

    method: str = ".*"
    path: str = ".*"
    times: int = 1
    after: int = 0
    status: int | None = None
    """Answer this and do nothing."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to add or, with a value of "", to leave out."""
    body: bytes | None = None
    """Send this body with `status`."""
    cut_request_after: int | None = None
    """Take this many bytes of the request's body, then cut the connection and drop what came."""
    lose_answer: bool = False
    """Do what was asked, then cut the connection in place of an answer."""
    cut_after: int | None = None
    """End the connection after this many bytes of the answer's body."""
    reset: bool = False
    """End connections with a reset, not in order."""
    stall_after: int | None = None
    """Send nothing more, with the connection open, after this many bytes of the answer's body."""
    trickle: float = 0.0
    """Send the body byte by byte, with this many seconds between."""
    corrupt_at: int | None = None
    """Flip a bit of this byte of the answer's body."""
    ignore_range: bool = False
    """Answer a request for a part with everything."""
    chunked: bool = False
    """Send the body in chunks, without a Content-Length."""
    extra: bytes = b""
    """Append this to the body."""

    def strikes(self, method: str, path: str) -> bool:
        """Tell whether this request is hit, and count it."""
        if not self.times or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= self.times > 0
        return True


class FakeRegistry(State):
    """The registry; serves from `__enter__` to `__exit__`."""

    def __init__(self, auth=None, tls=None, *, token_lifetime=300, anonymous_pull=False):
        """`auth` is None, "basic" or "bearer"; `tls` is a `trustme.CA` that issues its certificate."""
        super().__init__(auth, token_lifetime=token_lifetime, anonymous_pull=anonymous_pull)
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.failures: list[BaseException | None] = []
        """What went wrong in the fake itself; raised when it ends."""
        self.lock = threading.Lock()
        self.over = threading.Event()
        self._server = _Server(self, tls)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self.realm = f"{self.url}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.failures:
            raise self.failures[0]

    def requests(self, method: str = ".*", path: str = "") -> list[Request]:
        """Return what was asked, by method and by a pattern in the path."""
        return [r for r in self.log if re.fullmatch(method, r.method) and re.search(path, r.path)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, registry: FakeRegistry, tls):
        self.registry = registry
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.issue_cert("127.0.0.1", "localhost").configure_cert(self.tls)
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self):
        connection, address = super().get_request()
        if self.tls:
            # The handshake comes with the first read, in the connection's own thread.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, *_):
        error = sys.exception()
        if not isinstance(error, OSError):  # a client that leaves is no failure of ours
            self.registry.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 0
    server: _Server

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def do_GET(self):
        self._serve()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (http.server's names)

    def _serve(self):
        self.registry = self.server.registry
        with self.registry.lock:
            fault = next((f for f in self.registry.faults if f.strikes(self.command, self.path)), Fault())
        self.received = 0
        if fault.cut_request_after is not None:
            self._body(fault.cut_request_after)
            self._record(0, 0)
            self._cut(reset=fault.reset)
            return
        body = self._body()
        if fault.status is not None:
            answer = Answer(fault.status, {}, fault.body or b"")
        else:
            with self.registry.lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                headers.pop("range" if fault.ignore_range else "", None)
                answer = answer_to(Asked(self.command, self.path, headers, body), self.registry)
        if fault.lose_answer:
            self._record(answer.status, 0)
            self._cut(reset=fault.reset)
            return
        self._send(answer, fault)

    # ------------------------------------------------------------ bytes in and out

    def _body(self, most: int | None = None) -> bytes:
        """Read the request's body, of a Content-Length or in chunks, or its first `most` bytes."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length", 0))
            data = self.rfile.read(length if most is None else min(length, most))
            self.received = len(data)
            return data
        data = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.received = len(data)
            self.rfile.readline()
            if most is not None and len(data) >= most:
                return bytes(data[:most])
        self.rfile.readline()
        return bytes(data)

    def _send(self, answer: Answer, fault: Fault) -> None:
        body = b"" if self.command == "HEAD" else bytearray(answer.body + fault.extra)
        if fault.corrupt_at is not None and fault.corrupt_at < len(body):
            body[fault.corrupt_at] ^= 1
        ends = [len(body)] + [at for at in (fault.cut_after, fault.stall_after) if at is not None]
        body = bytes(body[: min(ends)])
        self._record(answer.status, len(body))  # before the first byte: a test may look as soon as it has its answer
        self.send_response_only(answer.status)
        length = {} if fault.chunked else {"Content-Length": str(len(answer.body + fault.extra))}
        for name, value in {"Date": self.date_time_string(), **length, **answer.headers, **fault.headers}.items():
            if value:
                self.send_header(name, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        step = 1 if fault.trickle else PIECE
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
            if fault.trickle and self.registry.over.wait(fault.trickle):
                break
        if fault.stall_after is not None:
            self.registry.over.wait()
        if fault.cut_after is not None or fault.stall_after is not None:
            self._cut(reset=fault.reset)
        elif fault.chunked and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")

    def _record(self, status: int, sent: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.registry.log.append(Request(self.command, self.path, headers, self.received, status, sent))

    def _cut(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
