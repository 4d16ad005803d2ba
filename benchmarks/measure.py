"""Run a command and measure it from outside: wall, CPU, peak memory, temporary disk."""

import os
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True)
class Run:
    """One finished run: seconds, CPU seconds of the command and its children, peak RSS and temporary disk in bytes."""

    wall: float
    cpu: float
    rss: int
    disk: int


def run(command: Sequence[str], *, scratch: Path, environment: Mapping[str, str] | None = None) -> Run:
    """Run `command` with HOME and TMPDIR below `scratch`; raise if it fails.

    Every 50 ms the disk is looked at, and the kernel's own high-water mark (VmHWM) of each process of the command.
    Not ru_maxrss: it starts from what the parent had when it forked.
    """
    home, tmp = scratch / "home", scratch / "tmp"
    for folder in (home, tmp):
        folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(tmp), **(environment or {})}
    out = os.open(scratch / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.sync()
    started = time.monotonic()
    actions = [(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, out, 2)]
    pid = os.posix_spawnp(command[0], list(command), env, file_actions=actions)
    sampler = _Sampler(pid, (home, tmp))
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - started
    sampler.stop()
    os.close(out)
    if status:
        raise RuntimeError(f"{command} ended with {status}:\n{(scratch / 'output').read_text()[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, sampler.memory, sampler.disk)


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

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.memory = max(self.memory, *(_high_water(pid) for pid in _family(self._pid)))
            self.disk = max(self.disk, sum(_allocated(folder) for folder in self._folders))


def _family(pid: int) -> list[int]:
    found = [pid]
    for member in found:
        try:
            tasks = Path(f"/proc/{member}/task").iterdir()
            found.extend(int(child) for task in tasks for child in (task / "children").read_text().split())
        except OSError:  # it ended meanwhile
            continue
    return found


def _high_water(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


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
    """Return a Markdown table of medians, with the ratio of our wall time to each other's, pair by pair."""
    lines = [
        "| command | wall s (min-max) | CPU s | peak RSS MiB | temp disk MiB | ours / it |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in runs.items():
        walls = [run.wall for run in found]
        pairs = [mine.wall / other.wall for mine, other in zip(runs[ours], found, strict=False)]
        lines.append(
            f"| {name} | {statistics.median(walls):.2f} ({min(walls):.2f}-{max(walls):.2f}) "
            f"| {statistics.median(run.cpu for run in found):.1f} "
            f"| {max(run.rss for run in found) / MIB:.0f} | {max(run.disk for run in found) / MIB:.0f} "
            f"| {'' if name == ours else f'{statistics.median(pairs):.2f} of {len(pairs)}'} |"
        )
    return "\n".join(lines)
