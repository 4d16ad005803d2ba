"""Measure ours beside its peers: `python -m benchmarks [push] [hub] [unchanged] [pull] [memory]`, all without a name.

Prints the Markdown tables of README.md. Needs Linux, curl, the tools of `make tools`,
and a package index for two of the peers.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import hub, memory, pull, push, unchanged
from benchmarks.parts import Settings, machine

CASES = {
    "push": ("Push a folder", push.measure),
    "hub": ("Push from the Hub", hub.measure),
    "unchanged": ("Push again what has not changed", unchanged.measure),
    "pull": ("Pull", pull.measure),
    "memory": ("Memory and temporary disk", memory.measure),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.split("\n", 1)[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small models: whether it works, not how fast it is")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "modelcar-bench"), help="on a disk")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm/modelcar-bench"), help="in memory")  # noqa: S108
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], help="another checkout of ours, measured too"
    )
    given = parser.parse_args(arguments)
    if unknown := set(given.cases) - CASES.keys():
        parser.error(f"no such case: {', '.join(sorted(unknown))}; choose from {', '.join(CASES)}")
    beside = tuple(place.resolve() for place in given.beside)
    settings = Settings(given.runs, given.quick, given.work.resolve(), given.memory.resolve(), beside)
    for folder in (settings.work, settings.memory):
        folder.mkdir(parents=True, exist_ok=True)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    say(f"{machine()}; load average at the start {load}.")
    for name in given.cases or CASES:
        title, measure = CASES[name]
        say(f"## {title}")
        for part in measure(settings):
            say(part)


def say(text: str) -> None:
    """Print a paragraph at once: a run takes minutes."""
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
