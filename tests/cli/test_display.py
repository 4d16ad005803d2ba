"""Tests of progress as it is shown on stderr."""

import io
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubectl_modelcar.cli.bars import Bars
from kubectl_modelcar.cli.display import open_display
from kubectl_modelcar.progress import Silent
from tests.chat.terminal import Terminal
from tests.real.models import write

MB = 10**6


class Stream(io.StringIO):
    """A text stream that may be a terminal and has an encoding."""

    def __init__(self, encoding="utf-8", *, terminal=False):
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self):
        return self._encoding

    def isatty(self):
        return self._terminal


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that stands still until it is told to go on."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def shown():
    """Give a function that shows the same transfer and stages in a mode, and returns the lines."""

    def shown(mode, stream=None):
        stream = stream or Stream()
        with open_display(mode, stream=stream) as progress:
            _tell(progress)
        return stream.getvalue().splitlines()

    return shown


def _tell(progress):
    progress.begin("model.safetensors", 100 * MB)
    progress.advance("model.safetensors", 60 * MB)
    progress.end("model.safetensors", "sent")
    for _ in range(2):
        progress.stage("claim bound", "waiting", "no node")
    progress.stage("claim bound", "done")
    progress.stage("server ready", "failed", "out of memory")
    progress.warn("something")


@pytest.mark.usefixtures("clock")
class TestModes:
    def test_plain(self, shown):
        """A line a change; what is said twice is shown once."""
        assert shown("plain") == [
            "model.safetensors: sent (100.0 MB, 0.0 s)",
            "… claim bound: no node",
            "✓ claim bound",
            "✗ server ready: out of memory",
            "warning: something",
        ]

    @pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", None])
    def test_plain_elsewhere(self, shown, encoding):
        """Without UTF-8 the marks are words."""
        assert shown("plain", Stream(encoding))[1:4] == [
            "... claim bound: no node",
            "ok claim bound",
            "failed server ready: out of memory",
        ]

    def test_json(self, shown):
        """An object a change."""
        assert [json.loads(line) for line in shown("json")] == [
            {"event": "begin", "name": "model.safetensors", "bytes": 100 * MB},
            {"event": "end", "name": "model.safetensors", "outcome": "sent"},
            *[{"event": "stage", "name": "claim bound", "state": "waiting", "detail": "no node"}] * 2,
            {"event": "stage", "name": "claim bound", "state": "done", "detail": ""},
            {"event": "stage", "name": "server ready", "state": "failed", "detail": "out of memory"},
            {"event": "warning", "text": "something"},
        ]

    @pytest.mark.parametrize("stream", [Stream(), Stream(terminal=True)], ids=["file", "terminal"])
    def test_none(self, shown, stream):
        """Nothing, wherever."""
        assert shown("none", stream) == []

    def test_auto_off_a_terminal(self, shown):
        """Is plain."""
        assert shown("auto") == shown("plain")

    def test_auto_on_a_dumb_terminal(self, shown, monkeypatch):
        """Is plain too."""
        monkeypatch.setenv("TERM", "dumb")
        assert shown("auto", Stream(terminal=True)) == shown("plain")

    def test_auto_on_a_terminal(self, monkeypatch):
        """Is bars."""
        monkeypatch.setenv("TERM", "xterm")
        with open_display("auto", stream=Stream(terminal=True)) as progress:
            assert isinstance(progress, Bars)

    def test_nobody_watches(self):
        """The default of every use case takes the same calls."""
        _tell(Silent())


