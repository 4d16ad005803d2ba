"""Requests to one registry, on the oras SDK; the only importer of oras.

oras' `Registry` gives the session, the scheme and TLS. Its own `do_request` is replaced: it has no timeouts, retries
permanent failures for two minutes, and hands credentials to whatever host a redirect names.
"""

import email.utils
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast
from urllib.parse import urljoin, urlsplit

import oras.container
import oras.provider
import requests

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import ImageReference
from kubectl_modelcar.registry.access import RegistryAccess, repository_path
from kubectl_modelcar.registry.session import Session
from kubectl_modelcar.registry.translation import our_errors
from kubectl_modelcar.text import one_line

CONNECT, IDLE = 10.0, 60.0  # seconds
COMMIT = 600.0  # seconds; a registry hashes or moves the whole blob before it answers
ATTEMPTS = 4
_TRANSIENT = {408, 425, 429, 499, 500, 502, 503, 504, 522}
_LONGEST_WAIT = 300.0  # seconds of Retry-After that are still worth waiting for
_ERROR_BODY = 64 * 1024  # bytes of an error's body that are read; it may be anything

_T = TypeVar("_T")
Body = Callable[[], "Iterable[bytes]"]


class Sized(Iterable[bytes]):
    """Chunks of a known total, which requests sends with Content-Length and without copying."""

    def __init__(self, size: int, chunks: Iterator[memoryview | bytes]) -> None:
        # http.client sends any buffer; the types of requests know bytes alone.
        self._size, self._chunks = size, cast("Iterator[bytes]", chunks)

    def __len__(self) -> int:
        """Return the bytes in all."""
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Return the chunks; they can be had once."""
        return self._chunks


class MayPass(NetworkGaveUp):
    """A failure that may pass; `wait` is how many seconds the registry asks to wait, None when it does not."""

    def __init__(self, message: str, hint: str, wait: float | None = None) -> None:
        super().__init__(message, hint)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `body` makes the body anew for each attempt; `doing` completes "cannot ..." in errors."""

    method: str
    url: str
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    wait: float = IDLE
    accept: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: of the body no more than an error needs."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes


