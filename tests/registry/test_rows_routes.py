"""Rows R26, R27 and R29 of the fault matrix: where bytes go, and whom they are trusted to."""

import datetime as dt
import ssl
import time
from pathlib import Path

import pytest
import trustme

from kubectl_modelcar.errors import NetworkGaveUp, NotFoundOrRefused
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.registry.sending import (
    BLOB,
    DIGEST,
    MIB,
    Stream,
    big,
    publish,
    published,
    send,
    target,
)

BIG = big()
SESSION = "/blobs/uploads/.+"


class TestLocation:
    """Where an upload goes on."""

    @pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    def test_r26_another_host(self, log_in, auth, digest):
        """Gets the bytes, and nothing that says who we are."""
        with FakeRegistry(auth=auth, uploads_at_storage=True) as registry:
            log_in(registry.host)
            assert send(registry, digest) == DIGEST
            assert (registry.blobs, registry.leaks()) == ({DIGEST: BLOB}, [])
            assert len(registry.storage.log) == (1 if digest else 2)

    @pytest.mark.parametrize("method", ["POST", "PATCH"])
    @pytest.mark.parametrize(
        ("where", "message"),
        [
            pytest.param(
                "http://{host}/v2/x?sig=s3cr3t", "wants the model sent in clear, to http://{host}/v2/x", id="http"
            ),
            pytest.param("ftp://{host}/x", "wants the model sent in clear, to ftp://{host}/x", id="another scheme"),
            pytest.param("https://[::1/x", "sends us to an address that is none: https://[::1/x", id="no address"),
            pytest.param(
                "https://{host}:99999/x", "sends us to an address that is none: https://{host}:99999/x", id="no port"
            ),
        ],
    )
    def test_r26_not_followed(self, authority, waits, method, where, message):
        """Out of TLS goes nothing, and a signature is not shown."""
        with FakeRegistry(tls=authority) as registry, authority.cert_pem.tempfile() as ca_file:
            host = registry.host if "99999" not in where else "127.0.0.1"
            registry.faults.append(Fault(method, "/uploads/", headers={"Location": where.format(host=host)}))
            with pytest.raises(NetworkGaveUp) as caught:
                send(registry, ca_file=Path(ca_file))
        assert caught.value.message == f"{registry.host} {message.format(host=host)}"
        assert ("s3cr3t" in caught.value.message, waits) == (False, [])

    @pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])
    @pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
    def test_r26_forms(self, absolute, digest):
        """With a host or without."""
        with FakeRegistry(absolute_locations=absolute) as registry:
            assert send(registry, digest) == DIGEST

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            pytest.param("", "?digest={digest}", id="none"),
            pytest.param("?a=&b=1&b=2&c", "?a=&b=1&b=2&c&digest={digest}", id="empty and repeated keys"),
            pytest.param("?s=%2F%3D+x", "?s=%2F%3D+x&digest={digest}", id="escapes"),
        ],
    )
    def test_r26_query_is_left_as_it_is(self, registry, query, expected):
        """A signature covers every byte of it."""
        registry.faults += [
            Fault("POST", "/uploads/", headers={"Location": f"up/1{query}"}),
            Fault("PATCH", status=202),
            Fault("PUT", status=201),
        ]
        send(registry)
        patch, put = registry.requests("PATCH|PUT")
        assert patch.path == f"/v2/org/m/blobs/uploads/up/1{query}"
        assert put.path == patch.path.partition("?")[0] + expected.format(digest=DIGEST)


