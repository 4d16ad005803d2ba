"""Text made fit for a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_modelcar.chat import Sanitizer
from kubectl_modelcar.text import one_line

BIDI_CONTROLS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
HOSTILE = st.text(
    st.one_of(st.characters(exclude_categories=()), st.sampled_from("\x1b\x07\x08\r\n\t\x9b\x9d\u202ea[];"))
)


def sanitized(*chunks):
    sanitizer = Sanitizer()
    return "".join([*map(sanitizer.feed, chunks), sanitizer.finish()])


def obeyed(text):
    """Return the characters of `text` that a terminal would act on, by Unicode's own tables."""
    return {c for c in text if c not in "\n\t" and (unicodedata.category(c) in ("Cc", "Cs") or c in BIDI_CONTROLS)}


class TestSanitizer:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m", id="CSI: colour"),
            pytest.param("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H", id="CSI: clear the screen"),
            pytest.param("\x9b31m", "\\x9b31m", id="CSI as C1"),
            pytest.param("\x1b]52;c;cm0=\x07", "\\x1b]52;c;cm0=\\x07", id="OSC 52: write the clipboard"),
            pytest.param("\x9d52;c;cm0=\x9c", "\\x9d52;c;cm0=\\x9c", id="OSC as C1"),
            pytest.param(
                "\x1b]8;;http://evil\x1b\\bank\x1b]8;;\x1b\\",
                "\\x1b]8;;http://evil\\x1b\\bank\\x1b]8;;\\x1b\\",
                id="OSC 8: link",
            ),
            pytest.param("\x1bP1$r\x1b\\", "\\x1bP1$r\\x1b\\", id="DCS"),
            pytest.param("safe\rrm -rf", "safe\\x0drm -rf", id="CR"),
            pytest.param("ab\b\bxy", "ab\\x08\\x08xy", id="backspace"),
            pytest.param("a\x7f\0b", "a\\x7f\\x00b", id="DEL and NUL"),
            pytest.param("user\u202enimda", "user\\u202enimda", id="bidi override"),
            pytest.param("\u2066a\u2069", "\\u2066a\\u2069", id="bidi isolate"),
            pytest.param("half \ud83d", "half \\ud83d", id="half a surrogate pair"),
            pytest.param("one\r\ntwo\n", "one\ntwo\n", id="CR LF is a newline"),
            pytest.param("tab\tand\nnewline", "tab\tand\nnewline", id="tab and newline stay"),
            pytest.param("Grüße, 世界 👩‍🚀", "Grüße, 世界 👩‍🚀", id="all languages, joined emoji"),
        ],
    )
    def test_shows_what_a_terminal_would_obey(self, text, expected):
        """Each way to act on a terminal is shown as characters, and text stays as it is."""
        assert sanitized(text) == expected

    def test_a_sequence_cut_in_two_stays_harmless(self):
        """The escape and its parameters may come in two chunks."""
        assert sanitized("a\x1b", "[31mb") == "a\\x1b[31mb"

    def test_a_newline_cut_in_two_is_one_newline(self):
        """The CR of a CR LF waits for the next chunk, and a lone one is shown at the end."""
        assert sanitized("a\r", "\nb", "\r") == "a\nb\\x0d"

    @given(HOSTILE)
    def test_nothing_that_a_terminal_obeys_gets_through(self, text):
        """The output holds no C0 but tab and newline, no C1, no bidi control, no surrogate."""
        assert obeyed(sanitized(text)) == set()

    @given(st.lists(HOSTILE))
    def test_chunks_do_not_matter(self, chunks):
        """Text gives the same output however it is cut."""
        assert sanitized(*chunks) == sanitized("".join(chunks))


class TestVisible:
    def test_is_one_line(self):
        """Foreign text cannot break a line of ours."""
        assert one_line("first\r\n\tsecond\x1b[K") == "first second\\x1b[K"

    def test_is_short(self):
        """Five hundred characters of foreign text are enough."""
        assert one_line("a" * 1000) == "a" * 499 + "…"
