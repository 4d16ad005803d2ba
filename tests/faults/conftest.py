"""What the tests of the fault matrix share."""

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from kubectl_modelcar import patience
from tests.real.registry import Registry, serve
from tests.registry.sending import Clock
from tests.tools.errors import ToolError
from tests.tools.requirement import unavailable


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder, which takes minutes: one of CI's two runs of the tests goes without it."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.faults)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock of everybody's patience in this process, which waiting moves on: no test waits for a server."""
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setattr(patience.Patience, "pause", lambda self, seconds: clock.wait(seconds) or self.stopped)
    return clock


@pytest.fixture
def nobody_waits(clock, monkeypatch) -> None:
    """Let no command of this process wait between attempts, the puller's neither: its jitter is none."""
    del clock
    monkeypatch.setattr(random.SystemRandom, "uniform", lambda *_: 0.0)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Make an authority that no machine trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def distribution(real_tool, tmp_path_factory) -> Iterator[Registry]:
    """Run distribution's registry v3 without TLS, for anybody."""
    with serve(real_tool("registry"), tmp_path_factory.mktemp("distribution")) as running:
        yield running


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Give a function that mounts a new disk of a size (a tmpfs, "300k"), or makes the last one larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: str) -> Path:
        options = f"size={size}" + (",remount" if place.is_mount() else "")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True, check=False
        )
        if done.returncode:
            unavailable(ToolError(f"cannot mount a tmpfs: {done.stderr.strip()}"))
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", place], check=True)
