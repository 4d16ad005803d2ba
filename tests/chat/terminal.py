"""A program on a terminal, seen as a person sees it: a real pty, and an emulator that draws what the program sends."""

import os
import time

import pexpect
import pyte

LINES, COLUMNS = 40, 400

LIMIT = 20
"""Seconds after which something that should appear is given up."""


class Terminal:
    """A terminal with one program on it; so wide that no error has to be wrapped."""

    def __init__(self, argv, **environment):
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self._screen)
        self.sent = b""
        self._child = pexpect.spawn(
            argv[0],
            argv[1:],
            # The emulator does not answer questions about the cursor, which prompt_toolkit would wait for.
            env={**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **environment},
            dimensions=(LINES, COLUMNS),
        )
        self._child.delaybeforesend = None

    @property
    def transcript(self):
        """What is on the screen, without the empty lines after it."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def type(self, keys):
        """Press these keys."""
        self._child.send(keys)

    def paste(self, text):
        """Paste a text, which terminals mark as pasted (bracketed paste)."""
        self._child.send(f"\x1b[200~{text}\x1b[201~")

    def wait_for(self, seen):
        """Wait until the transcript ends with `seen`."""
        self.until(lambda transcript: transcript.endswith(seen), repr(seen))

    def until(self, seen, what="something else"):
        """Wait until `seen` holds for the transcript."""
        ends = time.monotonic() + LIMIT
        while not seen(self.transcript):
            assert time.monotonic() < ends, f"waited for {what}, and the screen was:\n{self.transcript}"
            self._read(0.05)

    def end(self):
        """Wait for the end of the program and return its exit code."""
        ends = time.monotonic() + LIMIT
        while self._read(0.05):
            assert time.monotonic() < ends, f"the program goes on, and the screen is:\n{self.transcript}"
        self._child.close()
        return self._child.exitstatus

    def _read(self, seconds):
        """Draw what the program sent; False when it has ended."""
        try:
            data = self._child.read_nonblocking(65536, seconds)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.sent += data
        self._stream.feed(data)
        return True
