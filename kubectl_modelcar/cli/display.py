"""Progress on stderr: bars on a terminal, a line a change elsewhere, or JSON lines."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from kubectl_modelcar.cli.output import human_bytes
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.text import one_line

_LINE_EVERY = 30.0  # seconds between heartbeats of one transfer, off a terminal
_QUIET = 2.0  # seconds in which no second line of one transfer is worth reading
_MARKS = {"done": "✓", "failed": "✗", "waiting": "…"}
_ASCII_MARKS = {"done": "ok", "failed": "failed", "waiting": "..."}


@contextmanager
def open_display(mode: str, color: str = "auto", stream: TextIO | None = None) -> Iterator[Progress]:
    """Yield the Progress that `mode` ("auto", "plain", "json", "none") and the stream call for."""
    stream = stream or sys.stderr
    if mode == "none":
        yield Silent()
    elif mode == "json":
        yield _JsonLines(stream)
    elif mode == "plain" or not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield _PlainLines(stream)
    else:
        from kubectl_modelcar.cli.bars import Bars  # noqa: PLC0415  rich, for terminals only

        with Bars(stream, color) as bars:
            yield bars


class _PlainLines:
    """One line a change, no cursor movement."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._transfers: dict[str, _Transfer] = {}
        self._stages: dict[str, tuple[str, str]] = {}
        encoding = (stream.encoding or "ascii").lower()
        self._marks = _MARKS if encoding.startswith("utf") else _ASCII_MARKS

    def begin(self, name: str, total: int) -> None:
        with self._lock:
            self._transfers[name] = _Transfer(total)

    def advance(self, name: str, amount: int) -> None:
        with self._lock:
            transfer = self._transfers.get(name)
            if transfer and transfer.is_due(amount):
                self._write(f"{name}: {human_bytes(transfer.done)} of {human_bytes(transfer.total)}")

    def end(self, name: str, outcome: str) -> None:
        with self._lock:
            transfer = self._transfers.pop(name, None) or _Transfer(0)
            self._write(f"{name}: {outcome} ({human_bytes(transfer.total)}, {transfer.seconds():.1f} s)")

    def stage(self, name: str, state: str, detail: str = "") -> None:
        with self._lock:
            if self._stages.get(name) != (state, detail):
                self._stages[name] = (state, detail)
                self._write(f"{self._marks.get(state, state)} {name}" + (f": {detail}" if detail else ""))

    def warn(self, text: str) -> None:
        with self._lock:
            self._write(f"warning: {text}")

    def _write(self, line: str) -> None:
        self._stream.write(one_line(line) + "\n")
        self._stream.flush()


class _JsonLines:
    """One JSON object a change."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._transfers: dict[str, _Transfer] = {}

    def begin(self, name: str, total: int) -> None:
        self._transfers[name] = _Transfer(total)
        self._write(event="begin", name=name, bytes=total)

    def advance(self, name: str, amount: int) -> None:
        transfer = self._transfers.get(name)
        if transfer and transfer.is_due(amount):
            self._write(event="progress", name=name, done=transfer.done, bytes=transfer.total)

    def end(self, name: str, outcome: str) -> None:
        self._write(event="end", name=name, outcome=outcome)

    def stage(self, name: str, state: str, detail: str = "") -> None:
        self._write(event="stage", name=name, state=state, detail=detail)

    def warn(self, text: str) -> None:
        self._write(event="warning", text=text)

    def _write(self, **event: str | float) -> None:
        with self._lock:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()


class _Transfer:
    """How far one transfer is, and when to speak of it: every tenth, and every half minute."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._started = self._spoke = time.monotonic()
        self._next = total / 10

    def is_due(self, amount: int) -> bool:
        """Count `amount` more bytes and tell whether to speak of it."""
        self.done += amount
        now = time.monotonic()
        quiet = now - self._spoke
        due = self.done < self.total and quiet >= _QUIET and (self.done >= self._next or quiet >= _LINE_EVERY)
        if due:
            self._spoke, self._next = now, self.done + self.total / 10
        return due

    def seconds(self) -> float:
        return time.monotonic() - self._started
