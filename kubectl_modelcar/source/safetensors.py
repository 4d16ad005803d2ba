"""The header of a safetensors file, checked without reading a tensor.

Format: 8 bytes little-endian header length, a JSON object, then the tensors' bytes without holes
(huggingface/safetensors, README "Format"; the 100 MB limit is its MAX_HEADER_SIZE).
"""

import json
from collections.abc import Callable
from typing import Any

from kubectl_modelcar.errors import IntegrityFailure

MAX_HEADER = 100_000_000
PARSED = 4 * 2**20  # bytes of a header that are worth ten times as much memory; those of known models have kilobytes
PREFIX = 8
_MAX_LENGTH = 1 << 64  # of a dimension; a usize there
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    "F4": 4,
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
}


def check_header(name: str, size: int, read: Callable[[int, int], bytes]) -> None:
    """Check the header of the file `name` of `size` bytes; `read(offset, length)` returns bytes of it.

    Raises IntegrityFailure saying what is wrong: cut, overlapping, beyond the end, not JSON.
    """
    prefix = read(0, PREFIX)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < PREFIX or length > min(MAX_HEADER, size - PREFIX):
        raise _broken(name, f"its header would be {length} bytes of {size}")
    if length > PARSED:
        return  # the loader will look at it; several of them at once must not fill this machine
    try:
        header = json.loads(read(PREFIX, length))
        spans = sorted(_span(tensor, entry) for tensor, entry in header.items() if tensor != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(name, f"its header is not the JSON that it should be ({type(error).__name__})") from error
    end = 0
    for start, stop, tensor in spans:
        if start != end:
            raise _broken(name, f"tensor {tensor!r} starts at {start} where {end} was expected")
        end = stop
    if PREFIX + length + end != size:
        raise _broken(name, f"its tensors end at {PREFIX + length + end} of {size} bytes")


def _span(tensor: str, entry: dict[str, Any]) -> tuple[int, int, str]:
    start, stop = entry["data_offsets"]
    bits, shape = _BITS.get(entry["dtype"]), entry["shape"]
    if not all(isinstance(length, int) and 0 <= length < _MAX_LENGTH for length in shape):
        raise TypeError(tensor)  # not only a wrong product: Python multiplies lists, too
    count = 1
    for length in shape:
        count *= length
        if count >= _MAX_LENGTH:  # as the format's own reader says; a product of 200,000 lengths takes minutes
            raise ValueError(tensor)
    if not all(isinstance(place, int) and 0 <= place < _MAX_LENGTH for place in (start, stop)):
        raise TypeError(tensor)
    if stop < start or (bits is not None and (stop - start) * 8 != count * bits):
        raise ValueError(tensor)
    return start, stop, tensor


def _broken(name: str, why: str) -> IntegrityFailure:
    return IntegrityFailure(
        f"{name} is not a whole safetensors file: {why}", "download it again, or leave it out with --exclude"
    )
