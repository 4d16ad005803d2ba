"""Read and write safetensors: eight bytes of header length, a JSON header, the tensors' bytes one after another."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_NUMPY = {"F16": "<f2", "F32": "<f4", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: where its bytes are, and what they mean."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    """Bytes from the start of the file."""
    size: int
    """Bytes."""

    def read(self) -> Any:
        """Return the values as float32."""
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            values = np.frombuffer(stream.read(self.size), _NUMPY[self.dtype])
        if self.dtype == "BF16":
            # A bfloat16 is the upper half of a float32.
            values = (values.astype("<u4") << 16).view("<f4")
        return values.astype("<f4").reshape(self.shape)


def open_tensors(file: Path) -> Iterator[Tensor]:
    """Give the tensors of a file; `ValueError` when the file is shorter than its header says."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
        broken = f"Error while deserializing header: incomplete metadata, file not fully covered ({file})"
        if start > size:
            raise ValueError(broken)
        header = json.loads(stream.read(start - 8))
    header.pop("__metadata__", None)
    if start + max(tensor["data_offsets"][1] for tensor in header.values()) != size:
        raise ValueError(broken)
    for name, tensor in header.items():
        first, end = tensor["data_offsets"]
        yield Tensor(name, tensor["dtype"], tuple(tensor["shape"]), file, start + first, end - first)


def bfloat16(values: Any) -> bytes:
    """Return float32 values as bfloat16 bytes, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return bytes(rounded.astype("<u2").tobytes())


def write_tensors(file: Path, tensors: Iterable[tuple[str, tuple[int, ...], bytes]]) -> int:
    """Write bfloat16 tensors (name, shape, bytes). Returns the bytes of all tensors."""
    kept = list(tensors)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape, data in kept:
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + len(data)]}
        end += len(data)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)  # tensors start at a multiple of eight, as the format's own writer does
    with file.open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        for _, _, data in kept:
            stream.write(data)
    return end
