"""Recorded traffic of a real vLLM as replies of the fake endpoint."""

import json
from pathlib import Path

from tests.fakes.endpoint import Reply, stream, wire

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> Reply:
    """Return the bytes that vLLM sent."""
    return wire((RECORDED / f"{name}.response.http").read_bytes())


def recorded_question(name: str) -> dict:
    """Return the body that was asked."""
    return json.loads((RECORDED / f"{name}.request.http").read_bytes().partition(b"\r\n\r\n")[2])


def engine_died() -> Reply:
    """Return the stream of the killed engine, framed again: curl had taken the chunks apart."""
    body = (RECORDED / "engine-died-mid-stream.txt").read_text().partition("\n\n")[2].partition("curl rc")[0]
    return stream(*(f"{event}\n\n".encode() for event in body.strip().split("\n\n")))
