"""The list of models that a server serves."""

import json
from dataclasses import dataclass

__all__ = ["Model", "read_models"]


@dataclass(frozen=True, slots=True)
class Model:
    """A name to ask under."""

    id: str


def read_models(body: bytes) -> list[Model] | None:
    """Read the body of `GET /v1/models`; None when it is something else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        return None
    return [Model(entry["id"]) for entry in data if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
