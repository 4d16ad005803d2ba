"""What a registry refuses, and how long what may pass is waited for."""

import email.utils
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import Fault, digest_of
from tests.puller.conftest import QUICK
from tests.puller.images import REPOSITORY, TAR, ours, put
from tests.puller.weights import BLOB, LAYER, SIZE, unpack

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
            f"{registry.host} answered 503 Service Unavailable, 6 times in a row"
        )
        assert (caught.value.exit_code, len(registry.log)) == (5, 6)

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
            attempts = puller._Attempts(puller.Session(puller.Patience(attempts=9, base=1, cap=10)), "x")
            waits.append([attempts.next_wait(puller._TransientError("no")) for _ in range(8)])
        limits = [max(column) for column in zip(*waits, strict=True)]
        assert all(
            limit * 0.8 <= seen <= limit for limit, seen in zip([1, 2, 4, 8, 10, 10, 10, 10], limits, strict=True)
        )
        assert min(column[-1] for column in waits) < 2

    def test_patience_is_the_policy_s(self):
        """Six attempts, and all of them again after 16 MiB; waits up to half a minute, and five when that is asked."""
        assert puller.Patience() == puller.Patience(attempts=6, refill=16 << 20, base=0.5, cap=30, longest=300)

    @pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {}], ids=["for a second", "for a while"])
    def test_who_is_told_to_wait_makes_the_others_wait(self, registry, source, headers):
        """One 429, one pause, for blobs and manifests of all threads: the registry means everybody."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, status=429, headers=headers))
        told = source(patience=puller.Patience(base=1.0))
        layer = puller.Descriptor(TAR, digest_of(LAYER.data), SIZE)
        with ThreadPoolExecutor() as pool:
            first = pool.submit(told.blob_size, layer)
            while not told.session._not_before and not first.done():
                time.sleep(0.001)
            told.manifest("v1")
            came = time.monotonic()
            assert first.result() == SIZE
        assert came >= told.session._not_before > 0
        assert sorted(request.status for request in registry.log) == [200, 200, 429]

    def test_one_failure_ends_the_other_transfers(self, registry, source, tmp_path):
        """They are not waited for: a stalled one would keep the error back for a minute."""
        other = ours({"other": b"o" * 5000})
        put(registry, LAYER, other)
        registry.faults += [Fault(path=BLOB, stall_after=1000), Fault(path=digest_of(other.data), status=404, times=-1)]
        started = time.monotonic()
        with pytest.raises(puller.PullError, match="does not have it"):
            puller.unpack(source(), puller.resolve(source(), "v1"), tmp_path)
        assert time.monotonic() - started < 5
