"""R20: ^C. The process ends at once, publishes nothing, and takes back what it began."""

import time

import pytest

from kubectl_modelcar.registry.wire import GOODBYE
from tests.fakes.registry import Fault
from tests.faults.program import Line, environment_of, left_open, model, spread, start

SHARDS, SIZE = 6, 300_000
MOST = SHARDS * SIZE  # bytes of weights; the requests and the manifest come on top
SLOW = 2_000_000  # bytes a second: nobody is done by the time that he is interrupted
AT_ONCE = 2.0  # seconds, by the matrix


class TestR20:
    @pytest.fixture(autouse=True)
    def home(self, tmp_path, monkeypatch):
        """Have a home, a folder for temporary files and a cache that the test can look into."""
        for name, value in environment_of(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        return tmp_path / "home"

    @pytest.fixture(params=["folder", "hub", "spool"])
    def source(self, request, tmp_path, hub):
        """Have the model where it may come from; return the arguments that name it."""
        folder = model(tmp_path / "model", SHARDS, SIZE)
        if request.param == "folder":
            return [folder]
        hub.commit("org/m", {path.name: path.read_bytes() for path in folder.iterdir()})
        return ["org/m"] if request.param == "hub" else ["org/m", "--spool"]

    def test_r20_interrupted_anywhere(self, registry, source, home, tmp_path):
        """At 21 points in all: exit code 130 within two seconds, no tag, no temporary file, no upload left open."""
        for number, point in enumerate(spread(7, MOST, seed=len(source[-1:]))):
            with Line(registry.host, pause_after=point, bytes_per_second=SLOW) as line:
                image = f"{line.host}/org/m{number}:1"
                running = start(tmp_path / "said", "push", *source, image, "--plain-http", "--progress", "none")
                assert line.reached.wait(30), point
                running.interrupt()
                before = time.monotonic()
                line.go_on.set()
                done = running.wait()
                took = time.monotonic() - before
            assert (done.code, done.out, done.err) == (130, "", "interrupted\n"), point
            assert took < AT_ONCE, point
            assert registry.tags == {}
            assert list((home / "tmp").iterdir()) == []
            assert left_open(registry) == [], point

    @pytest.fixture
    def stuck(self, registry, tmp_path):
        """Have a push whose layers are under way to a registry that has stopped to answer."""
        registry.faults.append(Fault(method="DELETE", after=1, times=-1, silent=True))
        registry.faults.append(Fault(method="P(ATCH|UT)", after=2, times=-1, silent=True))
        folder = model(tmp_path / "model", SHARDS, SIZE)
        running = start(tmp_path / "said", "push", folder, f"{registry.host}/org/m:1", "--plain-http", "-q")
        until = time.monotonic() + 30
        while len(registry.requests("PATCH")) < 4:
            assert time.monotonic() < until
            time.sleep(0.02)
        return running

    def test_r20_registry_that_is_silent(self, registry, stuck):
        """It is not waited for longer than two seconds, however little it says."""
        before = time.monotonic()
        stuck.interrupt()
        done = stuck.wait()
        assert (done.code, done.err, time.monotonic() - before < AT_ONCE) == (130, "interrupted\n", True)
        assert registry.tags == {}

    def test_r20_twice(self, stuck):
        """A second ^C ends the goodbye, too: no uploads are taken back any more."""
        stuck.interrupt()
        time.sleep(0.2)
        before = time.monotonic()
        stuck.interrupt()
        done = stuck.wait()
        assert (done.code, done.err, time.monotonic() - before < GOODBYE - 0.2) == (130, "interrupted\n", True)
