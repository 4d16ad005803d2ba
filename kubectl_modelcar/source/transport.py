"""The Hub's client on the standard library's connections.

httpx reads a body through h11, in Python and in pieces of 64 KiB: 0.55 s of CPU for each GB, where http.client needs
0.12 (measured on loopback; reading is half of what a push does). So redirects, headers and errors stay with httpx, and
the connections are ours. A stop ends them at once, which closing a response in another thread does not.
"""

import http.client
import select
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import httpx2

from kubectl_modelcar.errors import NetworkGaveUp

CHUNK = 1024 * 1024  # bytes; what is read at most at a time, and lost at most when a connection breaks
_REDIRECTS = 10

_Origin = tuple[str, str, int | None]


class Lines:
    """Open connections, all of which can be cut at once, for good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[object, socket.socket] = {}
        self.cut_off = False

    def opened(self, line: object, its_socket: socket.socket) -> None:
        """Take a connection; cut it if the others were."""
        with self._lock:
            self._open[line] = its_socket
        if self.cut_off:
            self.cut()

    def closed(self, line: http.client.HTTPConnection) -> None:
        """Close a connection and forget it."""
        line.close()
        with self._lock:
            self._open.pop(line, None)

    def traced(self, event: str, info: Mapping[str, Any]) -> None:
        """Hear of connections that httpx opened itself (its `trace` extension)."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info["return_value"]
            self.opened(stream, stream.get_extra_info("socket"))

    def cut(self) -> None:
        """End every read and write under way. A socket that is closed while another thread reads it wakes nobody."""
        self.cut_off = True
        with self._lock:
            sockets = list(self._open.values())
        for one in sockets:
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # not SSLSocket's own: it takes the reader's TLS away


class Transport(httpx2.BaseTransport):
    """Sends requests without a body, over connections that are kept."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._idle: dict[_Origin, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request and return the answer, its body yet to be read.

        Raises httpx2.TransportError.
        """
        origin = (request.url.scheme, request.url.raw_host.decode("ascii"), request.url.port)
        timeout = request.extensions.get("timeout", {})
        line = self._kept(origin) or self._new(origin, timeout.get("connect"))
        try:
            line.sock.settimeout(timeout.get("read"))
            line.putrequest(
                request.method, request.url.raw_path.decode("ascii"), skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.raw:
                line.putheader(name, value)
            line.endheaders()
            answer = line.getresponse()
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._lines.closed(line)
            raise _translated(error) from error
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()]
        return httpx2.Response(answer.status, headers=headers, stream=_Body(self, origin, line, answer))

    def done(self, origin: _Origin, line: http.client.HTTPConnection, *, reusable: bool) -> None:
        """Take a connection back."""
        if not reusable or self._lines.cut_off:
            self._lines.closed(line)
            return
        with self._lock:
            self._idle.setdefault(origin, []).append(line)

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            idle = [line for lines in self._idle.values() for line in lines]
            self._idle.clear()
        for line in idle:
            self._lines.closed(line)

    def _kept(self, origin: _Origin) -> http.client.HTTPConnection | None:
        while True:
            with self._lock:
                kept = self._idle.get(origin)
                line = kept.pop() if kept else None
            if line is None or not select.select([line.sock], [], [], 0)[0]:
                return line
            self._lines.closed(line)  # something to read where nothing was asked: the other side hung up

    def _new(self, origin: _Origin, timeout: float | None) -> http.client.HTTPConnection:
        scheme, host, port = origin
        line = (
            http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
            if scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=timeout)
        )
        try:
            line.connect()
        except OSError as error:
            line.close()
            raise httpx2.ConnectError(str(error)) from error
        self._lines.opened(line, line.sock)
        return line

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx2.create_ssl_context()


class _Body(httpx2.SyncByteStream):
    def __init__(
        self, owner: Transport, origin: _Origin, line: http.client.HTTPConnection, answer: http.client.HTTPResponse
    ) -> None:
        self._owner, self._origin, self._line, self._answer = owner, origin, line, answer
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        answer = self._answer
        try:
            while chunk := answer.read1(CHUNK):
                yield chunk
        except (OSError, http.client.HTTPException) as error:
            raise _translated(error) from error
        if answer.length:
            raise httpx2.RemoteProtocolError(f"the connection ended {answer.length} bytes too early")
        self._whole = True

    def close(self) -> None:
        reusable = (self._whole or self._answer.length == 0) and not self._answer.will_close
        self._answer.close()
        self._owner.done(self._origin, self._line, reusable=reusable)


def new_client(lines: Lines) -> httpx2.Client:
    """Return a client whose connections `lines` can cut.

    Behind a proxy the connections are httpx's own: it knows all kinds of proxies, and the wire is slower than both.
    """
    proxied = any(scheme in urllib.request.getproxies() for scheme in ("http", "https", "all"))
    try:
        return httpx2.Client(
            transport=None if proxied else Transport(lines),
            event_hooks={"request": [lambda request: request.extensions.update(trace=lines.traced)]}
            if proxied
            else None,
            follow_redirects=True,
            max_redirects=_REDIRECTS,
        )
    except (httpx2.InvalidURL, ValueError) as error:
        raise NetworkGaveUp("a proxy in the environment is no URL", "write it as http://HOST:PORT") from error


def _translated(error: Exception) -> httpx2.TransportError:
    if isinstance(error, TimeoutError):
        return httpx2.ReadTimeout("timed out")
    if isinstance(error, http.client.HTTPException):
        return httpx2.RemoteProtocolError(str(error) or type(error).__name__)
    return httpx2.ReadError(str(error) or type(error).__name__)
