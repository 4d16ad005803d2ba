"""Run the command line and write down, when it ends, its peak memory and the files that it opened for writing.

Usage: `python -m tests.real.watched REPORT ARGUMENTS...`.
"""

import atexit
import json
import os
import sys
from pathlib import Path

from kubectl_modelcar.cli import main


def _peak() -> int:
    """Return the kernel's high-water mark of this process's memory in bytes."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _watch(report: Path) -> None:
    written = set[str]()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # PEP 578: raised by open(), os.open() and so by all of tempfile; a number is a file that is open already.
        path, _, flags = arguments if event == "open" else (0, "", 0)
        if isinstance(path, str | bytes) and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
            written.add(os.fsdecode(path))

    @atexit.register
    def write() -> None:
        seen = {"peak": _peak(), "written": sorted(written)}
        report.write_text(json.dumps(seen), "utf-8")

    sys.addaudithook(hook)


if __name__ == "__main__":
    _watch(Path(sys.argv.pop(1)))
    main()
