"""Tests of the connections: what is trusted, and how long is waited for a byte."""

import hashlib
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
import trustme

from kubectl_modelcar.errors import NetworkGaveUp, NotAuthorised
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import FakeRegistry
from tests.registry.sending import DIGEST, held, send, target


class TestTls:
    """Certificates."""

    @pytest.fixture
    def secure(self, authority):
        with FakeRegistry(tls=authority) as registry:
            yield registry

    def test_unknown_authority(self, secure, waits):
        """Said at once, with the way out; nothing was sent."""
        with pytest.raises(NetworkGaveUp) as caught:
            target(secure).prepare()
        assert caught.value.message.startswith(
            f"cannot push to {secure.host}/org/m: the certificate of {secure.host} is not trusted ("
        )
        assert (
            "self-signed certificate in certificate chain" in caught.value.message
            or "unable to get local issuer" in (caught.value.message)
        )
        assert caught.value.hint == "--ca-file FILE names the authority that signed it"
        assert (secure.log, waits) == ([], [])

    def test_ca_file(self, secure, authority):
        """Known, and used for every request."""
        with authority.cert_pem.tempfile() as ca_file:
            assert send(secure, ca_file=Path(ca_file)) == DIGEST

    def test_ca_file_and_a_token(self, authority, log_in):
        """The token's server is asked with the same trust."""
        with FakeRegistry(tls=authority, auth="bearer") as registry, authority.cert_pem.tempfile() as ca_file:
            log_in(registry.host)
            assert send(registry, ca_file=Path(ca_file)) == DIGEST

    def test_insecure(self, secure, capsys):
        """Asks nothing, and says nothing for each connection."""
        assert send(secure, insecure=True) == DIGEST
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_insecure_is_the_user_s_word(self, secure, authority, monkeypatch, name):
        """Requests would let the environment overrule it."""
        with authority.cert_pem.tempfile() as bundle:
            monkeypatch.setenv(name, bundle)
            assert send(secure, insecure=True) == DIGEST

    def test_curl_s_variable(self, secure, authority, monkeypatch):
        """Is curl's; that its file is not there is no matter of ours."""
        monkeypatch.setenv("CURL_CA_BUNDLE", "/nowhere/ca.pem")
        with authority.cert_pem.tempfile() as ca_file:
            assert send(secure, ca_file=Path(ca_file)) == DIGEST

    def test_other_name(self, waits):
        """A good certificate of somebody else."""
        other = trustme.CA()

        class Elsewhere:
            @staticmethod
            def issue_cert(*_names):
                return other.issue_cert("other.example")

        with (
            FakeRegistry(tls=Elsewhere) as registry,
            other.cert_pem.tempfile() as ca_file,
            pytest.raises(NetworkGaveUp) as caught,
        ):
            target(registry, ca_file=Path(ca_file)).prepare()
        assert "is not trusted" in caught.value.message
        assert waits == []

    def test_registry_without_tls(self, registry, waits):
        """Spoken to by TLS: what it lacks is not called a certificate."""
        with pytest.raises(NetworkGaveUp) as caught:
            target(registry, plain_http=False).prepare()
        assert caught.value.message.startswith(
            f"cannot push to {registry.host}/org/m: {registry.host} does not speak TLS as it should ("
        )
        assert (caught.value.hint, waits) == ("--plain-http if it has no TLS", [])

    def test_cut_in_the_handshake(self, waits):
        """May pass, and is tried again."""
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:

            def hang_up():
                for _ in range(6):
                    connection, _ = listener.accept()
                    connection.recv(1000)
                    connection.close()

            thread = threading.Thread(target=hang_up, daemon=True)
            thread.start()
            location = parse_location(f"127.0.0.1:{listener.getsockname()[1]}/org/m:1")
            with pytest.raises(NetworkGaveUp) as caught:
                RegistryTarget(location, RegistryAccess()).prepare()
            thread.join(5)
        assert "ended the connection" in caught.value.message
        assert len(waits) == 5


def read_head(connection):
    """Return the head of a request."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    return head


def serve(listener, pause, *, keep):
    """Answer a POST, take a PATCH's body after a pause, then a PUT; the first connection is kept or not."""
    with ExitStack() as connections:
        connection = connections.enter_context(closing(listener.accept()[0]))
        read_head(connection)
        more = b"" if keep else b"Connection: close\r\n"
        connection.sendall(b"HTTP/1.1 202 Accepted\r\n" + more + b"Location: /up\r\nContent-Length: 0\r\n\r\n")
        if not keep:
            connection.shutdown(socket.SHUT_RDWR)
            connection = connections.enter_context(closing(listener.accept()[0]))
        head = read_head(connection)
        time.sleep(pause)
        left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while left and (part := connection.recv(min(left, 1 << 20))):
            left -= len(part)
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n")
        read_head(connection)
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")


class TestStalls:
    """A registry that takes no byte for a while."""

    @pytest.mark.parametrize("keep", [True, False], ids=["connection that was kept", "new connection"])
    def test_longer_than_a_connection_may_take(self, monkeypatch, keep):
        """Storage behind a registry pauses for longer than connecting takes."""
        monkeypatch.setattr("kubectl_modelcar.registry.wire.CONNECT", 0.2)
        monkeypatch.setattr("kubectl_modelcar.registry.wire.IDLE", 5.0)
        data = bytes(16 << 20)
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            thread = threading.Thread(target=serve, args=(listener, 0.8), kwargs={"keep": keep}, daemon=True)
            thread.start()
            location = parse_location(f"127.0.0.1:{listener.getsockname()[1]}/org/m:1")
            there = RegistryTarget(location, RegistryAccess(plain_http=True))
            assert there.upload(held(data)) == f"sha256:{hashlib.sha256(data).hexdigest()}"
            thread.join(5)


class TestEarlyAnswers:
    """An answer that comes while the body is still on its way."""

    def test_the_rest_is_kept(self, waits):
        """What the registry does not want is not sent to it, and the connection is not used for anything else."""
        size, read, connections = 64 << 20, [], []

        def serve(listener):
            with suppress(OSError):
                while True:
                    connection = listener.accept()[0]
                    connections.append(connection)
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection):
            with closing(connection), suppress(OSError, IndexError):
                while (head := read_head(connection)).startswith(b"POST"):
                    connection.sendall(b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n")
                if head.startswith(b"DELETE"):
                    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                time.sleep(0.5)  # as nginx, which goes on to read
                while count := len(connection.recv(1 << 20)):
                    read.append(count)

        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
            location = parse_location(f"127.0.0.1:{listener.getsockname()[1]}/org/m:1")
            there = RegistryTarget(location, RegistryAccess(plain_http=True))
            with pytest.raises(NotAuthorised):
                there.upload(held(bytes(size)))
            assert len(connections) == 1
            there.prepare()
            assert len(connections) == 2
        time.sleep(0.8)
        assert sum(read) < size // 2
        assert waits == []
