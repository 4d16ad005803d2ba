"""Transfers side by side: they all stop as soon as one fails, and each is told to whoever watches."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import count
from typing import Self, TypeVar

from kubectl_modelcar.image import Chunk, Content
from kubectl_modelcar.progress import Progress

_A = TypeVar("_A")
_B = TypeVar("_B")


class Transfers:
    """Up to `jobs` transfers at a time. When the block is left by an error, `ends` end what waits on the network."""

    def __init__(self, *ends: Callable[[], None], progress: Progress, jobs: int) -> None:
        self._ends, self._progress = ends, progress
        self._pool = ThreadPoolExecutor(jobs)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        if kind is not None:
            for end in self._ends:
                end()
        self._pool.shutdown(cancel_futures=True)

    def run(self, work: Callable[[_A], _B], items: Sequence[_A]) -> list[_B]:
        """Return what `work` makes of each item, in their order; or raise the first error."""
        futures = [self._pool.submit(work, item) for item in items]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future in done and (error := future.exception()):
                raise error
        return [future.result() for future in futures]

    def watched(self, content: Content) -> Content:
        """Return the same content, told as it goes, and ended when another transfer has failed."""
        return _Watched(content, self._progress, self.check, count())

    def check(self) -> None:
        """End the work of this thread, if it is no longer wanted."""
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):
    """Ends a worker whose work is no longer wanted."""


@dataclass(frozen=True, slots=True)
class _Watched:
    content: Content
    progress: Progress
    check: Callable[[], None]
    times: Iterator[int]
    """How often bytes were asked for: what was begun is begun anew when they are asked for again."""

    @property
    def name(self) -> str:
        return self.content.name

    @property
    def size(self) -> int:
        return self.content.size

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        if next(self.times):
            self.progress.begin(self.name, self.size)
            self.progress.advance(self.name, start)
        for chunk in self.content.chunks(start):
            self.check()
            yield chunk
            self.progress.advance(self.name, len(chunk))
