"""Where an OpenAI-compatible server is, and how it is trusted."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from kubectl_modelcar.errors import InvalidInput, LocalFailure
from kubectl_modelcar.text import one_line

__all__ = ["Endpoint", "bearer", "trust"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible server.

    `base_url` is without a slash at its end and without `/v1`. `headers` go with each request and may hold a secret.
    `ssl_context` None trusts what this system trusts. `model` None is the one model that the server serves. `proxy` is
    the URL of a proxy, which may hold a password; None is what the environment says.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    model: str | None = None
    proxy: str | None = field(default=None, repr=False)

    @classmethod
    def parse(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] = _NOTHING,
        ssl_context: ssl.SSLContext | None = None,
        model: str | None = None,
        proxy: str | None = None,
    ) -> "Endpoint":
        """Read a URL as people paste it: with or without `/v1` and a slash at the end.

        Raises InvalidInput, which never repeats a password.
        """
        parts = _split(url)
        path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
        return cls(f"{parts.scheme}://{parts.netloc}{path}", headers, ssl_context, model, proxy)

    @property
    def shows_key(self) -> bool:
        """Whether an Authorization header crosses a network that anybody on the way can read."""
        parts = urlsplit(self.base_url)
        return parts.scheme == "http" and "authorization" in map(str.lower, self.headers) and not _is_loopback(parts)

    def redact(self, text: str) -> str:
        """Return `text` without the secrets of the headers: a server may repeat what it was sent."""
        for name, value in self.headers.items():
            if name.lower() == "authorization":
                text = text.replace(value.partition(" ")[2] or value, "[secret]")
        return text


def bearer(key: str) -> dict[str, str]:
    """Return the header that carries an API key. Raises InvalidInput, which does not show the key."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInput(
            "the API key is empty, or holds characters that no HTTP header can carry",
            "look for a line break or a space inside it",
        )
    return {"Authorization": f"Bearer {key}"}


def trust(ca_file: Path | None = None, *, insecure: bool = False) -> ssl.SSLContext | None:
    """Return whom to believe for TLS: those in the PEM file `ca_file` alone, anybody, or this system's own (None).

    Raises InvalidInput when both are asked for, LocalFailure when the file cannot be read or holds no certificate.
    """
    if insecure:
        if ca_file is not None:
            raise InvalidInput("--ca-file and --insecure contradict each other", "leave --insecure out")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError as error:
        raise LocalFailure(
            f"cannot use the CA file {one_line(str(ca_file))}: it holds no certificate in PEM form",
            "it has to begin with -----BEGIN CERTIFICATE-----",
        ) from error
    except OSError as error:
        raise LocalFailure(f"cannot read the CA file {one_line(str(ca_file))}: {error.strerror}") from error


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        has_password, _ = parts.username is not None, parts.port
        if parts.netloc.isascii():
            (parts.hostname or "").encode("idna")  # as the resolver does: a label has 63 characters at most
    except ValueError as error:
        raise InvalidInput("the URL of the model server cannot be read", _EXAMPLE) from error
    if has_password:
        raise InvalidInput(
            "the URL of the model server holds a user name or a password",
            "give a key by --api-key-env; a URL ends up in histories and logs",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{one_line(url)} is not the URL of a model server", _EXAMPLE)
    if parts.query or parts.fragment or any(not c.isprintable() or c.isspace() for c in url.strip()):
        raise InvalidInput(
            f"{one_line(url)} is not the URL of a model server: it has a query, a fragment or a space", _EXAMPLE
        )
    return parts


_EXAMPLE = "write it like https://llm.example.com or http://localhost:8000"


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
