"""The way over the network: cuts, refusals, waits, redirects, TLS, proxies."""

import email.utils
import socket
import ssl
import threading
import time

import pytest
import trustme

from kubectl_modelcar.chart import puller
from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Fault, digest_of
from tests.puller.conftest import QUICK
from tests.puller.images import REPOSITORY, TAR, Layer, ours, put, tar, tree

LOGIN = puller.Credential(USER, PASSWORD)
WEIGHTS = bytes(range(256)) * (12 << 10)  # 3 MiB
LAYER = ours({"model.safetensors": WEIGHTS})
SIZE = len(LAYER.data)
BLOB = rf"/blobs/{digest_of(LAYER.data)}"


def unpack(source, folder) -> dict[str, bytes]:
    """Return the files of the image v1, unpacked in one thread."""
    puller.unpack(source, puller.resolve(source, "v1"), folder, jobs=1)
    return tree(folder)


class TestResume:
    """A transfer goes on where it was cut."""

    def test_a_server_without_ranges_starts_over(self, registry, source, tmp_path):
        """A 200 in place of a 206 brings the first bytes again; they are dropped."""
        put(registry, LAYER)
        registry.faults += [Fault(path=BLOB, cut_after=1000), Fault(path=BLOB, ignore_range=True)]
        assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
        assert [request.status for request in registry.requests("GET", BLOB)] == [200, 200]

    def test_chunks_without_a_length_are_read(self, registry, source, tmp_path):
        """Proxies do that; a cut in them goes on, too."""
        put(registry, LAYER)
        registry.faults += [Fault(path=BLOB, chunked=True, cut_after=2_000_000), Fault(path=BLOB, chunked=True)]
        assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}

    @pytest.mark.parametrize(
        "given", [f"bytes 999-{SIZE - 1}/{SIZE}", f"bytes 1000-2000/{SIZE + 1}", "", "lines 1-2/3"]
    )
    def test_another_range_than_asked_for_is_refused(self, registry, source, tmp_path, given):
        """Bytes from another place would pass until the digest, much later."""
        put(registry, LAYER)
        fault = Fault(path=BLOB, headers={"Content-Range": given})
        registry.faults += [Fault(path=BLOB, cut_after=1000), fault]
        with pytest.raises(puller.PullError) as caught:
            unpack(source(), tmp_path)
        assert f"asked for byte 1000 of {SIZE} on, {registry.host} answered with {given!r}" in caught.value.message
        assert caught.value.exit_code == 6

    def test_failures_without_progress_end(self, registry, source, tmp_path):
        """Five in a row are enough."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, times=-1, cut_after=100))
        with pytest.raises(puller.PullError) as caught:
            unpack(source(), tmp_path)
        what = f"reading the blob {digest_of(LAYER.data)} from {registry.host}/org/model"
        assert caught.value.message == f"{what}: {registry.host} ended the transfer after 500 bytes, 5 times in a row"
        assert (caught.value.exit_code, len(registry.requests("GET", BLOB))) == (5, 5)

    def test_failures_with_progress_do_not(self, registry, source, tmp_path):
        """A bad line that brings a MiB each time brings a large model in the end."""
        layer = ours({"w": bytes(12 << 20)})
        put(registry, layer)
        registry.faults.append(Fault(path="/blobs/sha256:", times=-1, cut_after=(1 << 20) + 1))
        assert unpack(source(), tmp_path) == {"w": bytes(12 << 20)}
        assert len(registry.requests("GET", "/blobs/")) == 13

    def test_a_trickle_is_a_stall(self, registry, source, tmp_path):
        """A byte now and then would never let a timeout of the socket pass."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, trickle=0.05))
        started = time.monotonic()
        assert unpack(source(timeout=0.3), tmp_path) == {"model.safetensors": WEIGHTS}
        assert 0.3 <= time.monotonic() - started < 5

    def test_a_server_that_never_answers_ends(self):
        """Headers that do not come are a stall, too; the waits have an end."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            quiet = puller.Registry(url, REPOSITORY, timeout=0.05, patience=QUICK)
            with pytest.raises(puller.PullError, match="timed out, 5 times in a row"):
                puller.resolve(quiet, "v1")

    def test_no_other_encoding_is_asked_for(self, registry, source, tmp_path):
        """Digests are of the bytes as they are stored."""
        put(registry, LAYER)
        unpack(source(), tmp_path)
        assert {request.headers["accept-encoding"] for request in registry.log} == {"identity"}

    def test_a_manifest_is_asked_for_again(self, registry, source):
        """A cut in it is a cut."""
        digest = put(registry, LAYER)
        registry.faults.append(Fault(path="/manifests/", cut_after=10))
        assert puller.resolve(source(), "v1").digest == digest

    def test_a_listing_goes_on(self, registry, source):
        """Headers of a foreign tar are read through the same cuts."""
        put(registry, Layer(tar(("models/a", WEIGHTS), ("models/b", b"b"))))
        registry.faults += [Fault(path="/blobs/", cut_after=100), Fault(path="/blobs/", cut_after=700)]
        manifest = puller.resolve(source(), "v1")
        assert [file.path for file in puller.list_files(source(), manifest)] == ["a", "b"]


class TestDamage:
    """Bytes that are not the blob's never get a name."""

    @pytest.mark.parametrize("chunked", [False, True], ids=["said", "unsaid"])
    def test_a_blob_longer_than_its_manifest_says(self, registry, source, tmp_path, chunked):
        """With a length it is refused, without one the rest is not read."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, extra=b"x" * 100, chunked=chunked))
        if chunked:
            assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
            return
        with pytest.raises(puller.PullError) as caught:
            unpack(source(), tmp_path)
        assert f"has {SIZE + 100} bytes of it; the manifest says {SIZE}" in caught.value.message

    def test_a_blob_shorter_than_its_manifest_says(self, registry, source, tmp_path):
        """It is refused before the first byte."""
        put(registry, Layer(LAYER.data, TAR, size=SIZE + 1000))
        with pytest.raises(puller.PullError, match=f"has {SIZE} bytes of it; the manifest says {SIZE + 1000}"):
            unpack(source(), tmp_path)

    def test_the_size_of_a_blob_is_asked_for_without_its_bytes(self, registry, source):
        """By a HEAD; a registry need not say it, and a blob that is not there is an error."""
        put(registry, LAYER)
        layer = puller.Descriptor(TAR, digest_of(LAYER.data), SIZE)
        assert source().blob_size(layer) == SIZE
        registry.faults.append(Fault("HEAD", headers={"Content-Length": ""}))
        assert source().blob_size(layer) is None
        assert [(request.method, request.sent) for request in registry.log] == [("HEAD", 0)] * 2
        with pytest.raises(puller.PullError, match=r"looking for the blob sha256:0+ in .* does not have it"):
            source().blob_size(puller.Descriptor(TAR, "sha256:" + "0" * 64, 1))

    def test_a_blob_that_ends_before_the_asked_byte(self, registry, source):
        """416 says that there are fewer bytes."""
        put(registry, LAYER)
        layer = puller.Descriptor(TAR, digest_of(LAYER.data), SIZE + 1000)
        with pytest.raises(puller.PullError, match="has fewer bytes of it than the manifest says"):
            source().open(layer, SIZE + 10).readinto(memoryview(bytearray(10)))


ENDS = {
    "400": (Fault(status=400), "answered 400 Bad Request", 4),
    "403": (
        Fault(status=403, body=b'{"errors":[{"code":"DENIED","message":"not\\u001b[31m yours"}]}'),
        r"denies access: DENIED not\x1b[31m yours",
        3,
    ),
    "404": (Fault(status=404, body=b"<html>"), "does not have it", 4),
    "404 with words": (
        Fault(status=404, body=b'{"errors":[{"code":"NAME_UNKNOWN","message":null}]}'),
        "does not have it: NAME_UNKNOWN",
        4,
    ),
    "405": (Fault(status=405, body=b'{"errors":[]}'), "answered 405 Method Not Allowed", 4),
    "501": (Fault(status=501, body=b'{"errors":7}'), "answered 501 Not Implemented", 4),
}


class TestRefusals:
    """What will not change is not asked for again; what may pass is waited for."""

    @pytest.mark.parametrize(("fault", "said", "code"), ENDS.values(), ids=ENDS)
    def test_a_refusal_ends_at_once(self, registry, source, fault, said, code):
        """After one request, in words, with the registry's own reason."""
        registry.faults.append(fault)
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1")
        what = f"reading the manifest v1 from {registry.host}/org/model"
        assert caught.value.message == f"{what}: {registry.host} {said}"
        assert (caught.value.exit_code, len(registry.log)) == (code, 1)

    @pytest.mark.parametrize("status", [408, 425, 429, 499, 500, 502, 503, 504, 522])
    def test_a_passing_failure_passes(self, registry, source, status):
        """Twice, and then the answer."""
        digest = put(registry, LAYER)
        registry.faults.append(Fault(status=status, times=2, body=b"<html>"))
        assert puller.resolve(source(), "v1").digest == digest
        assert [request.status for request in registry.log] == [status, status, 200]

    def test_a_failure_that_does_not_pass_ends(self, registry, source):
        """The error says who answered what, and how often."""
        registry.faults.append(Fault(status=503, times=-1))
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1")
        assert caught.value.message == (
            f"reading the manifest v1 from {registry.host}/org/model: "
            f"{registry.host} answered 503 Service Unavailable, 5 times in a row"
        )
        assert (caught.value.exit_code, len(registry.log)) == (5, 5)

    def test_nobody_listens(self):
        """A port where nobody ever answered is said to be one, at once."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        gone = puller.Registry(f"http://127.0.0.1:{port}", REPOSITORY, patience=QUICK)
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(gone, "v1")
        what = f"reading the manifest v1 from 127.0.0.1:{port}/org/model"
        assert caught.value.message == f"{what}: 127.0.0.1:{port} refuses the connection"

    def test_a_host_that_is_none(self, monkeypatch):
        """A name that does not exist will not exist in a second."""

        def unknown(*_args, **_options):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(puller.Registry("https://registry.invalid", REPOSITORY), "v1")
        assert caught.value.message == (
            "reading the manifest v1 from registry.invalid/org/model: "
            "there is no host registry.invalid: Name or service not known"
        )
        assert caught.value.exit_code == 5

    @pytest.mark.parametrize(
        ("repository", "reference"),
        [("Org/model", "v1"), ("a/../b", "v1"), ("a b", "v1"), ("", "v1"), ("org/model", "a/b"), ("org/model", "a b")],
    )
    def test_names_that_cannot_be(self, registry, repository, reference):
        """They are refused before anybody is asked."""
        with pytest.raises(puller.PullError):
            puller.resolve(puller.Registry(registry.url, repository), reference)
        assert registry.log == []


class TestWaits:
    """How long between attempts."""

    def test_retry_after_in_seconds_is_honoured(self, registry, source):
        """For a manifest."""
        put(registry, LAYER)
        registry.faults.append(Fault(status=429, headers={"Retry-After": "1"}))
        started = time.monotonic()
        puller.resolve(source(), "v1")
        assert 1 <= time.monotonic() - started < 3

    @pytest.mark.parametrize("skew", [-3600, 0, 3600], ids=["an hour behind", "right", "an hour ahead"])
    def test_retry_after_as_a_date_counts_from_the_server_s_clock(self, registry, source, tmp_path, skew):
        """For a blob; its Date says what the server thinks the time is."""
        put(registry, LAYER)
        now = time.time() + skew
        dates = {
            "Date": email.utils.formatdate(now, usegmt=True),
            "Retry-After": email.utils.formatdate(now + 1, usegmt=True),
        }
        registry.faults.append(Fault(path=BLOB, status=503, headers=dates))
        started = time.monotonic()
        unpack(source(), tmp_path)
        assert 0.9 <= time.monotonic() - started < 4

    @pytest.mark.parametrize("wait", ["301", "99999999999999999999"])
    def test_a_wait_beyond_patience_ends(self, registry, source, wait):
        """The error says how long the registry wants to rest."""
        registry.faults.append(Fault(status=429, headers={"Retry-After": wait}))
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1")
        assert f"answered 429 Too Many Requests and asks to wait {wait[:9]} s" in caught.value.message
        assert (caught.value.exit_code, len(registry.log)) == (5, 1)

    @pytest.mark.parametrize("value", ["soon", "-1", "1.5", "Sun, 99 Foo 2026"])
    def test_a_retry_after_that_is_none_is_left(self, registry, source, value):
        """It is as if there were none."""
        put(registry, LAYER)
        registry.faults.append(Fault(status=503, headers={"Retry-After": value}))
        puller.resolve(source(), "v1")

    def test_waits_grow_and_are_random(self):
        """Up to base * 2**n and never beyond the cap: many pods do not come back at once."""
        waits = []
        for _ in range(200):
            attempts = puller._Attempts(puller.Patience(attempts=9, base=1, cap=10), "x")
            waits.append([attempts.next_wait(puller._TransientError("no")) for _ in range(8)])
        limits = [max(column) for column in zip(*waits, strict=True)]
        assert all(
            limit * 0.8 <= seen <= limit for limit, seen in zip([1, 2, 4, 8, 10, 10, 10, 10], limits, strict=True)
        )
        assert min(column[-1] for column in waits) < 2

    def test_one_failure_ends_the_other_transfers(self, registry, source, tmp_path):
        """They are not waited for: a stalled one would keep the error back for a minute."""
        other = ours({"other": b"o" * 5000})
        put(registry, LAYER, other)
        registry.faults += [Fault(path=BLOB, stall_after=1000), Fault(path=digest_of(other.data), status=404, times=-1)]
        started = time.monotonic()
        with pytest.raises(puller.PullError, match="does not have it"):
            puller.unpack(source(), puller.resolve(source(), "v1"), tmp_path)
        assert time.monotonic() - started < 5


@pytest.fixture
def storage():
    """Serve what a registry redirects to."""
    with FakeRegistry() as serving:
        put(serving, LAYER)
        yield serving


class TestRedirects:
    """Blobs may be elsewhere; credentials stay at home."""

    def test_storage_gets_no_credentials(self, storage, tmp_path):
        """Basic and Bearer alike."""
        for auth in ("basic", "bearer"):
            with FakeRegistry(auth) as registry:
                put(registry, LAYER)
                target = f"{storage.url}/v2/org/model{BLOB}?X-Amz-Signature=s"
                registry.faults.append(Fault(path=BLOB, status=307, headers={"Location": target}))
                source = puller.Registry(registry.url, REPOSITORY, LOGIN, patience=QUICK)
                assert unpack(source, tmp_path / auth) == {"model.safetensors": WEIGHTS}
        assert [request.headers.get("authorization") for request in storage.log] == [None, None]

    def test_a_cut_at_storage_goes_through_the_registry_again(self, registry, storage, source, tmp_path):
        """Signed addresses expire."""
        put(registry, LAYER)
        redirect = Fault(path=BLOB, status=302, headers={"Location": f"{storage.url}/v2/org/model{BLOB}"}, times=2)
        registry.faults.append(redirect)
        storage.faults.append(Fault(cut_after=1000))
        assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
        assert [request.headers.get("range") for request in registry.requests("GET", BLOB)] == [None, "bytes=1000-"]

    def test_a_redirect_at_home_keeps_the_credentials(self, tmp_path):
        """A relative address is the registry's own."""
        with FakeRegistry("basic") as registry:
            put(registry, LAYER)
            location = f"/v2/org/model{BLOB}?there"
            registry.faults.append(Fault(path=BLOB + "$", status=301, headers={"Location": location}))
            source = puller.Registry(registry.url, REPOSITORY, LOGIN, patience=QUICK)
            assert unpack(source, tmp_path) == {"model.safetensors": WEIGHTS}

    def test_storage_s_challenge_is_not_answered(self, storage, source, registry, tmp_path):
        """A password for the registry is none for whom it redirects to."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, status=307, headers={"Location": f"{storage.url}/v2/org/model{BLOB}"}))
        storage.faults.append(Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="give"'}))
        with pytest.raises(puller.PullError) as caught:
            unpack(source(LOGIN), tmp_path)
        assert (caught.value.exit_code, len(storage.log)) == (3, 1)
        assert f"{storage.host} does not accept" in caught.value.message

    def test_a_circle_ends(self, registry, source):
        """After five."""
        registry.faults.append(Fault(status=302, headers={"Location": "/v2/org/model/manifests/v1"}, times=-1))
        with pytest.raises(puller.PullError, match="redirects more than 5 times"):
            puller.resolve(source(), "v1")
        assert len(registry.log) == 6

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/y", "http://[", "http://h:99999/"])
    def test_an_address_that_is_none_is_refused(self, registry, source, location):
        """Nothing but HTTP is followed."""
        registry.faults.append(Fault(status=302, headers={"Location": location}, times=-1))
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1")
        assert ("is no http or https address" in caught.value.message, caught.value.exit_code) == (True, 4)

    def test_an_address_that_breaks_the_request_is_refused(self, registry, source):
        """A space would end the request line."""
        registry.faults.append(Fault(status=302, headers={"Location": "/a b"}, times=-1))
        with pytest.raises(puller.PullError, match="redirects to an address that is none: /a b"):
            puller.resolve(source(), "v1")


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
