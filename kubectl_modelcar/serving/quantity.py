"""Kubernetes quantities (`20Gi`, `500m`, `1e3`) as numbers of bytes, and back.

Grammar: k8s.io/apimachinery/pkg/api/resource/quantity.go.
"""

import re
from decimal import Decimal

from kubectl_modelcar.errors import InvalidInput

__all__ = ["GIB", "format_bytes", "gib", "parse_quantity"]

GIB = 2**30

_QUANTITY = re.compile(
    r"\+?(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<suffix>[EPTGMk]|[EPTGMK]i|[mun]|[eE][+-]?\d{1,2})?", re.ASCII
)
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_READABLE = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SMALL = {"m": Decimal("1e-3"), "u": Decimal("1e-6"), "n": Decimal("1e-9")}


def parse_quantity(text: str) -> int:
    """Return how many bytes `text` is, rounded up.

    Raises InvalidInput.
    """
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise InvalidInput(f"{text!r} is not a size as Kubernetes writes it", "write it like 20Gi or 500G")
    number, suffix = Decimal(match["number"]), match["suffix"] or ""
    if suffix in _SMALL:
        scaled = number * _SMALL[suffix]
    elif suffix in _BINARY or suffix in _DECIMAL:
        scaled = number * {**_BINARY, **_DECIMAL}[suffix]
    else:
        scaled = number * Decimal(f"1{suffix}" if suffix else "1")
    return int(scaled.to_integral_value(rounding="ROUND_CEILING"))


def gib(count: float) -> int:
    """Round a number of bytes up to whole GiB and return how many GiB that is."""
    return -int(-count // GIB)


def format_bytes(count: float) -> str:
    """Return bytes as people read them, in powers of ten as registries and the Hub count: `269.0 MB`, `15.2 GB`."""
    for unit, size in reversed(_READABLE.items()):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
