"""Digests: `sha256:` and 64 lower-case hex digits, the only algorithm that every registry takes."""

import hashlib
import re

DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> str:
    """Return the digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
