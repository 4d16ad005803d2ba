"""Foreign text (of registries, pods, models, file names), made fit for a terminal.

A terminal obeys what it is sent: OSC 52 writes the clipboard, OSC 8 hides where a link goes, CSI repaints lines that
were read already, a carriage return overwrites them, and bidi controls show text in another order than it has
(CVE-2021-42574). Such characters are shown, never sent.
"""

import re

__all__ = ["escaped", "one_line", "redacted"]

# C0 but tab and newline, DEL, C1; Unicode's Bidi_Control property; surrogates, which no encoder takes.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_QUERY = re.compile(r"\?[\w.~%-]+=[^\s'\"<>]*")
_USERINFO = re.compile(r"(\w://)[^\s/@'\"]+@")
_CREDENTIAL = re.compile(r"\b(Basic|Bearer) [\w.~+/=-]{8,}")
_LATIN_1_END = 0x100
_LONGEST = 500


def escaped(text: str) -> str:
    r"""Return `text` with the characters that a terminal obeys shown, as `\x1b`; newlines and tabs stay."""
    return _OBEYED.sub(_escape, text)


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Return `text` as a part of one line of ours: no controls, no line breaks, at most `longest` characters."""
    line = " ".join(escaped(text.replace("\r\n", "\n")).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def redacted(text: str) -> str:
    """Return `text` without what other programs' errors tell of URLs and headers: queries, passwords, credentials.

    A query may be a signature (S3, GCS, Azure) or a registry's `_state`.
    """
    return _CREDENTIAL.sub(r"\1 …", _USERINFO.sub(r"\1…@", _QUERY.sub("?…", text)))


def _escape(match: re.Match[str]) -> str:
    point = ord(match[0])
    return f"\\x{point:02x}" if point < _LATIN_1_END else f"\\u{point:04x}"
