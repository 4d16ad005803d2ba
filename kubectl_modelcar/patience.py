"""How long to go on after failures that may pass: the same for a registry and for the Hub.

The puller has its own: it must stand alone in a pod. Back-off is exponential with full jitter, as in "Exponential
Backoff And Jitter" (AWS Architecture Blog, 2015); Retry-After is RFC 9110's (10.2.3).
"""

import email.utils
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from kubectl_modelcar.errors import NetworkGaveUp

TRANSIENT = frozenset({408, 425, 429, 499, 500, 502, 503, 504, 522})
"""HTTP statuses that another attempt may cure; 499 and 522 are what nginx and Cloudflare say of servers behind them."""

_T = TypeVar("_T")


class MayPass(NetworkGaveUp):
    """A failure that may pass; `wait` is how many seconds the server asks to wait, None when it does not."""

    def __init__(self, message: str, hint: str, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


class Patience:
    """Attempts at one host, by all threads that talk to it: who is told to wait makes the others wait, too.

    `attempts` in a row are made with less than `refill` bytes of progress between them. Without a Retry-After the wait
    is random, up to base * 2**n seconds and at most `cap`; a Retry-After of more than `longest` seconds is not waited
    for.
    """

    def __init__(
        self,
        attempts: int = 6,
        *,
        base: float = 0.5,
        cap: float = 30.0,
        longest: float = 300.0,
        refill: int = 16 * 2**20,
    ) -> None:
        self.attempts, self.base, self.cap, self.longest, self.refill = attempts, base, cap, longest, refill
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._not_before = 0.0  # time.monotonic()

    def persist(self, attempt: Callable[[], _T]) -> _T:
        """Return what `attempt` returns, after as many attempts as are worth it; raise its last error."""
        tries = Tries(self)
        while True:
            self.ready()
            try:
                return attempt()
            except MayPass as error:
                tries.failed(error)

    def ready(self) -> None:
        """Wait until the host may be asked again."""
        while not self._stopped.is_set() and (left := self._not_before - time.monotonic()) > 0:
            self.pause(left)

    def hold(self, seconds: float) -> None:
        """Let nobody ask the host for so long."""
        with self._lock:  # of two waits that are asked for at once the longer one counts
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def pause(self, seconds: float) -> bool:
        """Wait, and tell whether everything was stopped meanwhile."""
        return self._stopped.wait(seconds)

    def stop(self) -> None:
        """End all waits: what they are for is no longer wanted."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()


class Tries:
    """How often one piece of work failed in a row."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failed = self._progress = 0

    def progressed(self, amount: int) -> None:
        """Hear of `amount` bytes that the other side has confirmed; enough of them, and all attempts are left again."""
        self._progress += amount
        if self._progress >= self._patience.refill:
            self._failed = self._progress = 0

    def failed(self, error: MayPass) -> None:
        """Wait before the next attempt.

        Raises `error`, with the number of attempts, when it was the last one or the server asks to wait too long.
        """
        self._failed += 1
        if self._failed >= self._patience.attempts:
            error.args = (f"{error.message}, {self._failed} times in a row",)
            error.message = error.args[0]
            raise error
        if error.wait is not None:
            if error.wait > self._patience.longest:
                error.hint = f"it asks to wait {error.wait:.0f} s: try again then"
                raise error
            self._patience.hold(error.wait)
        limit = min(self._patience.cap, self._patience.base * 2 ** (self._failed - 1))
        seconds = random.uniform(0, limit) if error.wait is None else error.wait  # noqa: S311  jitter, no secret
        if self._patience.pause(seconds):
            raise error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that Retry-After asks to wait, or None; a date counts from the server's own clock."""
    wanted = headers.get("Retry-After", "").strip()
    if wanted.isdecimal():
        return float(wanted[:9])
    at = email.utils.parsedate_tz(wanted)
    if at is None:
        return None
    sent = email.utils.parsedate_tz(headers.get("Date", ""))
    try:
        now = email.utils.mktime_tz(sent) if sent else time.time()
        return max(0.0, float(email.utils.mktime_tz(at) - now))
    except (ValueError, OverflowError):
        return None
