"""Tests of the remembering Progress and of made-up time."""

from tests.fakes.watcher import FakeTime, Watcher


class TestWatcher:
    """What it remembers."""

    def test_lines(self):
        """In the order in which they came."""
        watcher = Watcher()
        watcher.begin("a", 1)
        watcher.advance("a", 1)
        watcher.end("a", "sent")
        watcher.stage("model", "waiting", "42%")
        watcher.stage("ready", "done")
        watcher.warn("look")
        assert watcher.lines == ["begin a 1", "end a sent", "waiting model: 42%", "done ready", "warning: look"]


class TestFakeTime:
    """Time that stands still."""

    def test_pause(self):
        """Time passes, and things happen one by one."""
        happened = []
        time = FakeTime(lambda: happened.append(1), lambda: happened.append(2))
        time.pause(1.0)
        time.pause(2.0)
        time.pause(3.0)
        assert (time.now(), happened) == (6.0, [1, 2])