class Wire(oras.provider.Registry):  # type: ignore[misc]  # oras has no types
    """A registry as one user and one repository see it. Safe for several threads."""

    def __init__(
        self, reference: ImageReference, access: RegistryAccess, credential: "puller.Credential | None"
    ) -> None:
        origin = access.origin(reference)
        super().__init__(hostname=urlsplit(origin).netloc, insecure=access.plain_http, tls_verify=True)
        context = access.ssl_context()
        self.session = self._session = Session(context, verify=not access.insecure, idle=IDLE)
        self._stopped = threading.Event()
        self._answered = False
        self.reference = reference
        self._origin = origin
        self._container = oras.container.Container(repository_path(reference), registry=self.hostname)
        self._authenticator = puller.Authenticator(origin, credential, context=context)
        self._scope = f"repository:{repository_path(reference)}:pull,push"

    def blob_url(self, digest: str) -> str:
        """Return where the blob is, if it is."""
        return f"{self.prefix}://{self._container.get_blob_url(digest)}"

    def uploads_url(self) -> str:
        """Return where uploads begin."""
        return f"{self.prefix}://{self._container.upload_blob_url()}"

    def manifest_url(self, target: str) -> str:
        """Return where the manifest of a tag or digest is."""
        return f"{self.prefix}://{self._container.manifest_url(target)}"

    def location(self, answer: Answer) -> str:
        """Return the absolute URL of the answer's Location, relative or not.

        Raises NetworkGaveUp when there is none or when it would leave TLS.
        """
        where = answer.headers.get("Location")
        if not where:
            raise NetworkGaveUp(f"{self.hostname} began an upload without saying where", "a proxy may have dropped it")
        url = urljoin(answer.url, where)
        if self.prefix == "https" and urlsplit(url).scheme != "https":
            raise NetworkGaveUp(
                f"{self.hostname} wants the model sent in clear, to {_shown(url)}",
                "the registry does not know that it is reached by TLS; its administrator can tell it",
            )
        return url

    def call(self, call: Call) -> Answer:
        """Send the request, authenticate when asked to, repeat what may pass; return the answer if it is accepted."""
        return self.persist(lambda: self.call_once(call), ATTEMPTS)

    def persist(self, attempt: Callable[[], _T], attempts: int) -> _T:
        """Return what `attempt` returns, after at most so many attempts with full jitter between them."""
        for failed in range(attempts - 1):
            try:
                return attempt()
            except MayPass as error:
                wait = random.uniform(0, 0.5 * 2**failed) if error.wait is None else error.wait  # noqa: S311  no secret
                if wait > _LONGEST_WAIT or self.pause(wait):
                    raise
        return attempt()

    def pause(self, seconds: float) -> bool:
        """Wait, and tell whether the push was stopped meanwhile."""
        return self._stopped.wait(seconds)

    def stop(self) -> None:
        """End all requests under way and all waits between attempts; nothing can be sent afterwards."""
        self._stopped.set()
        self._session.abort()

    def call_once(self, call: Call) -> Answer:
        """Do the same without repeating: an upload session that broke may be gone, and its caller must begin anew.

        Raises MayPass for what another attempt may cure.
        """
        try:
            answer = self._authorised(call)
        except requests.exceptions.SSLError as error:
            raise self._insecure(call, _innermost(error)) from error
        except requests.RequestException as error:
            raise self._silent(call, _innermost(error)) from error
        if answer.status not in call.accept:
            raise self._refused(call, answer)
        return answer

    def _authorised(self, call: Call) -> Answer:
        # A header for the registry's own origin only, wherever it sends us.
        ours = _origin_of(call.url) == _origin_of(self._origin)
        with our_errors():
            header = self._authenticator.header(self._scope) if ours else None
        answer = self._send(call, header)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status == requests.codes.unauthorized and ours and challenge:
            with our_errors():
                header = self._authenticator.answer(challenge, self._scope, rejected=header)
            answer = self._send(call, header)
        return answer

    def _send(self, call: Call, header: str | None) -> Answer:
        if self._stopped.is_set():
            raise NetworkGaveUp(f"cannot {call.doing}: the push was stopped")
        with self._session.request(
            call.method,
            call.url,
            data=call.body() if call.body else None,
            headers={**call.headers, **({"Authorization": header} if header else {})},
            timeout=(CONNECT, call.wait),
            allow_redirects=call.method == "HEAD",
            stream=True,
        ) as response:
            body = next(response.iter_content(_ERROR_BODY), b"")
            self._answered = True
            return Answer(response.status_code, response.url, response.headers, body)

    def _insecure(self, call: Call, cause: BaseException) -> ModelcarError:
        """Return the error for TLS that failed: not trusted, not spoken there, or cut."""
        what = f"cannot {call.doing}: "
        why = f"({one_line(str(cause))})"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return NetworkGaveUp(
                f"{what}the certificate of {self.hostname} is not trusted {why}",
                "--ca-file FILE names the authority that signed it",
            )
        if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return MayPass(f"{what}{self.hostname} ended the connection {why}", "check the network and the proxy")
        return NetworkGaveUp(
            f"{what}{self.hostname} does not speak TLS as it should {why}", "--plain-http if it has no TLS"
        )

    def _silent(self, call: Call, cause: BaseException) -> ModelcarError:
        if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
            return NetworkGaveUp(
                f"cannot {call.doing}: there is no host {self.hostname} ({cause.strerror})",
                "check the name and the network",
            )
        if isinstance(cause, ConnectionRefusedError) and not self._answered:  # one that did is being restarted
            return NetworkGaveUp(
                f"cannot {call.doing}: {self.hostname} refuses the connection",
                "check the name and the port, and whether it runs",
            )
        return MayPass(
            f"cannot {call.doing}: {self.hostname} does not answer ({one_line(str(cause)) or type(cause).__name__})",
            "check the name, the network and the proxy"
            + ("" if self.prefix == "http" else "; --plain-http if it has no TLS"),
        )

    def _refused(self, call: Call, answer: Answer) -> ModelcarError:
        said = _said(answer.body)
        text = f"cannot {call.doing}: {self.hostname} answered HTTP {answer.status}" + (f": {said}" if said else "")
        match answer.status:
            case 401 | 403:
                return NotAuthorised(text, f"log in with the right to push: podman login {self.reference.registry}")
            case 413:
                return NotFoundOrRefused(text, "the registry or a proxy before it limits the size of a layer")
            case 400 if "DIGEST" in said:
                return IntegrityFailure(text, "the bytes changed on the way; push again")
            case status if status in _TRANSIENT:
                return MayPass(
                    text, "try again later; layers that were sent whole are kept", _retry_after(answer.headers)
                )
            case _:
                return NotFoundOrRefused(text, "check the repository's name and whether it may be created by pushing")


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _shown(url: str) -> str:
    """Return the URL without its query, which may hold a signature."""
    return url.partition("?")[0]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that RFC 9110 10.2.3 asks for; a date counts from the server's own clock."""
    wanted = headers.get("Retry-After", "")
    if wanted.isdecimal():
        return float(wanted)
    at = email.utils.parsedate_tz(wanted)
    if at is None:
        return None
    sent = email.utils.parsedate_tz(headers.get("Date", ""))
    now = email.utils.mktime_tz(sent) if sent else time.time()
    return max(0.0, email.utils.mktime_tz(at) - now)


def _innermost(error: BaseException) -> BaseException:
    """Return the innermost reason: requests wraps urllib3's, which wraps the socket's."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _said(body: bytes) -> str:
    """Return the registry's own words (distribution-spec "Error Codes") as printable text, or nothing."""
    try:
        errors = json.loads(body)["errors"]
        words = "; ".join(f"{e.get('code', '')} {e.get('message', '')}".strip() for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return one_line(words)
