"""One event of a streamed answer.

The fields are those of the OpenAI API's `chat.completion.chunk`, read as vLLM 0.32.0, llama.cpp and their gateways
write them: each may be missing or null.
"""

import json
from dataclasses import dataclass

from kubectl_modelcar.text import one_line

__all__ = ["BrokenAnswer", "Delta", "ErrorEvent", "Usage", "is_completion", "read_event"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the server counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Delta:
    """What one event adds to the answer; `finish_reason` and `usage` come once, near the end."""

    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error inside a stream whose status was 200 already: an engine that died sends this."""

    body: object
    """The event's JSON, of one of the shapes that `kubectl_modelcar.chat.refusal` reads."""


class BrokenAnswer(Exception):
    """A stream that is no whole chat answer. The text says in what, and is fit for a terminal."""


def read_event(data: str, kind: str = "message") -> Delta | ErrorEvent:
    """Read an event's data. Raises BrokenAnswer."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        if kind == "error":
            return ErrorEvent(data)
        # ValueError is also a number of 5,000 digits, RecursionError 100,000 brackets.
        raise BrokenAnswer(f"it sent an event that is not JSON: {one_line(data[:80])}") from error
    if not isinstance(event, dict):
        raise BrokenAnswer(f"it sent an event that is not a JSON object: {one_line(data[:80])}")
    if event.get("error") or kind == "error":
        return ErrorEvent(event)
    return _delta(event)


def is_completion(body: bytes) -> bool:
    """Tell whether `body` is an OpenAI `text_completion`: a first choice with a text, which may be empty."""
    try:
        event = json.loads(body)
        choice = _first_choice(event.get("choices")) if isinstance(event, dict) else {}
    except (ValueError, RecursionError, BrokenAnswer):
        return False
    return isinstance(choice.get("text"), str)


def _delta(event: dict[str, object]) -> Delta:
    choice = _first_choice(event.get("choices"))
    said = choice.get("delta")
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise BrokenAnswer("it sent an event whose delta is not an object")
    return Delta(
        text=_text(said.get("content")),
        # vLLM renamed reasoning_content to reasoning in 2025; llama.cpp and gateways still send the old name.
        reasoning=_text(said.get("reasoning") or said.get("reasoning_content")),
        finish_reason=_text(choice.get("finish_reason")) or None,
        usage=_usage(event.get("usage")),
    )


def _first_choice(choices: object) -> dict[str, object]:
    """Return the first choice; the event with the usage has none. More than one is never asked for."""
    if choices is None or choices == []:
        return {}
    if isinstance(choices, list) and isinstance(choices[0], dict):
        return choices[0]
    raise BrokenAnswer("it sent an event whose choices are not a list of objects")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # JSON can write half a surrogate pair; no encoding can, so the next question could not repeat it.
        return value.encode("utf-8", "replace").decode()
    raise BrokenAnswer("it sent an event with something other than text where text belongs")


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(prompt, completion, prompt + completion)
