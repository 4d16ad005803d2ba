"""What the tests of the fault matrix share."""

from collections.abc import Iterator

import pytest

from kubectl_modelcar import patience
from tests.real.registry import Registry, serve
from tests.registry.sending import Clock


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The clock of everybody's patience in this process, which waiting moves on: no test waits for a server."""
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    monkeypatch.setattr(patience.Patience, "pause", lambda self, seconds: clock.wait(seconds) or self.stopped)
    return clock


@pytest.fixture(scope="session")
def distribution(real_tool, tmp_path_factory) -> Iterator[Registry]:
    """Run distribution's registry v3 without TLS, for anybody."""
    with serve(real_tool("registry"), tmp_path_factory.mktemp("distribution")) as running:
        yield running
