"""What was said so far."""

from dataclasses import dataclass, replace
from typing import Literal, TypedDict

__all__ = ["Conversation", "Message", "Turn"]


class Message(TypedDict):
    """One message, as the OpenAI chat API writes it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A system prompt and the turns after it. Reasoning is no part of it: templates refuse or misread it."""

    system: str | None = None
    turns: tuple[Turn, ...] = ()

    def with_user(self, text: str) -> "Conversation":
        """Return this conversation after the user said `text`."""
        return replace(self, turns=(*self.turns, Turn("user", text)))

    def with_answer(self, text: str) -> "Conversation":
        """Return this conversation after the model answered `text`."""
        return replace(self, turns=(*self.turns, Turn("assistant", text)))

    def cleared(self) -> "Conversation":
        """Return a new conversation under the same system prompt."""
        return replace(self, turns=())

    def messages(self) -> list[Message]:
        """Return it as the chat API takes it, the system prompt first."""
        said = [Message(role=turn.role, content=turn.text) for turn in self.turns]
        return said if self.system is None else [Message(role="system", content=self.system), *said]
