"""Run a command and measure it from outside: wall, CPU, memory of its processes, disk, bytes over the wire."""

import os
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

MIB = 2**20
_SAMPLES = 0.03  # seconds between two looks at a command's processes and folders


@dataclass(frozen=True, slots=True)
class Command:
    """A contender's argv, what it wants in its environment, and folders besides HOME, TMPDIR and cwd it writes to."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    writes: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run: seconds; CPU seconds of the command and its children; peak bytes in memory and on disk.

    `rss` is the sum over its processes, pages that they share counted for each. `load` is the machine's load average
    (1 minute) at the start. `down` are the bytes that a source sent, in `requests`; `up` those that a target read.
    """

    wall: float
    cpu: float
    rss: int
    disk: int
    load: float
    down: int = 0
    requests: int = 0
    up: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """Where to read what went over the wire: (requests, bytes) that the source sent, bytes that the target read."""

    source: Callable[[], tuple[int, int]] = lambda: (0, 0)
    target: Callable[[], int] = lambda: 0


def run(command: Command, *, scratch: Path, counters: Counters | None = None) -> Run:
    """Run the command as on a machine that never ran it: HOME, TMPDIR and cwd are fresh folders below `scratch`.

    Raises RuntimeError if it fails.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    home, tmp, work = folders = [scratch / name for name in ("home", "tmp", "work")]
    for folder in folders:
        folder.mkdir(parents=True)
    # PYTHONDONTWRITEBYTECODE and PYTHONPATH would slow down, or lead into, whoever is written in Python.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"HOME": str(home), "TMPDIR": str(tmp), **command.environment}
    out = os.open(scratch / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.sync()
    counters = counters or Counters()
    before, had = counters.source(), counters.target()
    load, started = os.getloadavg()[0], time.monotonic()
    actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    # posix_spawn knows no cwd; a fork of this process would show our memory as the command's first.
    argv = ["sh", "-c", 'cd "$0" && exec "$@"', str(work), *command.argv]
    pid = os.posix_spawnp("sh", argv, env, file_actions=actions)
    sampler = _Sampler(pid, (*folders, *command.writes))
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - started
    sampler.stop()
    os.close(out)
    if status:
        tail = (scratch / "output").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command.argv)} ended with {status}:\n{tail}")
    found = Run(wall, usage.ru_utime + usage.ru_stime, sampler.memory, sampler.disk, load)
    after = counters.source()
    return replace(found, requests=after[0] - before[0], down=after[1] - before[1], up=counters.target() - had)


class _Sampler:
    """Watches the memory of a process and its descendants, and the disk that folders take."""

    def __init__(self, pid: int, folders: Sequence[Path]) -> None:
        self.memory = self.disk = 0
        self._pid, self._folders = pid, folders
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.disk = max(self.disk, sum(map(_allocated, self._folders)))

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLES):
            seen = [_resident(pid) for pid in _family(self._pid)]
            # The kernel's high-water mark misses no peak between two looks, but is of one process.
            self.memory = max(self.memory, sum(now for now, _ in seen), *(peak for _, peak in seen))
            self.disk = max(self.disk, sum(map(_allocated, self._folders)))


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        try:
            tasks = Path(f"/proc/{member}/task").iterdir()
            found.extend(int(child) for task in tasks for child in (task / "children").read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return found


def _resident(pid: int) -> tuple[int, int]:
    """Return the bytes that a process has in memory, now and at its peak."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    known = {
        name: int(value.split()[0]) * 1024
        for name, _, value in (line.partition(":") for line in lines)
        if name in ("VmRSS", "VmHWM")
    }
    return known.get("VmRSS", 0), known.get("VmHWM", 0)


def _allocated(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(root, name)).st_blocks * 512
            except FileNotFoundError:  # gone between the listing and the look
                continue
    return total


def table(runs: Mapping[str, Sequence[Run]], ours: str) -> str:
    """Return a Markdown table: medians, and our wall time by each other's, pair by pair and by each one's fastest.

    What went over the wire has columns where somebody counted it.
    """
    sent, read = (any(getattr(run, name) for found in runs.values() for run in found) for name in ("down", "up"))
    head = ["command", "wall s (min-max)", "CPU s", "peak RSS MiB", "peak disk MiB"]
    head += ["sent by the source, MB (requests)"] * sent + ["read by the target, MB"] * read
    head += ["ours / it (of the fastest)", "load"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, found in runs.items():
        walls = [run.wall for run in found]
        row = [
            name,
            f"{statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f})",
            f"{statistics.median(run.cpu for run in found):.1f}",
            f"{max(run.rss for run in found) / MIB:.0f}",
            f"{max(run.disk for run in found) / MIB:.0f}",
        ]
        last = found[-1]
        row += [f"{last.down / 1e6:.1f}" + f" ({last.requests})" * bool(last.requests)] * sent
        row += [f"{last.up / 1e6:.1f}"] * read
        row += [
            "" if name == ours else _ratio(runs[ours], found),
            f"{statistics.median(run.load for run in found):.1f}",
        ]
        lines.append(f"| {' | '.join(row)} |")
    rounds = ", ".join(sorted({str(len(found)) for found in runs.values()}))
    return "\n".join([*lines, "", f"Rounds: {rounds}."])


def _ratio(ours: Sequence[Run], found: Sequence[Run]) -> str:
    pairs = [mine.wall / other.wall for mine, other in zip(ours, found, strict=False)]
    fastest = min(run.wall for run in ours) / min(run.wall for run in found)
    return f"{statistics.median(pairs):.2f} ({fastest:.2f})"
