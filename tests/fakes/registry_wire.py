"""The fake registry's wire: HTTP on loopback, and the faults on it."""

import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.fakes.registry_faults import Fault, Request
from tests.fakes.registry_state import Answer, Asked, Bytes

PIECE = 64 << 10


class Origin:
    """One host and port that is served: its log, its faults, and who answers."""

    def __init__(self, answer: Callable[[Asked], Answer], tls):
        self.log: list[Request] = []
        self.faults: list[Fault] = []
        self.failures: list[BaseException | None] = []
        """What went wrong in the fake itself; raised when it ends."""
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.answer = answer
        self._server = _Server(self, tls)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End, and raise what went wrong in the fake itself."""
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.failures:
            raise self.failures[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, origin: Origin, tls):
        self.origin = origin
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
            self.origin.failures.append(error)


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
        self.origin = self.server.origin
        with self.origin.lock:
            fault = next((f for f in self.origin.faults if f.strikes(self.command, self.path)), Fault())
        self.received = 0
        if fault.early:
            self._send(Answer(fault.status or 413, {"Connection": "close"}, fault.body or b""), fault)
            self.close_connection = True
            return
        body, whole = self._body(fault.cut_request_after)
        asked = self._asked(fault, body, whole=whole)
        if not whole:
            self._answer(asked)
            self._record(0, 0)
            self._cut(reset=fault.reset)
        elif fault.silent:
            self._record(0, 0)
            self.origin.over.wait()
            self._cut(reset=fault.reset)
        else:
            answer = self._answer(asked) if fault.status is None or fault.apply else Answer(fault.status)
            if fault.status is not None:
                answer = Answer(fault.status, {}, fault.body or b"")
            if fault.lose_answer:
                self._record(answer.status, 0)
                self._cut(reset=fault.reset)
            else:
                self._send(answer, fault)

    def _asked(self, fault: Fault, body: bytearray, *, whole: bool) -> Asked:
        headers = {name.lower(): value for name, value in self.headers.items()}
        headers.pop("range" if fault.ignore_range else "", None)
        if fault.corrupt_request_at is not None and fault.corrupt_request_at < len(body):
            body[fault.corrupt_request_at] ^= 1
        taken = body if fault.take_only is None else body[: fault.take_only]
        return Asked(self.command, self.path, headers, taken, whole=whole, keep=fault.keep)

    def _answer(self, asked: Asked) -> Answer:
        with self.origin.lock:
            return self.origin.answer(asked)

    # ------------------------------------------------------------ bytes in and out

    def _body(self, most: int | None = None) -> tuple[bytearray, bool]:
        """Read the request's body, or its first `most` bytes; return it and whether that is all there is.

        It stops short where the client leaves, too.
        """
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks(most)
        length = int(self.headers.get("Content-Length", 0))
        data = self._exactly(length if most is None else min(length, most))
        return data, most is None and len(data) == length

    def _chunks(self, most: int | None) -> tuple[bytearray, bool]:
        data = bytearray()
        while True:
            line = self._line()
            if not line:
                return data, False
            size = int(line.split(b";")[0], 16)
            wanted = size if most is None else min(size, most - len(data))
            data += self._exactly(wanted)
            self.received = len(data)
            if most is not None and len(data) >= most:
                return data, False
            if not self._line():
                return data, False
            if not size:
                return data, most is None

    def _line(self) -> bytes:
        try:
            return self.rfile.readline()
        except ConnectionError:
            return b""

    def _exactly(self, size: int) -> bytearray:
        """Read `size` bytes into one buffer, or as many as come before the client leaves."""
        data, count = bytearray(size), 0
        view = memoryview(data)
        try:
            while count < size and (read := self.rfile.readinto1(view[count : count + (1 << 20)])):
                count += read
        except ConnectionError:
            pass
        view.release()
        del data[count:]
        self.received = count
        return data

    def _send(self, answer: Answer, fault: Fault) -> None:
        size = len(answer.body) + len(fault.extra)
        ends = [at for at in (fault.cut_after, fault.stall_after) if at is not None]
        most = min(0 if self.command == "HEAD" else size, *ends, size)
        # Before the first byte: a test may look as soon as it has its answer.
        number = self._record(answer.status, most)
        announced = self._send_head(answer, fault, size)
        sent = 0
        try:
            for piece in self._pieces(answer.body, fault, most):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if fault.chunked else piece)
                sent += len(piece)
                if fault.trickle and self.origin.over.wait(fault.trickle):
                    break
        except OSError:
            self._correct(number, sent)
            raise
        if fault.stall_after is not None:
            self.origin.over.wait()
        if ends or (announced > size and self.command != "HEAD"):
            self._cut(reset=fault.reset)
        elif fault.chunked and self.command != "HEAD":
            self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, answer: Answer, fault: Fault, size: int) -> int:
        """Send status and headers; return the length that they announce, in bytes."""
        self.send_response_only(answer.status)
        length = {} if fault.chunked or answer.status == 204 else {"Content-Length": str(size)}
        headers = {"Date": self.date_time_string(), **length, **answer.headers, **fault.headers}
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return int(headers.get("Content-Length") or size)

    def _pieces(self, body: Bytes, fault: Fault, end: int) -> Iterator[Bytes]:
        """Yield the first `end` bytes of what is sent, without a copy of the whole."""
        step, start = 1 if fault.trickle else PIECE, 0
        for part in (memoryview(body), memoryview(fault.extra)):
            for at in range(0, min(len(part), end - start), step):
                piece: Bytes = part[at : min(at + step, end - start)]
                wrong = -1 if fault.corrupt_at is None else fault.corrupt_at - start - at
                if 0 <= wrong < len(piece):
                    piece = bytearray(piece)
                    piece[wrong] ^= 1
                yield piece
            start += len(part)

    def _record(self, status: int, sent: int) -> int:
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.origin.lock:
            self.origin.log.append(Request(self.command, self.path, headers, self.received, status, sent))
            return len(self.origin.log) - 1

    def _correct(self, number: int, sent: int) -> None:
        """Write down that a client left before it had everything; what the kernel still held counts as sent."""
        with self.origin.lock:
            if number < len(self.origin.log):
                was = self.origin.log[number]
                self.origin.log[number] = Request(was.method, was.path, was.headers, was.received, was.status, sent)

    def _cut(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        else:
            with suppress(OSError):  # where the client was first
                self.connection.shutdown(socket.SHUT_RDWR)
