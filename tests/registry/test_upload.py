"""Tests of sending an image to a registry: what goes over the wire, to whom, and as whom."""

import os
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, NetworkGaveUp, NotAuthorised
from kubectl_modelcar.image import MANIFEST_TYPE, parse_location
from kubectl_modelcar.registry import docker_config
from tests.fakes.registry import IDENTITY_TOKEN, USER, FakeRegistry, Fault, digest_of
from tests.registry.sending import BLOB, DIGEST, LOGIN, asked, counted_connections, held, manifest, send, target


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
            there.upload(held())
            there.put_manifest(manifest(registry), "1")
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
        threads = [threading.Thread(target=there.upload, args=(held(blob),)) for blob in blobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(registry.blobs) == {digest_of(blob) for blob in blobs}


class TestMount:
    """A shortcut, and no more."""

    def test_works(self, registry):
        """One request, no byte."""
        registry.add_blob("org/other", BLOB)
        assert target(registry).mount(DIGEST, "org/other") is True
        assert [(request.method, request.status) for request in registry.log] == [("POST", 201)]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 416, 422, 429, 500, 501, 503])
    def test_refused(self, registry, waits, status):
        """In whatever way: then the blob is sent. Once: it is not worth a wait."""
        registry.add_blob("org/other", BLOB)
        registry.faults.append(Fault("POST", "mount=", status=status, times=-1))
        assert target(registry).mount(DIGEST, "org/other") is False
        assert (len(registry.log), waits) == (1, [])

    def test_cut(self, registry, waits):
        """A connection that breaks is no reason to give up, either."""
        registry.add_blob("org/other", BLOB)
        registry.faults.append(Fault("POST", "mount=", cut_request_after=0, reset=True, times=-1))
        assert target(registry).mount(DIGEST, "org/other") is False
        assert waits == []


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
        target(registry).put_manifest(document, "1")
        assert registry.manifests[registry.tags["org/m:1"]] == (MANIFEST_TYPE, document.data)

    def test_without_a_tag(self, registry):
        """Under its digest alone."""
        document = manifest(registry)
        assert target(registry).put_manifest(document, None) == document.digest
        assert (registry.tags, list(registry.manifests)) == ({}, [document.digest])

    def test_a_registry_that_changes_it(self, registry):
        """Another digest is another image."""
        other = "sha256:" + "0" * 64
        registry.faults.append(Fault(method="PUT", headers={"Docker-Content-Digest": other}))
        document = manifest(registry)
        with pytest.raises(IntegrityFailure) as caught:
            target(registry).put_manifest(document, "1")
        assert (caught.value.message, caught.value.hint) == (
            f"cannot publish {registry.host}/org/m:1: the registry stored {other} where {document.digest} was sent",
            "something between here and the registry changes manifests",
        )

    def test_a_registry_that_does_not_say(self, registry):
        """The header is optional."""
        registry.faults.append(Fault(method="PUT", headers={"Docker-Content-Digest": ""}))
        target(registry).put_manifest(manifest(registry), "1")
        assert list(registry.tags) == ["org/m:1"]

    def test_busy(self, registry, waits):
        """A manifest may be sent again: it is the same."""
        registry.faults.append(Fault(method="PUT", status=503, headers={"Retry-After": "2"}))
        target(registry).put_manifest(manifest(registry), "1")
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
            there.upload(held())
            there.put_manifest(manifest(registry), "1")
            assert list(registry.tags) == ["org/m:1"]
            refused = [method for method, status in asked(registry) if status == 401]
            assert [method for method in refused if method != "DELETE"] == [
                "POST"
            ]  # cancelling needs a right of its own

    def test_scope(self, log_in):
        """One token, for this repository, to pull and push."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            there.has_blob(DIGEST)
            there.upload(held())
            (token,) = registry.requests(path="^/token")
            assert urlsplit(token.path).query == "service=fake&scope=repository%3Aorg%2Fm%3Apull%2Cpush"

    def test_identity_token(self, log_in):
        """Is exchanged, and sent in no address."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host, puller.Credential("<token>", IDENTITY_TOKEN))
            target(registry).prepare()
            (token,) = registry.requests(path="^/token")
            assert (token.method, token.path) == ("POST", "/token")

    def test_token_that_is_taken_back_without_a_word(self, log_in):
        """A challenge need not say what was wrong: what was refused is not sent again."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            registry.tokens.clear()
            registry.challenge = f'Bearer realm="{registry.realm}",service="fake"'
            assert there.upload(held()) == DIGEST

    def test_token_that_expires_in_between(self, log_in):
        """The blob is sent again from its first byte, and its digest is that of one copy."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            challenge = f'Bearer realm="{registry.realm}",service="fake",error="invalid_token"'
            registry.faults.append(Fault(method="PATCH", status=401, headers={"WWW-Authenticate": challenge}))
            assert send(registry) == DIGEST
            assert registry.blobs == {DIGEST: BLOB}

    def test_token_that_expires(self, log_in):
        """A long push outlives its token."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            registry.tokens.clear()
            assert there.upload(held()) == DIGEST
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
    """Redirects of requests without a body; for those with one see R27."""

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
