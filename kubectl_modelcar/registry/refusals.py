"""What a registry's no means, in words: what it said, and what to do next."""

import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from kubectl_modelcar.errors import IntegrityFailure, ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.patience import TRANSIENT, MayPass, retry_after
from kubectl_modelcar.registry.missing import BlobsMissing
from kubectl_modelcar.text import one_line

RESTART = 3.0  # seconds until a registry that was there a moment ago is asked again
_MISSING = {"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"}
_NAMES = "check the repository's name and whether it may be created by pushing"
_HINTS = {
    404: _NAMES,
    405: "it takes no pushes: a mirror or a cache names the registry that does",
    413: "the registry or a proxy before it limits the size of a request or of a layer; its administrator can raise it",
    415: "it does not know this kind of image: --format image makes one that every registry knows",
}
_CODE_HINTS = {
    "NAME_UNKNOWN": "create the repository first: this registry makes none by a push, or hides those of others",
    "NAME_INVALID": _NAMES,
    "MANIFEST_INVALID": _HINTS[415],
    "TAG_INVALID": "choose another tag: this one is protected, exists already, or is not allowed",
    "UNSUPPORTED": _HINTS[405],
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: of the body no more than is needed."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def codes(self) -> frozenset[str]:
        """The registry's own error codes (distribution-spec "Error Codes")."""
        return frozenset(str(error.get("code", "")) for error in self._errors())

    @property
    def said(self) -> str:
        """The registry's own words as printable text, or nothing."""
        words = "; ".join(f"{e.get('code', '')} {e.get('message') or ''}".strip() for e in self._errors())
        return one_line(words)

    def _errors(self) -> Sequence[Mapping[str, object]]:
        try:
            errors = json.loads(self.body)["errors"]
            return [error for error in errors if isinstance(error, dict)]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are to a registry: `host` is who answers, `registry` what was typed, `files` where logins were sought."""

    host: str
    registry: str
    user: str | None
    files: tuple[Path, ...]
    plain_http: bool = False

    @property
    def login(self) -> str:
        """What to do to be somebody."""
        return f"podman login {self.registry} (or docker login, or oc registry login --registry={self.registry})"

    @property
    def _as(self) -> str:
        return f"logged in as {self.user}"

    def unknown(self, text: str) -> NotAuthorised:
        """Return the error for a registry that wants to know who we are, or knows us and does not believe it."""
        if self.user is not None:
            return NotAuthorised(text if self.user in text else f"{text} ({self._as})", f"log in again: {self.login}")
        files = ", ".join(map(_short, self.files))
        return NotAuthorised(f"{text}; no login for {self.registry} was found in {files}", f"log in: {self.login}")

    def forbidden(self, text: str) -> NotAuthorised:
        """Return the error for a registry that knows us and does not let us."""
        if self.user is None:
            return self.unknown(text)
        hint = f"ask its owner for the right to push, or log in as somebody who has it: {self.login}"
        return NotAuthorised(f"{text} ({self._as})", hint)


def refused(doing: str, answer: Answer, who: Identity) -> ModelcarError:
    """Return the error for an answer that is none of those that were wished for."""
    said, codes = answer.said, answer.codes
    text = f"cannot {doing}: {who.host} answered HTTP {answer.status}" + (f": {said}" if said else "")
    match answer.status:
        case HTTPStatus.UNAUTHORIZED:
            return who.unknown(text)
        case HTTPStatus.FORBIDDEN:
            return who.forbidden(text)
        case status if status in TRANSIENT:
            return MayPass(text, "try again later; layers that were sent whole are kept", retry_after(answer.headers))
        case HTTPStatus.BAD_REQUEST if who.plain_http and b"HTTPS" in answer.body[:1000]:
            # So say Go (net/http/server.go) and nginx, each in its own words.
            return NetworkGaveUp(f"cannot {doing}: {who.host} speaks TLS", "leave out --plain-http")
        case status if 300 <= status < 400:  # noqa: PLR2004  RFC 9110 15.4
            return NotFoundOrRefused(
                f"{text}, and sends us to {shown(answer.headers.get('Location', 'nowhere'))}",
                "name the registry by the address where it is",
            )
        case _:
            return _permanent(text, answer.status, codes)


def _permanent(text: str, status: int, codes: frozenset[str]) -> ModelcarError:
    if any("DIGEST" in code for code in codes):
        return IntegrityFailure(text, "the bytes changed on the way; push again")
    if codes & _MISSING:
        return BlobsMissing(text, "push again: it was collected as garbage, or never arrived")
    hints = [_CODE_HINTS[code] for code in sorted(codes) if code in _CODE_HINTS]
    return NotFoundOrRefused(text, next(iter(hints), _HINTS.get(status, _NAMES)))


def insecure(doing: str, cause: BaseException, who: Identity, *, answered: bool) -> ModelcarError:
    """Return the error for TLS that failed: not trusted, not spoken there, cut or damaged.

    A registry that has `answered` before does speak it.
    """
    what, why = f"cannot {doing}: ", f"({one_line(str(cause))})"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NetworkGaveUp(
            f"{what}the certificate of {who.host} is not trusted {why}",
            "--ca-file FILE names the authority that signed it",
        )
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return MayPass(f"{what}{who.host} ended the connection {why}", "check the network and the proxy")
    if answered:
        return MayPass(f"{what}the connection to {who.host} broke {why}", "check the network and the proxy")
    return NetworkGaveUp(f"{what}{who.host} does not speak TLS as it should {why}", "--plain-http if it has no TLS")


def silent(doing: str, cause: BaseException, who: Identity, *, answered: bool) -> ModelcarError:
    """Return the error for a registry that gives no answer; `answered` tells whether it ever did."""
    if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
        return NetworkGaveUp(
            f"cannot {doing}: there is no host {who.host} ({cause.strerror})", "check the name and the network"
        )
    if isinstance(cause, ConnectionRefusedError) and not answered:
        return NetworkGaveUp(
            f"cannot {doing}: {who.host} refuses the connection", "check the name and the port, and whether it runs"
        )
    why = one_line(str(cause)) or type(cause).__name__
    if isinstance(cause, ValueError):  # urllib3's LocationParseError is one, of a proxy as of a host
        return NetworkGaveUp(f"cannot {doing}: {why}", "check the name, and https_proxy and http_proxy")
    way = "--plain-http is for one without TLS" if who.plain_http else "--plain-http if it has no TLS"
    return MayPass(
        f"cannot {doing}: {who.host} does not answer ({why})",
        "check the name, the network and the proxy" + ("" if answered else f"; {way}"),
        RESTART if isinstance(cause, ConnectionRefusedError) else None,  # one that answered is being restarted
    )


def innermost(error: BaseException) -> BaseException:
    """Return the innermost reason: requests wraps urllib3's, which wraps the socket's."""
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if isinstance(inner, BaseException):
            error = inner
    return error


def shown(url: str) -> str:
    """Return the URL without its query, which may hold a signature, and without a password."""
    url = url.partition("?")[0]
    scheme, colon, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return one_line(f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}" if colon else url)


def _short(path: Path) -> str:
    """Return the path as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
