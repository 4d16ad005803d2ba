"""Text that pods, events and other programs wrote, made fit for one line of a terminal."""

import re

__all__ = ["plain"]

# C0, DEL and C1 controls, which terminals obey; bidi controls, which show text in another order than it has.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONGEST = 400


def plain(text: str) -> str:
    """Return `text` as one line of at most 400 characters in which nothing acts on a terminal."""
    line = _OBEYED.sub(_escape, " ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"  # noqa: PLR2004  Latin-1 ends there
