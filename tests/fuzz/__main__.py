"""Run many inputs on each parser, or one again: `python -m tests.fuzz [PARSER [NUMBER | FILE]]`."""

import argparse
import faulthandler
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from kubectl_modelcar.text import one_line
from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import Outcome, Trials, input_of

CHUNK = 2500
"""Inputs that one process tries in a row; small enough that the processes end together."""
STUCK = 120
"""Seconds after which a chunk that makes no progress is killed: C code that hangs hears no signal."""


@dataclass
class Tally:
    """What came of some inputs."""

    inputs: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    defects: dict[int, Outcome] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Count another tally in."""
        self.inputs += other.inputs
        self.seconds += other.seconds
        self.errors += other.errors
        self.defects |= other.defects


def tried(name: str, start: int, stop: int) -> Tally:
    """Try the inputs of these numbers in this process."""
    target = TARGETS[name]
    trials, tally, began = Trials(target), Tally(), time.monotonic()
    for number in range(start, stop):
        if number % 100 == 0:
            faulthandler.dump_traceback_later(STUCK, exit=True)
        outcome = trials.run(input_of(target, number))
        tally.inputs += 1
        if outcome.defect:
            tally.defects[number] = outcome
        elif outcome.place:
            tally.errors[outcome.place] += 1
    faulthandler.cancel_dump_traceback_later()
    tally.seconds = time.monotonic() - began
    return tally


def run(name: str, inputs: int, jobs: int) -> Tally:
    """Try so many inputs on a parser, in several processes."""
    tally, began = Tally(), time.monotonic()
    with ProcessPoolExecutor(jobs, max_tasks_per_child=None) as pool:
        chunks = [pool.submit(tried, name, at, min(at + CHUNK, inputs)) for at in range(0, inputs, CHUNK)]
        for at, chunk in enumerate(chunks):
            try:
                tally.add(chunk.result())
            except BrokenProcessPool:
                tally.defects[at * CHUNK] = Outcome(
                    "died", "a process died: an input from this number on hangs or kills it"
                )
                break
    tally.seconds = time.monotonic() - began
    return tally


def report(name: str, tally: Tally) -> None:
    """Print a parser's line, and its first defects of each kind with the command that repeats them."""
    failed = f"  {len(tally.defects)} DEFECTS" if tally.defects else ""
    line = f"{name:<18}{tally.inputs:>8} inputs {len(tally.errors):>4} distinct errors {tally.seconds:>7.1f} s{failed}"
    print(line, flush=True)  # noqa: T201
    kinds = Counter(outcome.place for outcome in tally.defects.values())
    for number, outcome in sorted(tally.defects.items()):
        if outcome.place in kinds:
            what = one_line(outcome.defect.strip().rpartition("\n")[2], 160)
            print(f"  {kinds.pop(outcome.place)} times: {what} ({outcome.place})")  # noqa: T201
            print(f"    again: python -m tests.fuzz {name} {number}")  # noqa: T201


def again(name: str, which: str) -> int:
    """Try one input, by its number or from a file; show it and what came of it."""
    target = TARGETS[name]
    raw = input_of(target, int(which)) if which.isdecimal() else Path(which).read_bytes()
    sys.stdout.write(f"{len(raw)} bytes: {raw[:600]!r}\n")
    outcome = Trials(target).run(raw)
    sys.stdout.write(f"{outcome.defect or outcome.place or 'accepted'}\n")
    return bool(outcome.defect)


def main() -> int:
    """Run what the command line says; return 1 if there was a defect."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("parser", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("which", nargs="?", help="an input: its number, or a file")
    parser.add_argument("--inputs", type=int, default=100_000, help="on each parser")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the input there instead of trying it")
    options = parser.parse_args()
    if options.write and options.which:
        options.write.write_bytes(input_of(TARGETS[options.parser], int(options.which)))
        return 0
    if options.which:
        return again(options.parser, options.which)
    failed = False
    for name in [options.parser] if options.parser else TARGETS:
        tally = run(name, options.inputs, options.jobs)
        report(name, tally)
        failed = failed or bool(tally.defects)
    return int(failed)


if __name__ == "__main__":
    os.environ.clear()  # as the tests are sealed: no proxies, no credential helpers; and it is read for each request
    os.environ["HOME"] = os.environ["PATH"] = "/nonexistent"
    sys.exit(main())
