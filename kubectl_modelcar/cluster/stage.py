"""One stage of a release."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Stage"]


@dataclass(frozen=True, slots=True)
class Stage:
    """How far one part of an installation is. Texts are fit for a terminal."""

    name: str
    state: Literal["pending", "waiting", "done", "failed"]
    """Pending: an earlier stage is not done yet."""
    detail: str = ""
    hint: str | None = None
    patience: float = 0.0
    """Seconds that this failure may last before it is final: something else tries it again meanwhile."""
