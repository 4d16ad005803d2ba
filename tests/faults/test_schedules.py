"""R33: a thousand schedules of the matrix's faults. What is published is whole, or nothing is published."""

import gc
import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from kubectl_modelcar.image import parse_location
from kubectl_modelcar.push import PushResult
from kubectl_modelcar.registry import docker_config
from tests.faults.schedules import check, run, schedules
from tests.registry.sending import LOGIN

SCHEDULES = int(os.environ.get("MODELCAR_SCHEDULES", "1000"))
EACH = 50  # schedules between two looks at what this process has open


def open_things() -> tuple[int, int]:
    """Return how many files and threads this process has, garbage not counted."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()


def more_than(start: tuple[int, int], seconds: float = 5.0) -> tuple[int, ...]:
    """Return what is more than at the start, as soon as nothing is: the fake's threads end after their clients."""
    until = time.monotonic() + seconds
    while True:
        more = tuple(max(0, now - then) for now, then in zip(open_things(), start, strict=True))
        if not any(more) or time.monotonic() > until:
            return more
        time.sleep(0.05)


class TestR33:
    @pytest.fixture(autouse=True)
    def _every_file_is_a_layer(self, monkeypatch):
        monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 0)

    @pytest.mark.usefixtures("clock")
    def test_r33_schedules(self, tmp_path, sealed):
        """Each push is published whole or ends with exit code 5 and no tag; nothing leaks, nothing stays open."""
        seen = Counter[str]()
        config = sealed / ".docker" / "config.json"
        config.parent.mkdir()

        def log_in(host):
            config.write_bytes(docker_config(parse_location(f"{host}/m"), LOGIN))

        @settings(
            max_examples=SCHEDULES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(schedules())
        def one(schedule):
            outcome, registry, said = run(schedule, tmp_path, log_in)
            check(schedule, outcome, registry, said, tmp_path)
            seen["ok" if isinstance(outcome, PushResult) else "gave up"] += 1
            if seen.total() % EACH == 0:
                assert more_than(start) == (0, 0)  # I6

        start = open_things()
        one()
        assert more_than(start) == (0, 0)
        assert seen["ok"] > seen.total() / 2
        assert seen["gave up"] > 0
