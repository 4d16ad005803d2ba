"""What is slow to make is made once, appears whole or not at all, and lies outside the checkout."""

import threading
from pathlib import Path

import pytest

from tests.tools.cache import cache_folder, make_once


class TestCacheFolder:
    """The environment decides where the cache is."""

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            pytest.param({"MODELCAR_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a", id="own"),
            pytest.param({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/kubectl-modelcar", id="xdg"),
            pytest.param({"HOME": "/c"}, "/c/.cache/kubectl-modelcar", id="home"),
            pytest.param({"XDG_CACHE_HOME": "", "HOME": "/c"}, "/c/.cache/kubectl-modelcar", id="empty-is-unset"),
        ],
    )
    def test_order(self, monkeypatch, environment, expected):
        """Our own variable wins, then XDG's, then the home folder."""
        for name in ("MODELCAR_CACHE", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert cache_folder() == Path(expected)


class TestMakeOnce:
    """A folder is built by one caller, once."""

    def test_builds_then_leaves_alone(self, tmp_path):
        """The second call finds the first one's work."""
        target = tmp_path / "tools" / "thing-1"
        answers = [make_once(target, lambda folder: (folder / "thing").touch()) for _ in range(2)]
        assert (answers, [path.name for path in target.iterdir()]) == ([True, False], ["thing"])

    def test_failure_leaves_nothing(self, tmp_path):
        """A build that fails half-way leaves neither the name nor its scraps."""

        def fail(folder: Path) -> None:
            (folder / "half").touch()
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            make_once(tmp_path / "thing-1", fail)
        assert [path.name for path in tmp_path.iterdir()] == [".thing-1.lock"]

    def test_scraps_of_a_killed_run_go(self, tmp_path):
        """What a killed run left is removed by the next one, and a tool with a longer name keeps its own."""
        (tmp_path / ".thing-1.abcd_123").mkdir()
        (tmp_path / ".thing-1-shim.abcd_12").mkdir()
        make_once(tmp_path / "thing-1", lambda _: None)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".thing-1-shim.abcd_12",
            ".thing-1.lock",
            "thing-1",
        ]

    def test_others_wait(self, tmp_path):
        """Callers at the same time build once between them, and all return after the work is whole."""
        built, seen = [], []

        def build(folder: Path) -> None:
            built.append(folder)
            threading.Event().wait(0.05)
            (folder / "thing").touch()

        def ask() -> None:
            make_once(tmp_path / "thing-1", build)
            seen.append((tmp_path / "thing-1" / "thing").exists())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(built), seen) == (1, [True] * 4)
