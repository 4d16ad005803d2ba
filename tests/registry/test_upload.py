"""Tests of sending an image to a registry: what goes over the wire, and what comes back when it fails."""

import email.utils
import hashlib
import json
import os
import random
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import CONFIG_TYPE, MANIFEST_TYPE, BaseImage, Document, image_manifest, parse_location
from kubectl_modelcar.registry import RegistryAccess, docker_config
from kubectl_modelcar.registry.upload import RegistryTarget
from kubectl_modelcar.registry.wire import Wire
from tests.fakes.registry import IDENTITY_TOKEN, PASSWORD, USER, FakeRegistry, Fault, digest_of

BLOB = random.Random(2).randbytes(300_000)  # noqa: S311  bytes that do not repeat
DIGEST = digest_of(BLOB)
LOGIN = puller.Credential(USER, PASSWORD)


@pytest.fixture(scope="module")
def authority():
    """An authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting them."""
    waits = []
    monkeypatch.setattr(Wire, "pause", lambda _wire, seconds: waits.append(seconds))
    return waits


@pytest.fixture
def log_in(sealed):
    """Write docker's config.json for a registry."""

    def write(host, credential=LOGIN):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(docker_config(parse_location(f"{host}/m"), credential))

    return write


def target(registry, **access):
    """Return the target org/m:1 of a registry."""
    access = {"plain_http": registry.url.startswith("http:"), **access}
    return RegistryTarget(parse_location(f"{registry.host}/org/m:1"), RegistryAccess(**access))


def chunks(data=BLOB, size=65_536):
    """Return a function that gives the bytes anew each time."""
    return lambda: (memoryview(data)[start : start + size] for start in range(0, len(data), size))


def send(registry, digest=None, **access):
    """Send BLOB, its digest known or not."""
    return target(registry, **access).upload("w.safetensors", len(BLOB), chunks(), digest)


@contextmanager
def counted_connections(registry):
    """Count the connections that a registry takes meanwhile."""
    server, counted = registry._server, [0]
    take = server.get_request

    def counting():
        counted[0] += 1
        return take()

    server.get_request = counting
    yield counted
    server.get_request = take


def manifest(registry):
    """Return a manifest whose config is there."""
    config = Document(CONFIG_TYPE, b"{}")
    registry.add_blob("org/m", config.data)
    return image_manifest(config, BaseImage(), [], {})


def asked(registry):
    """Return methods and statuses, in order."""
    return [(request.method, request.status) for request in registry.log]


def blob_bytes(registry):
    """Return how many bytes of blobs were sent, attempts that failed included."""
    return sum(request.received for request in registry.requests("PATCH|PUT", "/uploads/"))


