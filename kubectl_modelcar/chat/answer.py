"""An answer while it comes, and when it is there."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from kubectl_modelcar.chat.delta import Delta, Usage

__all__ = ["Answer", "Draft"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. The texts are as the model wrote them: not fit for a terminal."""

    model: str
    answer: str
    reasoning: str
    finish_reason: str | None
    usage: Usage | None
    seconds: float
    """From the question to the end of the answer."""
    first_token_seconds: float | None
    """From the question to the first text or reasoning; None when there was neither."""


class Draft:
    """Collects deltas. What came before an interruption is in it too."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._first: float | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    @property
    def text(self) -> str:
        """The answer so far, without the reasoning."""
        return "".join(self._text)

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None when it did not."""
        return self._finish_reason

    def add(self, delta: Delta) -> None:
        """Take in the next piece."""
        if self._first is None and (delta.text or delta.reasoning):
            self._first = self._clock() - self._begun
        self._text.append(delta.text)
        self._reasoning.append(delta.reasoning)
        self._finish_reason = delta.finish_reason or self._finish_reason
        self._usage = delta.usage or self._usage

    def answer(self, model: str) -> Answer:
        """Return what was collected as the answer of `model`."""
        return Answer(
            model=model,
            answer=self.text,
            reasoning="".join(self._reasoning),
            finish_reason=self._finish_reason,
            usage=self._usage,
            seconds=self._clock() - self._begun,
            first_token_seconds=self._first,
        )
