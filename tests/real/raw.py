"""HTTP with nothing in between: what a registry says to the last header, and connections that break where we say."""

import http.client
import json
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_TOLD = ("Range", "Content-Range", "Docker-Content-Digest", "Location", "Link", "Accept-Ranges", "OCI-Chunk-Min-Length")
"""Headers that clients go by."""
_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: status, headers that matter with host and session taken out, error code, and body if it is data."""

    status: int
    headers: tuple[tuple[str, str], ...]
    code: str
    body: bytes
    short: bool = False
    """Whether the body ended before the length that was announced."""
    location: str = field(default="", compare=False)
    """As it was said."""


class Raw:
    """A client that hides nothing: a connection for each request, no retries, no redirects."""

    def __init__(self, host: str) -> None:
        self.host = host

    def __call__(self, method: str, url: str, body: bytes | Iterable[bytes] | None = None, **headers: str) -> Said:
        """Ask; header names are written with underscores, and what comes in pieces goes in HTTP's chunks."""
        connection = http.client.HTTPConnection(self.host, timeout=_TIMEOUT)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, _path(url), body, names, encode_chunked=not isinstance(body, bytes | None))
            answer = connection.getresponse()
            try:
                data, short = answer.read(), False
            except http.client.IncompleteRead as ended:
                data, short = ended.partial, True
            return _said(method, answer, data, short=short)
        finally:
            connection.close()

    def cut(self, method: str, url: str, size: int, data: bytes, **headers: str) -> None:
        """Announce `size` bytes, send `data`, end; return when the registry has noticed."""
        names = {"Host": self.host, "Content-Length": str(size)} | headers
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in names.items())
        host, _, port = self.host.partition(":")
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT) as connection:
            connection.sendall(f"{method} {_path(url)} HTTP/1.1\r\n{lines}\r\n".encode() + data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def _path(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _said(method: str, answer: http.client.HTTPResponse, data: bytes, *, short: bool) -> Said:
    headers = {name: _anonymous(answer.headers[name]) for name in _TOLD if name in answer.headers}
    if method == "HEAD" and answer.status < 300:
        headers["Content-Length"] = answer.headers["Content-Length"]
    kind = answer.headers.get_content_type() if data else ""
    code = ""
    if answer.status >= 400 and kind == "application/json":
        code, data = json.loads(data)["errors"][0]["code"], b""
    elif answer.status >= 400:
        data = b""  # the words are everybody's own
    if kind == "application/json" and data:
        data = json.dumps(json.loads(data), sort_keys=True).encode()
    return Said(answer.status, tuple(sorted(headers.items())), code, data, short, answer.headers.get("Location", ""))


def _anonymous(value: str) -> str:
    """Take out what differs from run to run: the host, the session and its state."""
    value = re.sub(r"http://127\.0\.0\.1:\d+", "HOST", value)
    return re.sub(r"(/blobs/uploads/)[^?/]+(\?_state=).*", r"\1SESSION\2STATE", value)
