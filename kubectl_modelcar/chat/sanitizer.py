"""A model's streamed text, made fit for a terminal."""

from kubectl_modelcar.text import escaped

__all__ = ["Sanitizer"]


class Sanitizer:
    r"""Turn streamed text into text that no terminal obeys: ESC becomes the four characters `\x1b`.

    Only a pair of carriage return and newline needs memory between chunks (it is a newline, cut or not): each
    other control is shown by itself, so a sequence that is cut in two stays harmless in both parts.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, chunk: str) -> str:
        """Return what can be shown of everything fed so far and not shown yet."""
        text = self._held + chunk
        self._held = "\r" if text.endswith("\r") else ""
        return _shown(text.removesuffix(self._held))

    def finish(self) -> str:
        """Return what was held back."""
        held, self._held = self._held, ""
        return _shown(held)


def _shown(text: str) -> str:
    return escaped(text.replace("\r\n", "\n"))
