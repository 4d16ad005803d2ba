"""How the fake registry misbehaves when a test asks it to, and how it remembers what it was asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came and what it was answered; bytes count bodies only, those that were cut off included."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    received: int
    status: int
    """0 where nothing was answered."""
    sent: int


@dataclass(slots=True)
class Fault:
    """A way to misbehave for the next `times` requests whose method and path (with query) match; -1 is for ever.

    `after` lets that many matching requests pass first. What befalls the request comes first in the list, then what
    befalls the answer.
    """

    method: str = ".*"
    path: str = ".*"
    times: int = 1
    after: int = 0
    cut_request_after: int | None = None
    """Take this many bytes of the request's body, then cut the connection."""
    keep: bool | None = None
    """Keep what came before that cut, or not; None does as the profile does."""
    take_only: int | None = None
    """Read the whole body, but take no more than this many bytes of it, and answer for those."""
    corrupt_request_at: int | None = None
    """Flip a bit of this byte of the request's body."""
    silent: bool = False
    """Read the request and answer nothing, with the connection open."""
    status: int | None = None
    """Answer this and do nothing."""
    apply: bool = False
    """Do what was asked all the same, before `status` is answered."""
    early: bool = False
    """Answer `status` before the request's body is read, and close the connection."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to add or, with a value of "", to leave out."""
    body: bytes | None = None
    """Send this body with `status`."""
    lose_answer: bool = False
    """Do what was asked, then cut the connection in place of an answer."""
    cut_after: int | None = None
    """End the connection after this many bytes of the answer's body."""
    reset: bool = False
    """End connections with a reset, not in order."""
    stall_after: int | None = None
    """Send nothing more, with the connection open, after this many bytes of the answer's body."""
    trickle: float = 0.0
    """Send the body byte by byte, with this many seconds between."""
    corrupt_at: int | None = None
    """Flip a bit of this byte of the answer's body."""
    ignore_range: bool = False
    """Answer a request for a part with everything."""
    chunked: bool = False
    """Send the body in chunks, without a Content-Length."""
    extra: bytes = b""
    """Append this to the body."""

    def strikes(self, method: str, path: str) -> bool:
        """Tell whether this request is hit, and count it."""
        if not self.times or not re.fullmatch(self.method, method) or not re.search(self.path, path):
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= self.times > 0
        return True
