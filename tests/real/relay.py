"""A relay on loopback that counts the bytes which pass, also those of connections that break later."""

import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 1 << 16


@dataclass
class Relay:
    """Where it listens, and the bytes that clients sent it ("upstream") and were sent by it ("downstream")."""

    host: str
    counts: Counter[str] = field(default_factory=Counter)


@contextmanager
def relay_to(upstream: str) -> Iterator[Relay]:
    """Relay connections to HOST:PORT. What ends or breaks on one side does so on the other."""
    host, _, port = upstream.rpartition(":")
    ends: set[socket.socket] = set()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as server:
                ends.update((self.request, server))
                back = threading.Thread(target=_pump, args=(server, self.request, "downstream", relay.counts))
                back.start()
                _pump(self.request, server, "upstream", relay.counts)
                back.join()
                ends.difference_update((self.request, server))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        relay = Relay(f"127.0.0.1:{listening.server_address[1]}")
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield relay
        finally:
            listening.shutdown()
            thread.join()
            for end in list(ends):
                _end(end)


def _pump(source: socket.socket, sink: socket.socket, direction: str, counts: Counter[str]) -> None:
    buffer = memoryview(bytearray(_PIECE))
    try:
        while count := source.recv_into(buffer):
            counts[direction] += count
            sink.sendall(buffer[:count])
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            _end(end)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
