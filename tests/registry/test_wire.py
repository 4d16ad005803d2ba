"""Tests of what a registry refuses, of what may pass, and of being stopped."""

import json
import os
import socket
import threading
import time
from contextlib import suppress

import pytest

from kubectl_modelcar.errors import IntegrityFailure, ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.patience import MayPass
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.sending import (
    BLOB,
    DIGEST,
    held,
    send,
    target,
)

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
                ": DENIED requested access to the resource is denied; no login for {host} was found in {files}",
                "log in: podman login {host} (or docker login, or oc registry login --registry={host})",
                id="denied",
            ),
            pytest.param(
                404,
                {"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]},
                NotFoundOrRefused,
                ": NAME_UNKNOWN no such repository",
                "create the repository first: this registry makes none by a push, or hides those of others",
                id="unknown",
            ),
            pytest.param(
                405,
                {"errors": [{"code": "UNSUPPORTED", "message": "The operation is unsupported."}]},
                NotFoundOrRefused,
                ": UNSUPPORTED The operation is unsupported.",
                "it takes no pushes: a mirror or a cache names the registry that does",
                id="unsupported",
            ),
            pytest.param(
                413,
                b"<html>Request Entity Too Large</html>",
                NotFoundOrRefused,
                "",
                "the registry or a proxy before it limits the size of a request or of a layer; its administrator can"
                " raise it",
                id="too large",
            ),
            pytest.param(
                415,
                b"",
                NotFoundOrRefused,
                "",
                "it does not know this kind of image: --format image makes one that every registry knows",
                id="kind",
            ),
            pytest.param(
                308,
                b"",
                NotFoundOrRefused,
                ", and sends us to nowhere",
                "name the registry by the address where it is",
                id="elsewhere",
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
        run = f"~/run/containers/auth.json, /run/containers/{os.getuid()}/auth.json"
        files = f"{run}, ~/.config/containers/auth.json, ~/.docker/config.json, ~/.dockercfg"
        said = said.format(host=registry.host, files=files)
        assert caught.value.message == REFUSED.format(host=registry.host, status=status) + said
        assert hint is None or caught.value.hint == hint.format(host=registry.host)
        assert (len(registry.log), waits) == (1, [])

    def test_a_body_without_end(self, registry):
        """Of an error only so much is read as an error needs."""
        registry.faults.append(Fault(method="POST", status=404, body=bytes(1 << 20), cut_after=200_000))
        with pytest.raises(NotFoundOrRefused):
            target(registry).prepare()

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

    @pytest.mark.parametrize("after", ["soon", "-5", ""])
    def test_nonsense(self, registry, waits, after):
        """Is as if it had said nothing: a short while, at random."""
        registry.faults.append(Fault(method="POST", status=503, headers={"Retry-After": after}))
        target(registry).prepare()
        assert [0 <= wait <= 0.5 for wait in waits] == [True]

    def test_for_ever(self, registry, waits):
        """Six times, further and further apart."""
        registry.faults.append(Fault(method="POST", status=503, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            target(registry).prepare()
        assert (caught.value.message, caught.value.hint) == (
            REFUSED.format(host=registry.host, status=503) + ", 6 times in a row",
            "try again later; layers that were sent whole are kept",
        )
        assert len(registry.log) == 6
        assert [wait <= 0.5 * 2**number for number, wait in enumerate(waits)] == [True] * 5

    def test_too_long(self, registry, waits):
        """Nobody waits for an hour."""
        registry.faults.append(Fault(method="POST", status=429, times=-1, headers={"Retry-After": "3600"}))
        with pytest.raises(NetworkGaveUp):
            target(registry).prepare()
        assert (len(registry.log), waits) == (1, [])

    def test_a_blob_is_refused_for_a_while(self, registry, waits):
        """Retry-After counts in the middle of an upload, too."""
        registry.faults.append(Fault(method="PATCH", status=503, headers={"Retry-After": "9"}))
        assert (send(registry), waits) == (DIGEST, [9])

    def test_a_blob_is_cut_for_ever(self, registry, waits):
        """Six times; the error says what was lost where."""
        registry.faults.append(Fault(method="PATCH", cut_request_after=0, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            send(registry)
        assert caught.value.message.startswith(f"cannot send w.safetensors to {registry.host}/org/m: ")
        assert caught.value.message.endswith(", 6 times in a row")
        assert (len(registry.requests("PATCH")), len(waits)) == (6, 5)

    def test_a_source_that_fails(self, registry, waits):
        """Is no fault of the registry: its error goes up as it is, and the upload is taken back."""
        with pytest.raises(NetworkGaveUp) as caught:
            target(registry).upload(Broken())
        assert (caught.value.message, waits, len(registry.requests("POST"))) == ("the Hub is gone", [], 1)
        assert registry.uploads == {}


class Broken:
    """Content whose source has been patient, and gave up."""

    name, size = "w", len(BLOB)

    def chunks(self, start=0):
        """Yield some bytes."""
        yield BLOB[start:1000]
        raise MayPass("the Hub is gone", "try again later")


class TestNobodyThere:
    """Names and ports."""

    def test_a_registry_that_restarts(self, waits):
        """A port that was open a moment ago may be so again."""
        with FakeRegistry() as registry:
            there = target(registry)
            there.prepare()
            registry.faults.append(Fault(cut_request_after=0))  # of the connection that is kept
        with pytest.raises(NetworkGaveUp):
            there.has_blob(DIGEST)
        assert (len(waits), waits[1:]) == (5, [3.0] * 4)

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
                "cannot push to no.example/org/m: no.example does not answer ([Errno -3] Name or service not known)"
                ", 6 times in a row",
                6,
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


def ended(send) -> None:
    with suppress(NetworkGaveUp):
        send()


class TestStop:
    """A push that failed or was interrupted."""

    def test_uploads_under_way_end_at_once(self, registry):
        """A registry that takes its time is not waited for."""
        registry.faults.append(Fault("PUT", "/blobs/uploads/", status=201, body=b"slow", stall_after=0))
        made = target(registry)
        sending = threading.Thread(target=ended, args=(lambda: made.upload(held(b"{}", "it")),))
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
