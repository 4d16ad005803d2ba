"""Progress on a terminal."""

import os
import threading
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from kubectl_modelcar.text import one_line

_MARKS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "waiting": "[yellow]…[/]"}


class Bars:
    """A bar a transfer and a line a finished stage; the stage that is waited for stays live at the bottom."""

    def __init__(self, stream: TextIO, color: str) -> None:
        plain = color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))
        self._console = Console(file=stream, no_color=plain, highlight=False)
        self._progress = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._live: TaskID | None = None
        self._stages: dict[str, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self  # the live area begins with what there is to show

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, name: str, total: int) -> None:
        """Show a bar, or set the one there is back to its start."""
        with self._lock:
            self._progress.start()
            if name in self._tasks:
                self._progress.reset(self._tasks[name], total=total)
            else:
                self._tasks[name] = self._progress.add_task(_safe(name), total=total)

    def advance(self, name: str, amount: int) -> None:
        """Move the bar."""
        task = self._tasks.get(name)
        if task is not None:  # two transfers of one name end once
            self._progress.advance(task, amount)

    def end(self, name: str, outcome: str) -> None:
        """Replace the bar by a line above the others."""
        with self._lock:
            task = self._tasks.pop(name, None)
            if task is not None:
                self._progress.remove_task(task)
                self._progress.refresh()  # now, or the bar of something finished stays on the screen
            self._console.print(f"{_MARKS['done']} {_safe(name)} [dim]{outcome}[/]")

    def stage(self, name: str, state: str, detail: str = "") -> None:
        """Print what is over; keep what is waited for live."""
        with self._lock:
            if self._stages.get(name) == (state, detail):
                return
            self._stages[name] = (state, detail)
            line = f"{_MARKS.get(state, state)} {_safe(name)}" + (f" [dim]{_safe(detail)}[/]" if detail else "")
            if self._live is not None:
                self._progress.remove_task(self._live)
                self._live = None
            if state == "waiting":
                self._progress.start()
                self._live = self._progress.add_task(line, total=None)
            else:
                self._console.print(line)

    def warn(self, text: str) -> None:
        """Print a warning above the bars."""
        self._console.print(f"[yellow]warning:[/] {_safe(text)}")


def _safe(text: str) -> str:
    return escape(one_line(text))
