"""Requests to one registry, on the oras SDK; the only importer of oras.

oras' `Registry` gives the session, the scheme and TLS. Its own `do_request` is replaced: it has no timeouts, retries
permanent failures for two minutes, and hands credentials to whatever host a redirect names.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import cast
from urllib.parse import urljoin, urlsplit

import oras.container
import oras.provider
import requests

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import ModelcarError, NetworkGaveUp, NotAuthorised
from kubectl_modelcar.image import Chunk, ImageReference
from kubectl_modelcar.patience import MayPass, Patience
from kubectl_modelcar.registry.access import RegistryAccess, repository_path
from kubectl_modelcar.registry.credentials import credential_files
from kubectl_modelcar.registry.refusals import Answer, Identity, innermost, insecure, refused, shown, silent
from kubectl_modelcar.registry.session import Session
from kubectl_modelcar.registry.translation import our_errors
from kubectl_modelcar.text import one_line

CONNECT, IDLE = 10.0, 60.0  # seconds
COMMIT = 600.0  # seconds; a registry hashes or moves the whole blob before it answers
GOODBYE = 1.0  # seconds to take back the uploads that are open when a push is stopped
_ERROR_BODY = 64 * 1024  # bytes of an error's body that are read; it may be anything
_MOST_REDIRECTS = 5
_KEEPING = (307, 308)  # the redirects after which a body is sent again (RFC 9110 15.4.8, 15.4.9)
_REDIRECTS = (301, 302, 303, *_KEEPING)

Body = Callable[[], "Iterable[bytes]"]


class Sized(Iterable[bytes]):
    """Chunks of a known total, which requests sends with Content-Length and without copying."""

    def __init__(self, size: int, chunks: Iterator[Chunk]) -> None:
        # http.client sends any buffer; the types of requests know bytes alone.
        self._size, self._chunks = size, cast("Iterator[bytes]", chunks)

    def __len__(self) -> int:
        """Return the bytes in all."""
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Return the chunks; they can be had once."""
        return self._chunks


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `body` makes the body anew for each attempt; `doing` completes "cannot ..." in errors.

    `accept` are the statuses that the caller deals with. `wait` is in seconds, for the first byte of the answer,
    None for `IDLE`; `limit` is how many bytes of its body are wanted; `scope` is what a token must allow, by itself
    to push and pull here.
    """

    method: str
    url: str
    doing: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    wait: float | None = None
    accept: Sequence[int] = (200,)
    limit: int = _ERROR_BODY
    scope: str = ""


class Wire(oras.provider.Registry):  # type: ignore[misc]  # oras has no types
    """A registry as one user and one repository see it. Safe for several threads."""

    def __init__(
        self, reference: ImageReference, access: RegistryAccess, credential: "puller.Credential | None"
    ) -> None:
        origin = access.origin(reference)
        super().__init__(hostname=urlsplit(origin).netloc, insecure=access.plain_http, tls_verify=True)
        context = access.ssl_context()
        self._context, self._verify = context, not access.insecure
        self.session = self._session = self._connect()
        self.patience = Patience()
        self._answered = False
        self.reference = reference
        self._origin = origin
        self._container = oras.container.Container(repository_path(reference), registry=self.hostname)
        # Its waits would not hear of a stop: each of its failures is one of the request that it was for.
        self._authenticator = puller.Authenticator(
            origin, credential, context=context, patience=puller.Patience(attempts=1)
        )
        self._scope = f"repository:{repository_path(reference)}:pull,push"
        self._who = Identity(
            self.hostname,
            reference.registry,
            one_line(credential.username) if credential else None,
            credential_files(access.authfile),
            access.plain_http,
        )

    def blob_url(self, digest: str) -> str:
        """Return where the blob is, if it is."""
        return f"{self.prefix}://{self._container.get_blob_url(digest)}"

    def uploads_url(self) -> str:
        """Return where uploads begin."""
        return f"{self.prefix}://{self._container.upload_blob_url()}"

    def manifest_url(self, target: str) -> str:
        """Return where the manifest of a tag or digest is."""
        return f"{self.prefix}://{self._container.manifest_url(target)}"

    def tags_url(self) -> str:
        """Return where the tags are listed."""
        return f"{self.prefix}://{self._container.tags_url()}"

    def scope_with(self, repository: str) -> str:
        """Return what a token must allow to take blobs from another repository, too."""
        return f"{self._scope} repository:{repository}:pull"

    def location(self, answer: Answer) -> str:
        """Return the absolute URL of the answer's Location, relative or not; its query is left as it is.

        Raises NetworkGaveUp when there is none or when it would leave TLS.
        """
        where = answer.headers.get("Location")
        if not where:
            raise NetworkGaveUp(f"{self.hostname} began an upload without saying where", "a proxy may have dropped it")
        return self._resolved(answer.url, where)

    def _resolved(self, url: str, where: str) -> str:
        try:
            url = urljoin(url, where)
            parts, _ = urlsplit(url), urlsplit(url).port
            requests.PreparedRequest().prepare_url(url, None)
        except ValueError as error:  # of requests' own errors, those for addresses are some
            raise NetworkGaveUp(
                f"{self.hostname} sends us to an address that is none: {shown(where)}", "a proxy may have damaged it"
            ) from error
        if parts.scheme not in ("http", "https") or not parts.hostname or (self.prefix, parts.scheme) == _CLEAR:
            raise NetworkGaveUp(
                f"{self.hostname} wants the model sent in clear, to {shown(url)}",
                "the registry does not know that it is reached by TLS; its administrator can tell it",
            )
        return url

    def call(self, call: Call) -> Answer:
        """Send the request, authenticate when asked to, repeat what may pass; return the answer if it is accepted."""
        return self.patience.persist(lambda: self.call_once(call))

    def call_once(self, call: Call) -> Answer:
        """Do the same without repeating: an upload session that broke may be gone, and its caller must find out.

        Raises MayPass for what another attempt may cure.
        """
        self.patience.ready()
        try:
            answer = self._redirected(call)
        except requests.exceptions.SSLError as error:
            raise insecure(call.doing, innermost(error), self._who, answered=self._answered) from error
        except requests.RequestException as error:
            raise silent(call.doing, innermost(error), self._who, answered=self._answered) from error
        if answer.status not in call.accept:
            raise self.refused(call, answer)
        return answer

    def refused(self, call: Call, answer: Answer) -> ModelcarError:
        """Return the error for an answer that the caller has no use for."""
        return refused(call.doing, answer, self._who)

    def stop(self) -> None:
        """End all requests under way and all waits between attempts; nothing can be sent afterwards."""
        self.patience.stop()
        self._session.abort()

    def take_back(self, uploads: Sequence[str]) -> None:
        """Cancel uploads by their URLs, best effort, in at most a second; the registry forgets the others by itself."""
        session, until = self._connect(), time.monotonic() + GOODBYE
        threads = [threading.Thread(target=self._cancel, args=(session, url), daemon=True) for url in uploads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        session.abort()

    def _connect(self) -> Session:
        return Session(self._context, verify=self._verify, idle=IDLE)

    def _cancel(self, session: Session, url: str) -> None:
        try:
            status, _ = self._say_goodbye(session, "DELETE", url)
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # distribution 3, after bytes that it kept
                _, where = self._say_goodbye(session, "GET", url)
                self._say_goodbye(session, "DELETE", self._resolved(url, where))
        except (requests.RequestException, ModelcarError):
            return

    def _say_goodbye(self, session: Session, method: str, url: str) -> tuple[int, str]:
        """Send a request without a body, and return status and Location of its answer."""
        ours = self._is_ours(url)
        header = self._authenticator.header(self._scope) if ours else None
        while True:
            headers = {"Authorization": header} if header else {}
            with session.request(method, url, headers=headers, timeout=GOODBYE, allow_redirects=False) as answer:
                challenge = answer.headers.get("WWW-Authenticate")
                if answer.status_code != HTTPStatus.UNAUTHORIZED or not ours or not challenge:
                    return answer.status_code, answer.headers.get("Location", "")
            ours = False  # one answer to one challenge: distribution wants a token that may delete
            with our_errors():
                header = self._authenticator.answer(challenge, self._scope, rejected=header)

    def _redirected(self, call: Call) -> Answer:
        """Follow redirects: a body is made anew, and an Authorization goes to the registry's own origin alone."""
        followed = _KEEPING if call.method in ("POST", "PUT", "PATCH") else _REDIRECTS
        for _ in range(_MOST_REDIRECTS):
            answer = self._authorised(call)
            if answer.status not in followed or not answer.headers.get("Location"):
                break
            call = replace(call, url=self._resolved(call.url, answer.headers["Location"]))
        return answer

    def _is_ours(self, url: str) -> bool:
        return _origin_of(url) == _origin_of(self._origin)

    def _authorised(self, call: Call) -> Answer:
        if not self._is_ours(call.url):
            return self._send(call, None)
        scope = call.scope or self._scope
        header = self._authorisation(call, lambda: self._authenticator.header(scope))
        answer = self._send(call, header)
        challenge = answer.headers.get("WWW-Authenticate", "")
        if answer.status == HTTPStatus.UNAUTHORIZED and challenge and answer.status not in call.accept:
            old = header
            header = self._authorisation(call, lambda: self._authenticator.answer(challenge, scope, rejected=old))
            answer = self._send(call, header)
        return answer

    def _authorisation(self, call: Call, ask: Callable[[], str | None]) -> str | None:
        """Return what `ask` returns; what goes wrong on the way is told as a part of the request that it was for."""
        try:
            with our_errors(), _passing(call.doing):
                return ask()
        except NotAuthorised as error:
            text = f"cannot {call.doing}: {error.message}"
            if error.hint and not error.hint.startswith("log in"):  # its realm is not safe
                raise NotAuthorised(text, error.hint) from error
            raise self._who.unknown(text) from error

    def _send(self, call: Call, header: str | None) -> Answer:
        if self.patience.stopped:
            raise NetworkGaveUp(f"cannot {call.doing}: the push was stopped")
        with self._session.request(
            call.method,
            call.url,
            data=call.body() if call.body else None,
            headers={**call.headers, **({"Authorization": header} if header else {})},
            timeout=(CONNECT, call.wait or IDLE),
            allow_redirects=False,
            stream=True,
        ) as response:
            self._answered = True
            return Answer(response.status_code, call.url, response.headers, _body(response, call.limit))


_CLEAR = ("https", "http")  # out of TLS


@contextmanager
def _passing(doing: str) -> Iterator[None]:
    """Let a token server's failure that may pass be one of the request that the token was for."""
    try:
        yield
    except puller.PullError as error:
        if error.passes is None:
            raise
        raise MayPass(f"cannot {doing}: {error.message}", error.hint, error.passes or None) from error


def _body(response: requests.Response, limit: int) -> bytes:
    """Return the beginning of an answer's body; what is lost of an error's is no other error."""
    body = bytearray()
    try:
        for piece in response.iter_content(limit):
            body += piece
            if len(body) >= limit:
                break
    except requests.RequestException:
        if response.ok and limit > _ERROR_BODY:
            raise
    return bytes(body)


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
