"""What a model, a server or a file name says, made fit for a terminal.

A terminal obeys what it is sent: OSC 52 writes the clipboard, OSC 8 hides where a link goes, CSI repaints lines that
were read already, a carriage return overwrites them, and bidi controls show text in another order than it has
(CVE-2021-42574). Such characters are shown, never sent.
"""

import re

__all__ = ["Sanitizer", "visible"]

# C0 but tab and newline, DEL, C1; Unicode's Bidi_Control property; surrogates, which no encoder takes.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_LONGEST_LINE = 500
"""Characters of foreign text that one line of ours quotes."""


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


def visible(text: str) -> str:
    """Return foreign text as a part of one line of ours: no controls, no line breaks, at most 500 characters."""
    line = " ".join(_shown(text).split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def _shown(text: str) -> str:
    return _OBEYED.sub(_escape, text.replace("\r\n", "\n"))


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"  # noqa: PLR2004  0x100 is Latin-1's end