class TestRedirects:
    """307 to storage."""

    @pytest.mark.parametrize("digest", [None, digest_of(BIG)], ids=["unknown", "known"])
    @pytest.mark.parametrize("status", [307, 308])
    def test_r27_to_storage(self, log_in, digest, status):
        """The body is made anew for it, and nobody there hears who we are."""
        with FakeRegistry(auth="basic") as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            path = registry.requests("POST")[-1].path
            registry.faults.append(
                Fault("PATCH|PUT", SESSION, status=status, headers={"Location": f"{registry.storage.url}{path}gone"})
            )
            registry.storage.faults.append(Fault(status=202 if digest is None else 201))
            registry.faults.append(Fault("PUT", SESSION, after=0 if digest is None else 9, status=201))
            assert there.upload(Stream(BIG, MIB), digest) == digest_of(BIG)
            (stored,) = registry.storage.log
            assert (stored.received, registry.leaks()) == (len(BIG), [])

    def test_r27_profile(self, log_in):
        """All of a push, with every body redirected."""
        with FakeRegistry(auth="bearer", redirects=frozenset({"PATCH", "PUT", "HEAD"})) as registry:
            log_in(registry.host)
            assert publish(target(registry), BIG) == published(BIG)
            assert registry.leaks() == []
            assert {request.method for request in registry.storage.log} == {"PATCH", "PUT", "HEAD"}

    def test_r27_in_circles(self, registry, waits):
        """Ends."""
        registry.faults.append(Fault("POST", status=307, headers={"Location": "/v2/org/m/blobs/uploads/"}, times=-1))
        with pytest.raises(NotFoundOrRefused) as caught:
            target(registry).prepare()
        assert "answered HTTP 307, and sends us to /v2/org/m/blobs/uploads/" in caught.value.message
        assert (len(registry.log) <= 10, waits) == (True, [])

    def test_r27_out_of_tls(self, authority, registry):
        """Is not followed."""
        with FakeRegistry(tls=authority) as secure, authority.cert_pem.tempfile() as ca_file:
            secure.faults.append(Fault("HEAD", status=307, headers={"Location": f"{registry.url}/x?sig=s3cr3t"}))
            with pytest.raises(NetworkGaveUp) as caught:
                target(secure, ca_file=Path(ca_file)).has_blob(DIGEST)
        assert "s3cr3t" not in caught.value.message
        assert registry.log == []


def issuing(authority, **how):
    """Return an authority whose certificates are as they should not be."""

    class Issuer:
        @staticmethod
        def issue_cert(*names):
            return authority.issue_cert(*(how.pop("names", names)), **how)

    return Issuer


class TestTls:
    """Certificates that cannot be trusted: never asked twice, and the way out is said."""

    @pytest.mark.parametrize(
        ("how", "trusted", "why"),
        [
            pytest.param({}, False, "certificate verify failed", id="unknown authority"),
            pytest.param({"not_after": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, True, "has expired", id="expired"),
            pytest.param({"names": ("other.example",)}, True, "IP address mismatch", id="wrong name"),
        ],
    )
    def test_r29_not_trusted(self, waits, how, trusted, why):
        """Within two seconds, and nothing was sent."""
        authority = trustme.CA()
        with FakeRegistry(tls=issuing(authority, **how)) as registry, authority.cert_pem.tempfile() as ca_file:
            started = time.monotonic()
            with pytest.raises(NetworkGaveUp) as caught:
                target(registry, **({"ca_file": Path(ca_file)} if trusted else {})).prepare()
            assert time.monotonic() - started <= 2
            assert (registry.log, waits) == ([], [])
        assert why in caught.value.message
        assert caught.value.hint == "--ca-file FILE names the authority that signed it"

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    def test_r29_old_tls(self, waits, authority, version):
        """Is no TLS any more (RFC 8996)."""
        with FakeRegistry(tls=authority) as registry, authority.cert_pem.tempfile() as ca_file:
            registry._server.tls.set_ciphers("ALL:@SECLEVEL=0")
            registry._server.tls.minimum_version = version
            registry._server.tls.maximum_version = version
            with pytest.raises(NetworkGaveUp) as caught:
                target(registry, ca_file=Path(ca_file)).prepare()
        assert "does not speak TLS as it should" in caught.value.message
        assert waits == []

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
    def test_r29_environment(self, authority, monkeypatch, name):
        """Both are honoured, as is the system's store."""
        with FakeRegistry(tls=authority) as registry, authority.cert_pem.tempfile() as bundle:
            monkeypatch.setenv(name, bundle)
            assert send(registry) == DIGEST


class TestPlainHttp:
    """--plain-http where it does not belong."""

    def test_go(self, registry, waits):
        """A server in Go says it in words."""
        registry.faults.append(Fault(status=400, body=b"Client sent an HTTP request to an HTTPS server.\n", times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            target(registry).prepare()
        assert (caught.value.message, caught.value.hint) == (
            f"cannot push to {registry.host}/org/m: {registry.host} speaks TLS",
            "leave out --plain-http",
        )
        assert waits == []

    def test_others(self, authority, waits):
        """Others hang up, or answer in TLS."""
        with FakeRegistry(tls=authority) as registry:
            location = parse_location(f"{registry.host}/org/m:1")
            with pytest.raises(NetworkGaveUp) as caught:
                RegistryTarget(location, RegistryAccess(plain_http=True)).prepare()
        assert caught.value.hint.endswith("; --plain-http is for one without TLS")
        assert len(waits) == 5
