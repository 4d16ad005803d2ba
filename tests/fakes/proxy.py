"""An HTTP proxy on loopback that tunnels by CONNECT (RFC 9110, 9.3.6) and remembers where to."""

import select
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass
class FakeProxy:
    """The proxy; a context manager. What is not a CONNECT is answered with 501."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """HOST:PORT that only the proxy knows, to where it is."""
    tunnels: list[str] = field(default_factory=list)
    """HOST:PORT of each CONNECT."""

    def __enter__(self) -> Self:
        outer = self

        class Handler(_Handler):
            proxy = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a tunnel lives as long as its client keeps it
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """URL of the proxy."""
        return f"http://127.0.0.1:{self._server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    proxy: FakeProxy

    def do_CONNECT(self) -> None:
        self.proxy.tunnels.append(self.path)
        host, _, port = self.proxy.addresses.get(self.path, self.path).rpartition(":")
        with socket.create_connection((host, int(port))) as target:
            self.send_response(200)
            self.end_headers()
            _splice(self.connection, target)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _splice(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until either side ends."""
    across = {one: other, other: one}
    while True:
        for ready in select.select([one, other], [], [])[0]:
            try:
                data = ready.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return
            across[ready].sendall(data)
