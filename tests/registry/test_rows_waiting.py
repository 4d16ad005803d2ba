"""Rows R1 to R5, R19 and R30 of the fault matrix: what may pass, how long it is waited for, and when it is given up."""

import email.utils
import itertools
import socket
import threading
import time
from contextlib import closing, suppress

import pytest
import urllib3.util.connection

from kubectl_modelcar.errors import NetworkGaveUp
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.patience import Patience
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.session import SLOWEST
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.registry.sending import BLOB, DIGEST, held, publish, published, target

STEPS = (
    pytest.param("HEAD", "/blobs/sha256:", id="HEAD"),
    pytest.param("POST", "/blobs/uploads/", id="POST"),
    pytest.param("PATCH", "/blobs/uploads/", id="PATCH"),
    pytest.param("PUT", "/blobs/uploads/", id="PUT"),
    pytest.param("PUT", "/manifests/", id="manifest"),
    pytest.param("HEAD", "/manifests/", id="read back"),
)


class TestBusy:
    """A registry that is busy and says for how long."""

    @pytest.mark.parametrize(("method", "path"), STEPS)
    def test_r1_503_twice_at_a_step(self, registry, waits, method, path):
        """Waits as long as it is asked to, each time, and asks three times at most."""
        registry.faults.append(Fault(method, path, status=503, headers={"Retry-After": "1"}, times=2))
        assert publish(target(registry), BLOB) == published(BLOB)
        refused = [request for request in registry.log if request.status == 503]
        assert ({request.method for request in refused}, len(refused), waits) == ({method}, 2, [1.0, 1.0])

    def test_r1_503_twice_at_every_step(self, registry, waits):
        """In one push."""
        for method, path in (step.values for step in STEPS):
            registry.faults.append(Fault(method, path, status=503, headers={"Retry-After": "1"}, times=2))
        assert publish(target(registry), BLOB) == published(BLOB)
        assert waits == [1.0] * 12
        for method, path in (step.values for step in STEPS):
            answers = [request.status for request in registry.requests(method, path)]
            assert answers[:3].count(503) == 2

    @pytest.mark.parametrize(("method", "path"), STEPS)
    def test_r5_500_twice_at_a_step(self, registry, waits, method, path):
        """Without a word how long: a short while, at random."""
        registry.faults.append(Fault(method, path, status=500, times=2, body=b"<html>oops</html>"))
        assert publish(target(registry), BLOB) == published(BLOB)
        assert [0 <= wait <= 0.5 * 2**number for number, wait in enumerate(waits)] == [True, True]

    def test_r2_429_is_one_pause_of_all_workers(self, registry, clock):
        """Who is told to wait makes the others wait; nobody asks meanwhile."""
        registry.faults.append(Fault("POST", "/uploads/", after=4, status=429, headers={"Retry-After": "20"}))
        there = target(registry)
        there.prepare()
        blobs = [bytes([number]) * 10_000 for number in range(16)]
        work = iter(blobs)

        def send():
            for blob in work:
                there.upload(held(blob))

        workers = [threading.Thread(target=send) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert set(registry.blobs) == {digest_of(blob) for blob in blobs}
        assert [request.status for request in registry.log].count(429) == 1
        assert 20 <= clock.now <= 21

    def test_r2_429_stops_the_others(self, registry):
        """By the real clock: between the 429 and what it asked for, no request comes."""
        times = []
        registry.faults.append(Fault("PUT", "/uploads/", after=3, status=429, headers={"Retry-After": "1"}))
        answer = registry.answer
        registry.answer = lambda asked: (times.append(time.monotonic()), answer(asked))[1]
        there = target(registry)

        def ask():
            for _ in range(8):
                there.upload(held(b"it"), digest_of(b"it"))
                time.sleep(0.01)

        workers = [threading.Thread(target=ask) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert [gap for gap in gaps if gap > 0.5] == [max(gaps)]
        assert 0.9 <= max(gaps) <= 2

    @pytest.mark.parametrize("skew", [-3600, 0, 3600], ids=["an hour behind", "right", "an hour ahead"])
    def test_r3_date_by_the_registry_s_own_clock(self, registry, waits, skew):
        """What counts is the time between its Date and what it asks for."""
        now = time.time() + skew
        headers = {
            "Date": email.utils.formatdate(now, usegmt=True),
            "Retry-After": email.utils.formatdate(now + 25, usegmt=True),
        }
        registry.faults.append(Fault("POST", status=429, headers=headers))
        target(registry).prepare()
        assert [round(wait) for wait in waits] == [25]

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(("method", "path"), STEPS)
    def test_r4_for_ever(self, registry, waits, status, method, path):
        """Six times, then who, what and how often; no tag is there, but one that could only not be read back."""
        digest = published(BLOB)
        registry.faults.append(Fault(method, path, status=status, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            publish(target(registry), BLOB)
        assert caught.value.exit_code == 5
        assert f"{registry.host} answered HTTP {status}, 6 times in a row" in caught.value.message
        assert [r.status for r in registry.requests(method, path)].count(status) <= 6
        assert len(waits) == 5
        read_back = path == "/manifests/" and method == "HEAD"
        assert registry.tags == ({"org/m:1": digest} if read_back else {})


class TestStalls:
    """Answers that come too slowly, or never."""

    @pytest.fixture(autouse=True)
    def hasty(self, monkeypatch, waits):
        monkeypatch.setattr("kubectl_modelcar.registry.wire.IDLE", 0.3)
        monkeypatch.setattr("kubectl_modelcar.registry.wire.COMMIT", 0.6)
        return waits

    @staticmethod
    def serve(listener, *pieces, pause):
        """Take each connection and send the pieces of an answer, with a pause before each."""
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with closing(connection), suppress(OSError):
                    connection.recv(65_536)
                    for piece in pieces:
                        time.sleep(pause)
                        connection.sendall(piece)
                    time.sleep(pause)

    @pytest.mark.parametrize(
        ("pieces", "pause"),
        [
            pytest.param((), 2.0, id="never answers"),
            pytest.param([bytes([byte]) for byte in b"HTTP/1.1 202 Accepted\r\nX: " + b"x" * 99], 0.1, id="head"),
            pytest.param(
                [b"HTTP/1.1 404 Not Found\r\nContent-Length: 999\r\n\r\n", *[b"x"] * 99], 0.1, id="body of an error"
            ),
        ],
    )
    def test_r19_slow_answers(self, hasty, pieces, pause):
        """Are given up at the idle limit, tried again, and then given up for good: in time, with who and why."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self.serve, args=(listener, *pieces), kwargs={"pause": pause}, daemon=True)
            thread.start()
            location = parse_location(f"127.0.0.1:{listener.getsockname()[1]}/org/m:1")
            there, started = RegistryTarget(location, RegistryAccess(plain_http=True)), time.monotonic()
            with pytest.raises(Exception) as caught:
                there.prepare()
            took = time.monotonic() - started
        assert caught.value.exit_code in (4, 5)  # what was begun with a 404 is one
        assert location.registry in caught.value.message
        assert took <= 6 * (2 * 0.3 + 0.1) + 1
        assert len(hasty) in (0, 5)

    def test_r19_answer_that_takes_its_time(self, registry):
        """In one piece it may be slow: only a trickle is a stall."""
        registry.add_manifest("org/m", b"{}", "x", "1")
        registry.faults.append(Fault("GET", "/tags/", trickle=0.0005))
        assert target(registry).tags() == ("1",)
        assert SLOWEST == 1024


def test_r30_registry_restarts(waits, monkeypatch):
    """A registry that was there a moment ago is asked every three seconds: fifteen in all, by everybody together."""
    with FakeRegistry() as registry:
        there = target(registry)
        there.prepare()
        registry.faults.append(Fault("POST", cut_request_after=0, reset=True))
        port, real, refused = int(registry.host.split(":")[1]), urllib3.util.connection.create_connection, []

        def connect(address, *args, **kwargs):
            if address[1] == port and len(refused) < 4:
                refused.append(address)
                raise ConnectionRefusedError(111, "Connection refused")
            return real(address, *args, **kwargs)

        monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
        assert there.upload(held()) == DIGEST
    assert (len(refused), waits[1:]) == (4, [3.0] * 4)


def test_retry_after_is_for_the_host(waits):
    """A pause of one host is none of another."""
    one, other = Patience(), Patience()
    one.hold(20)
    other.ready()
    assert waits == []
    one.ready()
    assert waits == [20.0]
