"""One input, tried: how it ended, how long it took, how much memory."""

import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kubectl_modelcar
from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import ModelcarError
from tests.fuzz.mutation import chance_of, mutated

CORPUS = Path(__file__).parent / "corpus"
PROJECT = Path(__file__).resolve().parents[2]
_OURS = [Path(kubectl_modelcar.__file__).parent, Path(puller.__file__), PROJECT / "tests"]  # wherever it is installed
SLOW = 1.0
"""Seconds of this process's CPU for one input; the machine may be busy with other things."""
LARGE = 200 << 20
"""Bytes of memory beyond what this process had before its first input."""
MOST = 1 << 30
"""Bytes of addresses beyond that, after which the system says no: the machine has other things to do, too."""


@dataclass(frozen=True)
class Target:
    """A parser under test. `check` parses bytes and asserts what must hold of the answer."""

    name: str
    check: Callable[[bytes], object]
    generate: Callable[[random.Random], bytes]
    words: tuple[bytes, ...] = ()
    mend: Callable[[random.Random, bytes], bytes] = lambda _, raw: raw
    own: tuple[type[Exception], ...] = ()
    """What its callers document beside the errors that all of the program knows."""


@dataclass(frozen=True)
class Outcome:
    """How an input ended: `place` is the kind of error and where it was raised, `defect` says what should not be."""

    place: str = ""
    defect: str = ""


class TooSlowError(BaseException):
    """The input took its time; no handler of the code under test may catch that."""


def input_of(target: Target, number: int) -> bytes:
    """Return the input: grown from the grammar or a seed, and broken most times."""
    chance = chance_of(target.name, number)
    known = sorted(path for path in (CORPUS / target.name).iterdir() if path.is_file())  # not those in large/
    if known and chance.random() < 1 / 3:
        raw = chance.choice(known).read_bytes()
    else:
        raw = target.generate(chance)
        if chance.random() < 1 / 2:
            return raw
    return target.mend(chance, mutated(chance, raw, target.words))


class Trials:
    """Inputs tried in one process, whose memory is watched from the first on."""

    def __init__(self, target: Target, slow: float = SLOW, large: int = LARGE) -> None:
        self._target, self._slow, self._large = target, slow, large
        _forget_peak()
        self._memory = _peak()
        self._addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MOST

    def run(self, raw: bytes) -> Outcome:
        """Try one input; whatever it does becomes an outcome."""
        outcome = Outcome()
        try:
            with _small(self._addresses), _limited(self._slow):
                self._target.check(raw)
        except (ModelcarError, puller.PullError, *self._target.own) as error:
            outcome = Outcome(_place(error))
            if isinstance(error, puller.PullError) and not (error.message + error.hint).isprintable():
                outcome = Outcome(outcome.place, f"the text of an error is not printable: {error.message!r}")
        except TooSlowError as error:
            text = f"{traceback.format_exc(limit=-4)}it takes more than {self._slow} s"
            outcome = Outcome(_place(error), text)
        except Exception as error:  # noqa: BLE001  what is not ours is what is looked for
            outcome = Outcome(_place(error), traceback.format_exc(limit=-8))
        peak = _peak()
        if peak - self._memory > self._large:
            self._memory, before = peak, self._memory
            outcome = Outcome("memory", f"it takes {(peak - before) >> 20} MiB of memory")
        return outcome


def _place(error: BaseException) -> str:
    """Return the kind of an error and the last line of the project's that it passed."""
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path != Path(__file__) and any(map(path.is_relative_to, _OURS)):
            where = f"{path.name}:{line}"
    return f"{type(error).__name__} {where}"


def _peak() -> int:
    """Return the most memory that this process had since `_forget_peak`, in bytes (proc(5), "VmHWM")."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _forget_peak() -> None:
    """Begin anew: what a process had before may be more than an input takes (proc(5), "clear_refs")."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


@contextmanager
def _small(addresses: int) -> Iterator[None]:
    """Let the system refuse memory beyond that."""
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (addresses, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TooSlowError after so much CPU time; the clock stops for threads of other processes."""
    fired = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal fired
        fired = True
        raise TooSlowError

    before = signal.signal(signal.SIGPROF, stop)
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    if not fired and time.process_time() - started > seconds:
        raise TooSlowError
