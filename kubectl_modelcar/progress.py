"""What a long operation tells whoever watches it; the terminal's side is `kubectl_modelcar.cli`."""

from typing import Protocol


class Progress(Protocol):
    """A watcher of transfers and stages. Calls come from several threads."""

    def begin(self, name: str, total: int) -> None:
        """Announce a transfer of `total` bytes."""

    def advance(self, name: str, amount: int) -> None:
        """Report `amount` more bytes of the transfer `name`."""

    def end(self, name: str, outcome: str) -> None:
        """Report that the transfer `name` is over: "sent", "exists", "received"."""

    def stage(self, name: str, state: str, detail: str = "") -> None:
        """Report that the stage `name` is "waiting", "done" or "failed", and why in `detail`; repeats are allowed."""

    def warn(self, text: str) -> None:
        """Tell the user something that does not stop the operation."""


class Silent:
    """The default watcher: says nothing."""

    def begin(self, name: str, total: int) -> None:
        """Ignore it."""

    def advance(self, name: str, amount: int) -> None:
        """Ignore it."""

    def end(self, name: str, outcome: str) -> None:
        """Ignore it."""

    def stage(self, name: str, state: str, detail: str = "") -> None:
        """Ignore it."""

    def warn(self, text: str) -> None:
        """Ignore it."""
