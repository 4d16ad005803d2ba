"""An end to everything that waits: for an answer, for a token, for the registry's leave."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import FakeRegistry, Fault
from tests.puller.images import REPOSITORY, TAR, put
from tests.puller.weights import BLOB, LAYER, LOGIN, SIZE

PULLER = Path(puller.__file__)
DESCRIPTOR = puller.Descriptor(TAR, BLOB.rpartition("/")[2], SIZE)
WAIT = {"Retry-After": "250"}
CUT = Fault(path="/blobs/", cut_after=1000)
REFUSED = Fault(path="/blobs/", status=401, headers={"WWW-Authenticate": 'Bearer realm="REALM",error="invalid_token"'})
PHASES = {
    "no answer to a manifest": Fault(path="/manifests/", silent=True, times=-1),
    "no answer to a blob": Fault(path="/blobs/", silent=True, times=-1),
    "a stalled blob": Fault(path="/blobs/", stall_after=1000, times=-1),
    "no answer to another request for a blob": (CUT, Fault(path="/blobs/", silent=True, times=-1)),
    "a pause for a manifest": Fault(path="/manifests/", status=429, headers=WAIT, times=-1),
    "a pause for a blob": Fault(path="/blobs/", status=503, headers=WAIT, times=-1),
    "no answer of the token service": Fault(path="/token", silent=True, times=-1),
    "a stalled token": Fault(path="/token", stall_after=3, times=-1),
    "a pause for a token": Fault(path="/token", status=429, headers=WAIT, times=-1),
    "a pause for a new token in mid-pull": (REFUSED, Fault(path="/token", status=503, headers=WAIT, after=1, times=-1)),
}


@pytest.fixture(params=PHASES.values(), ids=PHASES)
def waiting(request):
    """Serve an image with tokens; give the registry, and a function that returns when a pull of it waits."""
    faults = request.param if isinstance(request.param, tuple) else (request.param,)
    with FakeRegistry("bearer") as registry:
        put(registry, LAYER)
        for fault in faults:
            headers = {name: value.replace("REALM", registry.realm) for name, value in fault.headers.items()}
            registry.faults.append(replace(fault, headers=headers))

        def wait() -> None:
            give_up = time.monotonic() + 10
            while len(registry.requests(path=faults[-1].path)) < len(faults):
                assert time.monotonic() < give_up
                time.sleep(0.01)
            time.sleep(0.05)  # the answer, if there is one, arrives

        yield registry, wait


class TestStop:
    """Of a source, by another thread."""

    def test_everything_that_waits_ends(self, waiting, tmp_path):
        """At once, and for good."""
        registry, wait = waiting
        source = puller.Registry(registry.url, REPOSITORY, LOGIN)
        with ThreadPoolExecutor(1) as pool:
            pulled = pool.submit(puller.pull, source, "v1", tmp_path)
            wait()
            started = time.monotonic()
            source.stop()
            with pytest.raises(puller.PullError) as caught:
                pulled.result()
        assert time.monotonic() - started < 2
        assert (caught.value.exit_code, "the transfer was stopped" in caught.value.message) == (5, True)
        with pytest.raises(puller.PullError, match="the transfer was stopped"):
            source.manifest("v1")

    def test_a_folder_has_nothing_to_stop(self, tmp_path):
        """But the same interface."""
        puller.Layout(tmp_path).stop()


class TestClose:
    """Of one transfer, by another thread."""

    @pytest.mark.parametrize(
        "fault",
        [Fault(path=BLOB, silent=True), Fault(path=BLOB, stall_after=0), Fault(path=BLOB, status=503, headers=WAIT)],
        ids=["no answer", "no body", "a pause"],
    )
    def test_it_ends_what_it_waits_for(self, registry, source, fault):
        """The other transfers of the same registry go on."""
        put(registry, LAYER)
        registry.faults.append(fault)
        reading = source(patience=None)
        body = reading.open(DESCRIPTOR)
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(body.readinto, memoryview(bytearray(10)))
            while not registry.requests(path=BLOB):
                time.sleep(0.01)
            time.sleep(0.05)
            started = time.monotonic()
            body.close()
            with pytest.raises(puller.PullError, match="the transfer was stopped"):
                read.result()
        assert time.monotonic() - started < 2
        reading.session._not_before = 0
        assert reading.blob_size(DESCRIPTOR) == SIZE

    def test_a_request_that_is_just_being_made_is_not_left_open(self, registry, source, monkeypatch):
        """Closed between the connection and the answer: nobody else would close that one."""
        put(registry, LAYER)
        reading = source()
        body = reading.open(DESCRIPTOR)
        made = []

        def opened(_session, exchange):
            made.append(exchange)
            threading.Thread(target=body.close).start()
            while not body._closed:
                time.sleep(0.001)

        monkeypatch.setattr(puller.Session, "opened", opened)
        with pytest.raises(puller.PullError, match="the transfer was stopped"):
            body.readinto(memoryview(bytearray(10)))
        assert [exchange.connection.sock for exchange in made] == [None]
        assert registry.requests(path=BLOB) == []

    def test_an_answer_that_comes_after_the_end_is_closed(self, registry, source, monkeypatch):
        """By the thread that waited for it."""
        put(registry, LAYER)
        body = source().open(DESCRIPTOR)
        answers = []
        ask = puller._Answer.__init__

        def late(self, url, exchange):
            ask(self, url, exchange)
            answers.append(self)
            body.close()

        monkeypatch.setattr(puller._Answer, "__init__", late)
        with suppress(puller.PullError):  # some bytes may have come
            body.readinto(memoryview(bytearray(10)))
        assert [answer._response.isclosed() for answer in answers] == [True]


class TestSignals:
    """Of a pod, or a person."""

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
    def test_the_process_ends_whatever_it_waits_for(self, waiting, tmp_path, number, code):
        """Within two seconds, and with one line: a pod's grace period is not for waiting."""
        registry, wait = waiting
        login = {"username": LOGIN.username, "password": LOGIN.password}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: login}}))
        arguments = [f"--reference={registry.host}/{REPOSITORY}:v1", f"--volume={tmp_path / 'v'}", "--plain-http"]
        called = [sys.executable, str(PULLER), *arguments, f"--auth-dir={tmp_path}"]
        with subprocess.Popen(called, stderr=subprocess.PIPE, text=True) as process:
            wait()
            started = time.monotonic()
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        assert time.monotonic() - started < 2
        assert (process.returncode, errors.splitlines()[-1].endswith("layers that were verified are kept")) == (
            code,
            True,
        )
        assert "Traceback" not in errors

    def test_the_end_is_left_to_no_other_thread(self, tmp_path):
        """A name server that does not answer cannot be interrupted: SIGTERM does not wait for it."""
        script = (
            "import runpy, socket, sys, time\n"
            "socket.getaddrinfo = lambda *_, **__: time.sleep(60)\n"
            "sys.argv = sys.argv[1:]\n"
            "import threading; threading.Thread(target=time.sleep, args=(60,)).start()\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        arguments = [str(PULLER), "--reference=registry.test/a/b:v1", f"--volume={tmp_path}", "--plain-http"]
        environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        with subprocess.Popen([sys.executable, "-c", script, *arguments], env=environment) as process:
            time.sleep(1)
            assert process.poll() is None
            started = time.monotonic()
            process.terminate()
            assert process.wait(30) == 143
        assert time.monotonic() - started < 2
