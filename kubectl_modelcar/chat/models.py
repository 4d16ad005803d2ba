"""The list of models that a server serves."""

import json
from dataclasses import dataclass

__all__ = ["Model", "read_models"]


@dataclass(frozen=True, slots=True)
class Model:
    """A name to ask under."""

    id: str
    max_context: int | None = None
    """Tokens that question and answer may have together; None when the server does not say."""


def read_models(body: bytes) -> list[Model] | None:
    """Read the body of `GET /v1/models`; None when it is something else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return None
    # `max_model_len` is vLLM's own field.
    return [
        Model(entry["id"], length if isinstance(length := entry.get("max_model_len"), int) else None)
        for entry in data
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    ]