class TestHeartbeat:
    @pytest.fixture
    def lines(self, clock):
        """Give a function that sends 1 MB steps, each after so many seconds, and returns the lines before the end."""

        def lines(steps, seconds):
            stream = Stream()
            with open_display("plain", stream=stream) as progress:
                progress.begin("w", 100 * MB)
                for _ in range(steps):
                    clock.now += seconds
                    progress.advance("w", MB)
            return stream.getvalue().splitlines()

        return lines

    def test_fast(self, lines):
        """A transfer of a second says nothing on the way."""
        assert lines(100, 0.01) == []

    def test_every_tenth(self, lines):
        """In the middle of long ones."""
        assert lines(100, 1.0) == [f"w: {tens}.0 MB of 100.0 MB" for tens in range(10, 100, 10)]

    def test_slow(self, lines):
        """Every half minute at least, so that a log shows life."""
        assert lines(4, 31.0) == [f"w: {number}.0 MB of 100.0 MB" for number in range(1, 5)]

    def test_json(self, clock):
        """Says the same as an object."""
        stream = Stream()
        with open_display("json", stream=stream) as progress:
            progress.begin("w", 100 * MB)
            clock.now += 60
            progress.advance("w", 50 * MB)
        assert json.loads(stream.getvalue().splitlines()[1]) == {
            "event": "progress",
            "name": "w",
            "done": 50 * MB,
            "bytes": 100 * MB,
        }


@pytest.mark.parametrize("mode", ["plain", "json", "auto"])
class TestAnyMode:
    @pytest.fixture
    def stream(self, mode, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        return Stream(terminal=mode == "auto")

    def test_hostile_names(self, mode, stream):
        """Of files and pods: neither commands nor lines of their own, nor markup of ours."""
        name = "a\x1b]52;c;aGk=\x07\nb[red]"
        with open_display(mode, "never", stream) as progress:
            progress.begin(name, 1)
            progress.end(name, "sent")
            progress.stage(name, "done", name)
            progress.warn(name)
        assert "\x1b]52" not in stream.getvalue()
        assert "\x07" not in stream.getvalue()
        assert "\nb" not in stream.getvalue()
        assert "[red]" in stream.getvalue()

    def test_calls_that_do_not_fit(self, mode, stream):
        """A transfer that nobody announced, or that ended before, is no reason to fail."""
        with open_display(mode, stream=stream) as progress:
            progress.advance("never begun", 1)
            progress.end("never begun", "sent")
            progress.begin("twice", 10)
            progress.begin("twice", 10)
            progress.end("twice", "sent")
            progress.advance("twice", 1)
            progress.end("twice", "sent")

    def test_several_threads(self, mode, stream):
        """Their lines do not mix."""
        with open_display(mode, stream=stream) as progress, ThreadPoolExecutor(8) as pool:
            names = [f"model-{number}" for number in range(40)]
            for step in (lambda name: progress.begin(name, 10), lambda name: progress.end(name, "sent")):
                list(pool.map(step, names))
        lines = [line for line in stream.getvalue().splitlines() if "sent" in line]
        assert len(lines) == 40


class TestTerminal:
    def test_result_elsewhere(self, tmp_path):
        """With stdout in a file the bars are on the terminal, and the file has the reference and nothing else."""
        write(tmp_path / "model")
        push = f"{sys.executable} -m kubectl_modelcar push {tmp_path / 'model'} oci:{tmp_path / 'layout'}:1"
        terminal = Terminal(["sh", "-c", f"exec {push} > {tmp_path / 'out'}"])
        assert terminal.end() == 0
        assert terminal.transcript.splitlines() == ["✓ base image sent", "✓ config.json and 5 more sent"]
        reference = (tmp_path / "out").read_text()
        assert reference.startswith(f"oci:{tmp_path / 'layout'}@sha256:")
        assert reference.count("\n") == 1

    @pytest.mark.parametrize(("color", "coloured"), [("auto", True), ("always", True), ("never", False)])
    def test_colours(self, tmp_path, color, coloured):
        """As they were asked for."""
        write(tmp_path / "model")
        push = [sys.executable, "-m", "kubectl_modelcar", "push", tmp_path / "model", f"oci:{tmp_path / 'layout'}:1"]
        terminal = Terminal([*map(str, push), "--color", color])
        assert terminal.end() == 0
        assert (b"\x1b[32m" in terminal.sent) is coloured

    def test_no_color(self, tmp_path):
        """NO_COLOR is heard (no-color.org)."""
        write(tmp_path / "model")
        push = [sys.executable, "-m", "kubectl_modelcar", "push", tmp_path / "model", f"oci:{tmp_path / 'layout'}:1"]
        terminal = Terminal([*map(str, push)], NO_COLOR="1")
        assert terminal.end() == 0
        assert b"\x1b[32m" not in terminal.sent
