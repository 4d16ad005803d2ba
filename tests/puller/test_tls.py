"""TLS and proxies."""

import socket
import ssl
import threading
import time

import pytest
import trustme

from kubectl_modelcar.chart import puller
from tests.fakes.registry import FakeRegistry, Fault
from tests.puller.conftest import QUICK
from tests.puller.images import REPOSITORY, put
from tests.puller.weights import BLOB, LAYER, LOGIN, WEIGHTS, unpack


@pytest.fixture(scope="module")
def authority():
    """Make a certificate authority nobody knows."""
    return trustme.CA()


@pytest.fixture
def trusting(authority, tmp_path):
    """Trust that authority, as --ca-file does."""
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return puller.trusting(str(tmp_path / "ca.crt"))


class TestTLS:
    """Who is not trusted gets no byte."""

    def test_a_known_authority_is_trusted(self, authority, trusting, tmp_path):
        """Over TLS everything is as without."""
        with FakeRegistry("bearer", tls=authority) as registry:
            put(registry, LAYER)
            registry.faults.append(Fault(path=BLOB, cut_after=1 << 20))
            source = puller.Registry(registry.url, REPOSITORY, LOGIN, context=trusting, patience=QUICK)
            assert unpack(source, tmp_path / "model") == {"model.safetensors": WEIGHTS}

    def test_an_unknown_authority_ends_at_once(self, authority):
        """It is never tried again; the hint names the way out."""
        with FakeRegistry(tls=authority) as registry:
            source = puller.Registry(registry.url, REPOSITORY)
            started = time.monotonic()
            with pytest.raises(puller.PullError) as caught:
                puller.resolve(source, "v1")
            assert time.monotonic() - started < 2
        what = f"reading the manifest v1 from {registry.host}/org/model"
        assert caught.value.message.startswith(f"{what}: {registry.host} shows a certificate that is not trusted: ")
        assert caught.value.hint == "if it is the right registry, name its CA with --ca-file"
        assert caught.value.exit_code == 5

    def test_a_certificate_of_another_name_ends_at_once(self, authority, trusting, monkeypatch):
        """The name must be the one that was asked for."""
        connect = socket.create_connection
        monkeypatch.setattr(
            socket, "create_connection", lambda address, *rest: connect(("127.0.0.1", address[1]), *rest)
        )
        with FakeRegistry(tls=authority) as registry:
            url = f"https://elsewhere.test:{registry.host.rpartition(':')[2]}"
            with pytest.raises(puller.PullError, match=r"elsewhere\.test:\d+ shows a certificate that is not trusted"):
                puller.resolve(puller.Registry(url, REPOSITORY, context=trusting), "v1")

    def test_insecure_trusts_everybody(self, authority):
        """Because the user said so."""
        with FakeRegistry(tls=authority) as registry:
            digest = put(registry, LAYER)
            source = puller.Registry(registry.url, REPOSITORY, context=puller.trusting(verify=False))
            assert puller.resolve(source, "v1").digest == digest

    def test_tls_to_a_registry_without_ends_at_once(self, registry):
        """The hint names the flag."""
        source = puller.Registry(registry.url.replace("http:", "https:"), REPOSITORY)
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source, "v1")
        assert caught.value.hint == "a registry without TLS needs --plain-http"
        assert caught.value.exit_code == 5

    def test_a_redirect_out_of_tls_is_refused(self, authority, trusting):
        """Model bytes are checked, but addresses with signatures are secrets."""
        with FakeRegistry(tls=authority) as registry:
            registry.faults.append(Fault(status=307, headers={"Location": "http://127.0.0.1:1/x"}, times=-1))
            source = puller.Registry(registry.url, REPOSITORY, context=trusting)
            with pytest.raises(puller.PullError) as caught:
                puller.resolve(source, "v1")
        assert caught.value.message == f"{registry.host} redirects to 127.0.0.1 without TLS"

    @pytest.mark.parametrize("content", [None, "no certificate"], ids=["missing", "not PEM"])
    def test_a_ca_file_that_is_none_is_named(self, tmp_path, content):
        """Before anybody is asked."""
        if content:
            (tmp_path / "ca.crt").write_text(content)
        with pytest.raises(puller.PullError) as caught:
            puller.trusting(str(tmp_path / "ca.crt"))
        assert caught.value.message.startswith(f"reading the certificates in {tmp_path / 'ca.crt'}: ")
        assert caught.value.exit_code == 7

    def test_a_python_without_certificates_finds_the_system_s(self, authority, tmp_path, monkeypatch):
        """Pythons built elsewhere look where a server image has nothing."""
        authority.cert_pem.write_to_path(tmp_path / "bundle.crt")
        monkeypatch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        monkeypatch.setattr(puller, "CA_BUNDLES", ("/nowhere", str(tmp_path / "bundle.crt")))
        assert len(puller.trusting().get_ca_certs()) == 1


class Proxy:
    """A proxy on loopback: notes first lines and credentials, passes everything to one address."""

    def __init__(self, target: str) -> None:
        host, _, port = target.partition(":")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.seen: list[tuple[str, str]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(5)

    def _start(self, target, *args) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        try:
            while True:
                self._start(self._serve, self._server.accept()[0])
        except OSError:
            return

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._target) as far:
            head = b""
            while b"\r\n\r\n" not in head:
                head += near.recv(4096)
            lines = head.decode().splitlines()
            self.seen.append((lines[0], next((x for x in lines if x.startswith("Proxy-Authorization")), "")))
            if head.startswith(b"CONNECT"):
                near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                far.sendall(head)
            self._start(self._pass, near, far)
            self._pass(far, near)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


class TestProxy:
    """The environment's proxies are used, as every other client does."""

    def test_http_goes_through_the_proxy(self, registry, source, monkeypatch, tmp_path):
        """With the whole address in the request, and the proxy's own login."""
        put(registry, LAYER)
        with Proxy(registry.host) as proxy:
            monkeypatch.setenv("http_proxy", f"http://me:p%40ss@{proxy.host}")
            assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
        basic = "Proxy-Authorization: Basic bWU6cEBzcw=="
        assert proxy.seen[0] == (f"GET {registry.url}/v2/org/model/manifests/v1 HTTP/1.1", basic)

    def test_https_is_tunnelled(self, authority, trusting, monkeypatch, tmp_path):
        """The proxy sees names, not bytes."""
        with FakeRegistry(tls=authority) as registry, Proxy(registry.host) as proxy:
            put(registry, LAYER)
            monkeypatch.setenv("https_proxy", proxy.host)
            source = puller.Registry(registry.url, REPOSITORY, context=trusting, patience=QUICK)
            assert unpack(source, tmp_path / "model") == {"model.safetensors": WEIGHTS}
        assert proxy.seen[0][0].partition(" HTTP")[0] == f"CONNECT {registry.host}"

    def test_no_proxy_is_honoured(self, registry, source, monkeypatch):
        """A cluster's own registry is not behind it."""
        put(registry, LAYER)
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert puller.resolve(source(), "v1").layers
