"""Safetensors files for tests, made byte by byte: the format is the test's own word, not a library's."""

import json
import random
from collections.abc import Mapping
from typing import Any


def safetensors(header: Mapping[str, Any] | bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a file with this header (JSON or raw) and these bytes of tensors; `length` overrides the true one."""
    raw = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return (len(raw) if length is None else length).to_bytes(8, "little") + raw + body


def tensor(start: int, stop: int, dtype: str = "U8", shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Return the header's entry of a tensor; its shape is flat unless given."""
    return {"dtype": dtype, "shape": [stop - start] if shape is None else list(shape), "data_offsets": [start, stop]}


def weights(size: int, seed: int = 0) -> bytes:
    """Return a good file of exactly `size` bytes (at least 100), different for each seed."""
    for body in range(size - 8 - len('{"w":{"dtype":"U8","shape":[],"data_offsets":[0,]}}'), 0, -1):
        made = safetensors({"w": tensor(0, body)})
        if len(made) + body <= size:
            padding = b" " * (size - len(made) - body)  # the format allows spaces after the header
            header = made[8:] + padding
            return safetensors(header, random.Random(seed).randbytes(body))  # noqa: S311  bytes that do not compress
    raise AssertionError(f"no safetensors file is as small as {size} bytes")


def index(*shards: str) -> bytes:
    """Return a safetensors index that names these shards."""
    weight_map = {f"layer.{number}": shard for number, shard in enumerate(shards)}
    return json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()
