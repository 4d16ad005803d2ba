"""Tests of TLS that breaks in the middle: a bit that flips on the way makes a record that is refused."""

import socket
import socketserver
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from kubectl_modelcar.errors import NetworkGaveUp
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import FakeRegistry
from tests.registry.sending import BLOB, DIGEST, Stream


@contextmanager
def damaging(upstream, *, upwards, after, times):
    """Relay connections to HOST:PORT; flip a bit in a direction, after that many bytes of it, so many times in all."""
    host, _, port = upstream.rpartition(":")
    left, passed = [times], [0]

    def pump(source, sink, *, damages):
        with suppress(OSError):
            while data := bytearray(source.recv(16_384)):
                if damages and left[0] and passed[0] + len(data) > after:
                    left[0], passed[0] = left[0] - 1, 0
                    data[-1] ^= 1
                elif damages:
                    passed[0] += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection((host, int(port))) as server:
                ways = ((self.request, server, upwards), (server, self.request, not upwards))
                threads = [
                    threading.Thread(target=pump, args=way[:2], kwargs={"damages": way[2]}, daemon=True) for way in ways
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads, listening.block_on_close = True, False  # connections that are kept do not end
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture
def way(authority):
    """Give a registry behind such a relay, and the target there."""

    @contextmanager
    def to(**damage):
        with (
            FakeRegistry(tls=authority) as registry,
            authority.cert_pem.tempfile() as ca_file,
            damaging(registry.host, **damage) as host,
        ):
            yield registry, RegistryTarget(parse_location(f"{host}/org/m:1"), RegistryAccess(ca_file=Path(ca_file)))

    return to


class TestDamage:
    """What breaks after the registry was reached may pass, as any cut."""

    @pytest.mark.parametrize(("upwards", "after"), [(True, 100_000), (False, 4_000)], ids=["request", "answer"])
    def test_once(self, way, waits, upwards, after):
        """The blob arrives, and the wait before the next attempt is short."""
        with way(upwards=upwards, after=after, times=1) as (registry, there):
            there.prepare()
            for _ in range(20):  # answers are small
                there.has_blob(DIGEST)
            assert there.upload(Stream()) == DIGEST
            assert registry.blobs[DIGEST] == BLOB
        assert len(waits) == 1

    def test_for_ever(self, way, waits):
        """Is given up, and nobody is told to do without TLS."""
        with way(upwards=True, after=10_000, times=-1) as (_, there):
            there.prepare()
            with pytest.raises(NetworkGaveUp) as caught:
                there.upload(Stream())
        assert caught.value.message.endswith(", 6 times in a row")
        assert ("--plain-http" in caught.value.hint, len(waits)) == (False, 5)
