"""The terminal side of a chat: where an answer appears, and the loop of questions."""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import closing
from typing import TextIO

import click

from kubectl_modelcar.chat import Answer, ChatOptions, Client, Conversation, Delta, Draft, Message, Sanitizer
from kubectl_modelcar.errors import ModelcarError
from kubectl_modelcar.text import one_line

__all__ = ["Repl", "Screen", "answer", "converse", "question_reader"]

_HELP = """\
Enter asks; Alt-Enter begins a new line; pasted text may have several lines.
Ctrl-C stops an answer, and leaves at an empty prompt. Ctrl-D leaves.
/clear  begin a new conversation
/help   show this
/bye    leave
"""


class Screen:
    """Where an answer appears: the text on `out`; the reasoning dim on a terminal, on `err` when `out` is none.

    `raw` leaves the model's text as it is, but never on a terminal.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, *, raw: bool = False) -> None:
        out, err = out or sys.stdout, err or sys.stderr
        terminal = out.isatty()
        plain = not terminal or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._out, self._err = out, err
        self._thinking = _Voice(out if terminal else err, dim=not plain)
        self._speaking = _Voice(out, raw=raw and not terminal)

    def show(self, delta: Delta) -> None:
        """Write what `delta` adds, at once."""
        if delta.reasoning:
            self._thinking.say(delta.reasoning)
        if delta.text:
            self._thinking.end()
            self._speaking.say(delta.text)

    def end(self) -> None:
        """End the line that an answer, or its reasoning, left open."""
        self._thinking.end()
        self._speaking.end()

    def result(self, text: str) -> None:
        """Write a whole result of ours on `out`."""
        _write(self._out, f"{text}\n")

    def note(self, text: str) -> None:
        """Tell the user something on `err`."""
        _write(self._err, f"{text}\n")


class _Voice:
    """One kind of text on one stream."""

    def __init__(self, stream: TextIO, *, dim: bool = False, raw: bool = False) -> None:
        self._stream = stream
        self._dim = dim
        self._raw = raw
        self._sanitizer = Sanitizer()
        self._line_is_open = False

    def say(self, text: str) -> None:
        self._put(text if self._raw else self._sanitizer.feed(text))

    def end(self) -> None:
        if not self._raw:
            self._put(self._sanitizer.finish())
            if self._line_is_open:
                self._put("\n")

    def _put(self, text: str) -> None:
        if text:
            self._line_is_open = not text.endswith("\n")
            _write(self._stream, click.style(text, dim=True) if self._dim else text)


class Repl:
    """Questions and answers until the user leaves; each question is asked with all before it."""

    def __init__(
        self,
        client: Client,
        conversation: Conversation,
        options: ChatOptions,
        *,
        read: Callable[[], str],
        screen: Screen,
    ) -> None:
        self._client = client
        self._conversation = conversation
        self._options = options
        self._read = read
        self._screen = screen

    def run(self) -> None:
        """Talk. Returns on Ctrl-D and /bye; Ctrl-C at an empty prompt raises KeyboardInterrupt."""
        while True:
            try:
                line = self._read().strip()
            except EOFError:
                return
            if line in ("/bye", "/exit", "/quit"):
                return
            if line:
                self._obey(line)

    def _obey(self, line: str) -> None:
        if line == "/clear":
            self._conversation = self._conversation.cleared()
            self._screen.note("(a new conversation)")
        elif line in ("/help", "/?"):
            self._screen.note(_HELP.rstrip())
        elif re.fullmatch(r"/\w+", line):
            # Only a lone word: "/etc/passwd is world-readable, is that bad?" is a question.
            self._screen.note(f"there is no command {line}; /help lists them")
        else:
            self._turn(line)

    def _turn(self, question: str) -> None:
        """Ask, and remember question and answer, or none of both when nothing came: no question stays unanswered."""
        asked = self._conversation.with_user(question)
        draft = Draft()
        try:
            _listen(self._client, asked.messages(), self._options, self._screen, draft)
        except KeyboardInterrupt:
            self._screen.note("(stopped)")
        except ModelcarError as error:
            # One answer failed, the conversation did not: a too long question can be asked again, shorter.
            self._screen.note(f"error: {one_line(error.message)}")
            if error.hint:
                self._screen.note(f"hint: {one_line(error.hint)}")
        if warning := _why_it_ended(draft.finish_reason):
            self._screen.note(warning)
        if draft.text:
            self._conversation = asked.with_answer(draft.text)


def converse(client: Client, conversation: Conversation, options: ChatOptions, screen: Screen) -> None:
    """Talk on the terminal until the user leaves. Errors before the first question are raised."""
    screen.note(f"{one_line(client.model())}: /help shows what can be typed")
    Repl(client, conversation, options, read=question_reader(), screen=screen).run()


def answer(
    client: Client, conversation: Conversation, options: ChatOptions, screen: Screen, *, as_json: bool = False
) -> None:
    """Ask once. The answer appears while it comes; `as_json` writes one object when it is complete."""
    draft = Draft()
    model = client.model()
    _listen(client, conversation.messages(), options, None if as_json else screen, draft)
    if as_json:
        screen.result(_as_json(draft.answer(model)))
    if warning := _why_it_ended(draft.finish_reason):
        screen.note(warning)


def _why_it_ended(finish_reason: str | None) -> str | None:
    """Return the warning for an answer that ended before the model was done."""
    match finish_reason:
        case "length":
            return "warning: the answer ends at the limit of tokens; raise it with --max-tokens"
        case "content_filter":
            return "warning: the server's content filter ended the answer"
        case _:
            return None


def question_reader(prompt: str = ">>> ") -> Callable[[], str]:
    """Return a function that reads a question from the terminal; it raises EOFError and KeyboardInterrupt."""
    # Here and not above: a tenth of a second that an answer to a pipe need not wait for.
    from prompt_toolkit import PromptSession  # noqa: PLC0415
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent  # noqa: PLC0415

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    # A paste keeps its lines and is not asked before Enter: terminals mark it as pasted.
    session: PromptSession[str] = PromptSession(prompt, key_bindings=keys, prompt_continuation="... ")
    return session.prompt


def _listen(client: Client, messages: list[Message], options: ChatOptions, screen: Screen | None, draft: Draft) -> None:
    """Stream one answer into `draft` and onto `screen`; what came before an error or ^C is in both."""
    try:
        # Closing the stream closes the connection, and the server stops computing.
        with closing(client.stream(messages, options)) as deltas:
            for delta in deltas:
                draft.add(delta)
                if screen is not None:
                    screen.show(delta)
    finally:
        if screen is not None:
            screen.end()


def _as_json(answer: Answer) -> str:
    document = dataclasses.asdict(answer)
    for name in ("seconds", "first_token_seconds"):
        if document[name] is not None:
            document[name] = round(document[name], 3)
    # ASCII: the model's text is exact for programs, and harmless on a terminal.
    return json.dumps(document, indent=2)


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