class TestUpload:
    """A blob, sent once."""

    def test_unknown_digest(self, registry):
        """Is computed on the way: the bytes go first, the digest closes the upload."""
        assert send(registry) == DIGEST
        assert (registry.blobs, asked(registry)) == ({DIGEST: BLOB}, [("POST", 202), ("PATCH", 202), ("PUT", 201)])

    def test_known_digest(self, registry):
        """Goes with the bytes: one request less."""
        assert send(registry, DIGEST) == DIGEST
        assert (registry.blobs, asked(registry)) == ({DIGEST: BLOB}, [("POST", 202), ("PUT", 201)])

    def test_one_connection(self, registry):
        """Is enough for one thread: a connection of TLS costs more than a small blob."""
        there = target(registry)
        with counted_connections(registry) as connections:
            there.prepare()
            there.has_blob(DIGEST)
            there.upload("w", len(BLOB), chunks())
            there.put_manifest(manifest(registry))
        assert connections == [1]

    @pytest.mark.parametrize("digest", [None, DIGEST])
    def test_length_is_told(self, registry, digest):
        """Chunked requests are refused by proxies and by some registries, an empty one included."""
        send(registry, digest)
        lengths = [(r.headers.get("content-length"), r.headers.get("transfer-encoding")) for r in registry.log]
        expected = [("0", None), (str(len(BLOB)), None), ("0", None)]
        assert lengths == (expected if digest is None else expected[:2])

    def test_has_blob(self, registry):
        """By HEAD: nothing is transferred."""
        registry.add_blob("org/m", b"there")
        there = target(registry)
        assert (there.has_blob(digest_of(b"there")), there.has_blob(DIGEST)) == (True, False)
        assert [request.method for request in registry.log] == ["HEAD", "HEAD"]

    def test_a_blob_of_another_repository(self, registry):
        """Is not there."""
        registry.add_blob("org/other", BLOB)
        assert target(registry).has_blob(DIGEST) is False

    def test_one_session_for_many(self, registry):
        """Threads share the target."""
        there = target(registry)
        blobs = [os.urandom(10_000) for _ in range(16)]
        threads = [threading.Thread(target=there.upload, args=("b", 10_000, chunks(blob))) for blob in blobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(registry.blobs.values()) == set(blobs)


class TestPrepare:
    """Before anything is read it is known that we may push."""

    def test_leaves_nothing(self, registry):
        """An upload is begun and taken back."""
        target(registry).prepare()
        assert (asked(registry), registry.uploads) == ([("POST", 202), ("DELETE", 204)], {})

    def test_a_registry_that_cannot_take_back(self, registry):
        """The session expires by itself."""
        registry.faults.append(Fault(method="DELETE", status=405))
        target(registry).prepare()

    def test_a_proxy_that_closes(self, registry, waits):
        """Nor does it matter when taking back fails altogether."""
        registry.faults.append(Fault(method="DELETE", cut_request_after=0, times=-1))
        target(registry).prepare()
        assert waits == []


class TestManifest:
    """The image is published by its manifest."""

    def test_published(self, registry):
        """Under its tag, with the very bytes."""
        document = manifest(registry)
        target(registry).put_manifest(document)
        assert registry.manifests[registry.tags["org/m:1"]] == (MANIFEST_TYPE, document.data)

    def test_without_a_tag(self, registry):
        """Is latest."""
        location = parse_location(f"{registry.host}/org/m")
        RegistryTarget(location, RegistryAccess(plain_http=True)).put_manifest(manifest(registry))
        assert list(registry.tags) == ["org/m:latest"]

    def test_a_registry_that_changes_it(self, registry):
        """Another digest is another image."""
        other = "sha256:" + "0" * 64
        registry.faults.append(Fault(method="PUT", headers={"Docker-Content-Digest": other}))
        document = manifest(registry)
        with pytest.raises(IntegrityFailure) as caught:
            target(registry).put_manifest(document)
        assert (caught.value.message, caught.value.hint) == (
            f"cannot publish {registry.host}/org/m:1: the registry stored {other} where {document.digest} was sent",
            "something between here and the registry changes manifests",
        )

    def test_a_registry_that_does_not_say(self, registry):
        """The header is optional."""
        registry.faults.append(Fault(method="PUT", headers={"Docker-Content-Digest": ""}))
        target(registry).put_manifest(manifest(registry))
        assert list(registry.tags) == ["org/m:1"]

    def test_busy(self, registry, waits):
        """A manifest may be sent again: it is the same."""
        registry.faults.append(Fault(method="PUT", status=503, headers={"Retry-After": "2"}))
        target(registry).put_manifest(manifest(registry))
        assert (list(registry.tags), waits) == (["org/m:1"], [2])


class TestLogin:
    """Who we are, told to the registry and to nobody else."""

    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    def test_push(self, log_in, auth):
        """With either scheme, blobs and manifest."""
        with FakeRegistry(auth=auth) as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            there.upload("w", len(BLOB), chunks())
            there.put_manifest(manifest(registry))
            assert list(registry.tags) == ["org/m:1"]
            assert [status for _, status in asked(registry)].count(401) == 1

    def test_scope(self, log_in):
        """One token, for this repository, to pull and push."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            there.has_blob(DIGEST)
            there.upload("w", len(BLOB), chunks())
            (token,) = registry.requests(path="^/token")
            assert urlsplit(token.path).query == "service=fake&scope=repository%3Aorg%2Fm%3Apull%2Cpush"

    def test_identity_token(self, log_in):
        """Is exchanged, and sent in no address."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host, puller.Credential("<token>", IDENTITY_TOKEN))
            target(registry).prepare()
            (token,) = registry.requests(path="^/token")
            assert (token.method, token.path) == ("POST", "/token")

    def test_token_that_expires(self, log_in):
        """A long push outlives its token."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            registry.tokens.clear()
            assert there.upload("w", len(BLOB), chunks()) == DIGEST
            assert len(registry.requests(path="^/token")) == 2

    @pytest.mark.parametrize(
        ("auth", "requests", "who"),
        [
            pytest.param("basic", 2, "answered HTTP 401: UNAUTHORIZED authentication required", id="basic"),
            pytest.param("bearer", 2, "does not accept the credentials of user", id="bearer"),
        ],
    )
    def test_wrong_password(self, log_in, waits, auth, requests, who):
        """Is said at once, and tried no second time: accounts are locked for that."""
        with FakeRegistry(auth=auth) as registry:
            log_in(registry.host, puller.Credential(USER, "wr0ng"))
            with pytest.raises(NotAuthorised) as caught:
                target(registry).prepare()
            assert who in caught.value.message
            assert registry.host in caught.value.message
            assert caught.value.hint
            assert "wr0ng" not in str(caught.value.message) + str(caught.value.hint)
            assert (len(registry.log), waits) == (requests, [])

    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    def test_nobody(self, auth, waits):
        """Without a login where one is needed."""
        with FakeRegistry(auth=auth) as registry:
            with pytest.raises(NotAuthorised) as caught:
                target(registry).prepare()
            assert registry.host in caught.value.message
            assert caught.value.hint
            assert (len(registry.log) <= 3, waits) == (True, [])

    def test_authfile(self, tmp_path):
        """The file that was named."""
        with FakeRegistry(auth="basic") as registry:
            path = tmp_path / "auth.json"
            path.write_bytes(docker_config(parse_location(f"{registry.host}/m"), LOGIN))
            target(registry, authfile=path).prepare()

    def test_netrc(self, registry, sealed):
        """Is for other programs."""
        (sealed / ".netrc").write_text("machine 127.0.0.1 login me password s3cr3t\n")
        send(registry)
        assert [request.headers.get("authorization") for request in registry.log] == [None] * 3


class TestLocation:
    """Where an upload goes on, which the registry says."""

    @pytest.fixture
    def elsewhere(self):
        """Storage of another origin that takes anything."""
        with FakeRegistry() as storage:
            storage.faults.append(Fault(method="PATCH", status=202, times=-1))
            storage.faults.append(Fault(method="PUT", status=201, times=-1))
            yield storage

    def test_another_origin(self, log_in, elsewhere):
        """Gets the bytes, and no Authorization."""
        with FakeRegistry(auth="basic") as registry:
            log_in(registry.host)
            where = {"Location": f"{elsewhere.url}/bucket/1?signature=s"}
            registry.faults.append(Fault(method="POST", path="/uploads/", after=1, status=202, headers=where))
            assert send(registry) == DIGEST
        assert [(r.method, r.path, r.headers.get("authorization")) for r in elsewhere.log] == [
            ("PATCH", "/bucket/1?signature=s", None),
            ("PUT", f"/bucket/1?signature=s&digest={DIGEST}", None),
        ]

    def test_another_origin_asks_for_a_login(self, log_in, elsewhere):
        """It is not answered."""
        elsewhere.faults.insert(
            0, Fault(method="PATCH", status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}, times=-1)
        )
        with FakeRegistry(auth="basic") as registry:
            log_in(registry.host)
            where = {"Location": f"{elsewhere.url}/bucket/1"}
            registry.faults.append(Fault(method="POST", path="/uploads/", after=1, status=202, headers=where))
            with pytest.raises(NotAuthorised):
                send(registry)
        assert [request.headers.get("authorization") for request in elsewhere.log] == [None]

    def test_none(self, registry):
        """A proxy dropped it."""
        registry.faults.append(Fault(method="POST", headers={"Location": ""}))
        with pytest.raises(NetworkGaveUp) as caught:
            send(registry)
        assert caught.value.message == f"{registry.host} began an upload without saying where"

    def test_out_of_tls(self, elsewhere, authority):
        """The model does not leave TLS, and the signature is not shown."""
        with FakeRegistry(tls=authority) as registry, authority.cert_pem.tempfile() as ca_file:
            where = {"Location": f"{elsewhere.url}/bucket/1?signature=s3cr3t"}
            registry.faults.append(Fault(method="POST", headers=where))
            with pytest.raises(NetworkGaveUp) as caught:
                send(registry, ca_file=Path(ca_file))
        assert caught.value.message == f"{registry.host} wants the model sent in clear, to {elsewhere.url}/bucket/1"
        assert elsewhere.log == []


class TestRedirects:
    """Redirects, which only a HEAD follows."""

    def test_head(self, log_in, sealed):
        """To another origin goes no login, of ours or of ~/.netrc."""
        (sealed / ".netrc").write_text("machine 127.0.0.1 login me password s3cr3t\n")
        with FakeRegistry(auth="basic") as registry, FakeRegistry() as elsewhere:
            log_in(registry.host)
            elsewhere.add_blob("org/m", BLOB)
            where = {"Location": f"{elsewhere.url}/v2/org/m/blobs/{DIGEST}"}
            registry.faults.append(Fault(method="HEAD", after=1, status=307, headers=where))
            assert target(registry).has_blob(DIGEST) is True
            assert [request.headers.get("authorization") for request in elsewhere.log] == [None]

    def test_upload(self, registry):
        """A body is not sent after a redirect."""
        registry.faults.append(Fault(method="PATCH", status=307, headers={"Location": "/elsewhere"}))
        with pytest.raises(NotFoundOrRefused) as caught:
            send(registry)
        assert "answered HTTP 307" in caught.value.message


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

    def test_curl_s_variable(self, secure, monkeypatch):
        """Is curl's; that its file is not there is no matter of ours."""
        monkeypatch.setenv("CURL_CA_BUNDLE", "/nowhere/ca.pem")
        with pytest.raises(NetworkGaveUp):
            target(secure).prepare()

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
                for _ in range(4):
                    connection, _ = listener.accept()
                    connection.recv(1000)
                    connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            location = parse_location(f"127.0.0.1:{listener.getsockname()[1]}/org/m:1")
            with pytest.raises(NetworkGaveUp) as caught:
                RegistryTarget(location, RegistryAccess()).prepare()
            thread.join()
        assert "ended the connection" in caught.value.message
        assert len(waits) == 3


REFUSED = "cannot push to {host}/org/m: {host} answered HTTP {status}"


class TestRefusals:
    """What a registry can say, and what is said of it."""

    @pytest.mark.parametrize(
        ("status", "body", "kind", "said", "hint"),
        [
            pytest.param(
                403,
                {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]},
                NotAuthorised,
                ": DENIED requested access to the resource is denied",
                "log in with the right to push: podman login {host}",
                id="denied",
            ),
            pytest.param(
                404,
                {"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]},
                NotFoundOrRefused,
                ": NAME_UNKNOWN no such repository",
                "check the repository's name and whether it may be created by pushing",
                id="unknown",
            ),
            pytest.param(
                413,
                b"<html>Request Entity Too Large</html>",
                NotFoundOrRefused,
                "",
                "the registry or a proxy before it limits the size of a layer",
                id="too large",
            ),
            pytest.param(
                400,
                {"errors": [{"code": "NAME_INVALID", "message": "bad"}, {"code": "TAG_INVALID"}]},
                NotFoundOrRefused,
                ": NAME_INVALID bad; TAG_INVALID",
                "check the repository's name and whether it may be created by pushing",
                id="two errors",
            ),
            pytest.param(
                400,
                {"errors": [{"code": "E", "message": "\x1b[2J\r\nhint: \u202eevil"}]},
                NotFoundOrRefused,
                ": E \\x1b[2J hint: \\u202eevil",
                "check the repository's name and whether it may be created by pushing",
                id="what a terminal would obey",
            ),
            pytest.param(405, b"[1]", NotFoundOrRefused, "", None, id="JSON of another kind"),
            pytest.param(405, b'{"errors": null}', NotFoundOrRefused, "", None, id="null for errors"),
            pytest.param(405, b'{"errors": ["x"]}', NotFoundOrRefused, "", None, id="text for an error"),
            pytest.param(405, b"[" * 60_000, NotFoundOrRefused, "", None, id="nested without end"),
            pytest.param(405, b"\xff\x00", NotFoundOrRefused, "", None, id="bytes"),
        ],
    )
    def test_permanent(self, registry, waits, status, body, kind, said, hint):  # noqa: PLR0917  the table's columns
        """Said at once, in the registry's own words, as far as they are printable."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        registry.faults.append(Fault(method="POST", status=status, body=raw, times=-1))
        with pytest.raises(ModelcarError) as caught:
            target(registry).prepare()
        assert type(caught.value) is kind
        assert caught.value.message == REFUSED.format(host=registry.host, status=status) + said
        assert hint is None or caught.value.hint == hint.format(host=registry.host)
        assert (len(registry.log), waits) == (1, [])

    def test_a_body_without_end(self, registry):
        """Of an error only so much is read as an error needs."""
        registry.faults.append(Fault(method="POST", status=404, body=bytes(1 << 20), cut_after=200_000))
        with pytest.raises(NotFoundOrRefused):
            target(registry).prepare()

    def test_digest(self, registry, waits):
        """Bytes that changed on the way: sent no second time, the cause stays."""
        registry.faults.append(
            Fault(method="PUT", status=400, body=b'{"errors":[{"code":"DIGEST_INVALID","message":"no"}]}')
        )
        with pytest.raises(IntegrityFailure) as caught:
            send(registry)
        assert (caught.value.message, caught.value.hint) == (
            f"cannot send w.safetensors to {registry.host}/org/m: {registry.host} answered HTTP 400: DIGEST_INVALID no",
            "the bytes changed on the way; push again",
        )
        assert waits == []

    def test_wrong_digest(self, registry):
        """A source that promised other bytes is found out by the registry."""
        with pytest.raises(IntegrityFailure):
            send(registry, "sha256:" + "0" * 64)
        assert registry.blobs == {}


class TestPatience:
    """What may pass."""

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
    def test_busy(self, registry, waits, status):
        """Waits as long as it is told to, then goes on."""
        registry.faults.append(Fault(method="POST", status=status, times=2, headers={"Retry-After": "7"}))
        target(registry).prepare()
        assert waits == [7, 7]

    def test_date(self, registry, waits):
        """Counts from the registry's clock, which may go wrong."""
        until = email.utils.format_datetime(email.utils.parsedate_to_datetime("Thu, 01 Jan 2026 00:00:30 GMT"))
        headers = {"Retry-After": until, "Date": "Thu, 01 Jan 2026 00:00:10 GMT"}
        registry.faults.append(Fault(method="POST", status=503, headers=headers))
        target(registry).prepare()
        assert waits in ([20.0], [0.0])

    @pytest.mark.parametrize("after", ["soon", "-5", ""])
    def test_nonsense(self, registry, waits, after):
        """Is as if it had said nothing: a short while, at random."""
        registry.faults.append(Fault(method="POST", status=503, headers={"Retry-After": after}))
        target(registry).prepare()
        assert [0 <= wait <= 0.5 for wait in waits] == [True]

    def test_for_ever(self, registry, waits):
        """Four times, further and further apart."""
        registry.faults.append(Fault(method="POST", status=503, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            target(registry).prepare()
        assert (caught.value.message, caught.value.hint) == (
            REFUSED.format(host=registry.host, status=503),
            "try again later; layers that were sent whole are kept",
        )
        assert len(registry.log) == 4
        assert [wait <= 0.5 * 2**number for number, wait in enumerate(waits)] == [True] * 3

    def test_too_long(self, registry, waits):
        """Nobody waits for an hour."""
        registry.faults.append(Fault(method="POST", status=429, times=-1, headers={"Retry-After": "3600"}))
        with pytest.raises(NetworkGaveUp):
            target(registry).prepare()
        assert (len(registry.log), waits) == (1, [])

    @pytest.mark.parametrize("digest", [None, DIGEST])
    @pytest.mark.parametrize("reset", [False, True])
    def test_a_blob_is_cut(self, registry, waits, digest, reset):
        """It is begun anew, once; others are not touched."""
        method = "PUT" if digest else "PATCH"
        registry.faults.append(Fault(method=method, path="/uploads/", cut_request_after=100_000, reset=reset))
        assert send(registry, digest) == DIGEST
        assert (registry.blobs, len(waits)) == ({DIGEST: BLOB}, 1)
        assert len(registry.requests("POST")) == 2

    def test_a_blob_is_refused_for_a_while(self, registry, waits):
        """Retry-After counts in the middle of an upload, too."""
        registry.faults.append(Fault(method="PATCH", status=503, headers={"Retry-After": "9"}))
        assert (send(registry), waits) == (DIGEST, [9])

    def test_a_blob_is_cut_for_ever(self, registry, waits):
        """Three times are enough."""
        registry.faults.append(Fault(method="PATCH", cut_request_after=1000, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            send(registry)
        assert f"cannot send w.safetensors to {registry.host}/org/m: {registry.host} does not answer" in (
            caught.value.message
        )
        assert (len(registry.requests("PATCH")), len(waits)) == (3, 2)

    def test_the_last_answer_is_lost(self, registry, waits):
        """Sent again, and found the same."""
        registry.faults.append(Fault(method="PUT", lose_answer=True))
        assert send(registry) == DIGEST
        assert len(waits) == 1

    def test_a_source_that_fails(self, registry, waits):
        """Is no fault of the registry: its error goes up as it is, and the blob is not begun again."""

        def broken():
            yield BLOB[:1000]
            raise NetworkGaveUp("the Hub is gone")

        with pytest.raises(NetworkGaveUp) as caught:
            target(registry).upload("w", len(BLOB), broken)
        assert (caught.value.message, waits, len(registry.requests("POST"))) == ("the Hub is gone", [], 1)


class TestNobodyThere:
    """Names and ports."""

    def test_closed_port(self, waits):
        """Nobody ever answered there: said at once."""
        location = parse_location("127.0.0.1:1/org/m:1")
        with pytest.raises(NetworkGaveUp) as caught:
            RegistryTarget(location, RegistryAccess()).prepare()
        assert (caught.value.message, caught.value.hint) == (
            "cannot push to 127.0.0.1:1/org/m: 127.0.0.1:1 refuses the connection",
            "check the name and the port, and whether it runs",
        )
        assert waits == []

    @pytest.mark.parametrize(
        ("number", "message", "attempts"),
        [
            pytest.param(
                socket.EAI_NONAME,
                "cannot push to no.example/org/m: there is no host no.example (Name or service not known)",
                1,
                id="unknown",
            ),
            pytest.param(
                socket.EAI_AGAIN,
                "cannot push to no.example/org/m: no.example does not answer ([Errno -3] Name or service not known)",
                4,
                id="for now",
            ),
        ],
    )
    def test_name(self, monkeypatch, waits, number, message, attempts):
        """A name that nobody knows stays unknown; a name server that does not answer may."""

        def look_up(*_args, **_kwargs):
            raise socket.gaierror(number, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        with pytest.raises(NetworkGaveUp) as caught:
            RegistryTarget(parse_location("no.example/org/m:1"), RegistryAccess()).prepare()
        assert (caught.value.message, len(waits)) == (message, attempts - 1)


class TestStop:
    """A push that failed or was interrupted."""

    def test_uploads_under_way_end_at_once(self, registry):
        """A registry that takes its time is not waited for."""
        registry.faults.append(Fault("PUT", "/blobs/uploads/", status=201, body=b"slow", stall_after=0))
        made = target(registry)
        sending = threading.Thread(target=ended, args=(lambda: made.upload("it", 2, lambda: iter([b"{}"])),))
        sending.start()
        time.sleep(0.5)
        made.stop()
        sending.join(5)
        assert not sending.is_alive()

    def test_waits_between_attempts_end_at_once(self, registry):
        """What the registry asked to wait for, too."""
        registry.faults.append(Fault("HEAD", "/blobs/", status=503, headers={"Retry-After": "30"}, times=9))
        made = target(registry)
        waiting = threading.Thread(target=ended, args=(lambda: made.has_blob("sha256:" + "0" * 64),))
        waiting.start()
        time.sleep(0.5)
        made.stop()
        waiting.join(5)
        assert not waiting.is_alive()

    def test_cookies_are_not_sent_back(self, registry):
        """Harbor would take us for a browser and want its CSRF tokens."""
        registry.faults.append(Fault("HEAD", "/blobs/", status=404, headers={"Set-Cookie": "sid=1"}))
        made = target(registry)
        for _ in range(2):
            made.has_blob("sha256:" + "0" * 64)
        assert [request.headers.get("Cookie") for request in registry.log] == [None, None]


def ended(send) -> None:
    with suppress(NetworkGaveUp):
        send()


class TestStalls:
    """A registry that takes no byte for a while."""

    @staticmethod
    def serve(listener, pause):
        """Answer one POST, then take a PATCH's body after a pause, then the PUT."""
        with closing(listener.accept()[0]) as connection:
            TestStalls.read_head(connection)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n")
            head = TestStalls.read_head(connection)
            time.sleep(pause)
            left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            while left and (part := connection.recv(min(left, 1 << 20))):
                left -= len(part)
            connection.sendall(b"HTTP/1.1 202 Accepted\r\nLocation: /up\r\nContent-Length: 0\r\n\r\n")
            TestStalls.read_head(connection)
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    @staticmethod
    def read_head(connection):
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
            head += byte
        return head

    def test_longer_than_a_connection_may_take(self, monkeypatch):
        """Storage behind a registry pauses for longer than connecting takes."""
        monkeypatch.setattr("kubectl_modelcar.registry.wire.CONNECT", 0.2)
        monkeypatch.setattr("kubectl_modelcar.registry.wire.IDLE", 5.0)
        data = bytes(16 << 20)
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            thread = threading.Thread(target=self.serve, args=(listener, 0.8))
            thread.start()
            location = parse_location(f"127.0.0.1:{listener.getsockname()[1]}/org/m:1")
            there = RegistryTarget(location, RegistryAccess(plain_http=True))
            assert there.upload("w", len(data), chunks(data)) == f"sha256:{hashlib.sha256(data).hexdigest()}"
            thread.join()
