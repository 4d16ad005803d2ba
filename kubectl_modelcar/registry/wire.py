"""Requests to one registry, on the oras SDK; the only importer of oras and requests.

oras' `Registry` gives the session, the scheme and TLS. Its own `do_request` is replaced: it has no timeouts, retries
permanent failures for two minutes, and hands credentials to whatever host a redirect names.
"""

import email.utils
import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import oras.container
import oras.provider
import requests
import requests.adapters
import urllib3

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import ImageReference
from kubectl_modelcar.registry.access import RegistryAccess, repository_path
from kubectl_modelcar.registry.translation import our_errors
from kubectl_modelcar.text import one_line

CONNECT, IDLE, COMMIT = (
    10.0,
    60.0,
    600.0,
)  # seconds; COMMIT: a registry hashes or moves the whole blob before it answers
ATTEMPTS = 4
_TRANSIENT = {408, 425, 429, 499, 500, 502, 503, 504, 522}
_LONGEST_WAIT = 300.0  # seconds of Retry-After that are still worth waiting for
_ERROR_BODY = 64 * 1024  # bytes of an error's body that are read; it may be anything

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


class Wire(oras.provider.Registry):  # type: ignore[misc]  # oras has no types
    """A registry as one user and one repository see it. Safe for several threads."""

    def __init__(
        self, reference: ImageReference, access: RegistryAccess, credential: "puller.Credential | None"
    ) -> None:
        origin = access.origin(reference)
        super().__init__(hostname=urlsplit(origin).netloc, insecure=access.plain_http, tls_verify=True)
        context = access.ssl_context()
        self.reference = reference
        self._origin = origin
        self._verify = not access.insecure
        self._container = oras.container.Container(repository_path(reference), registry=self.hostname)
        self._authenticator = puller.Authenticator(origin, credential, context=context)
        self._scope = f"repository:{repository_path(reference)}:pull,push"
        self.session.mount("https://", _TrustingAdapter(context))
        self.session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=_POOL))
        # A callable here keeps requests from replacing our header by what ~/.netrc says.
        self.session.auth = lambda request: request

    def blob_url(self, digest: str) -> str:
        """Return where the blob is, if it is."""
        return f"{self.prefix}://{self._container.get_blob_url(digest)}"

    def uploads_url(self) -> str:
        """Return where uploads begin."""
        return f"{self.prefix}://{self._container.upload_blob_url()}"

    def manifest_url(self, target: str) -> str:
        """Return where the manifest of a tag or digest is."""
        return f"{self.prefix}://{self._container.manifest_url(target)}"

    def location(self, response: requests.Response) -> str:
        """Return the absolute URL of the answer's Location, relative or not.

        Raises NetworkGaveUp when there is none or when it would leave TLS.
        """
        where = response.headers.get("Location")
        if not where:
            raise NetworkGaveUp(f"{self.hostname} began an upload without saying where", "a proxy may have dropped it")
        url = urljoin(response.url, where)
        if self.prefix == "https" and urlsplit(url).scheme != "https":
            raise NetworkGaveUp(f"{self.hostname} wants the model sent in clear, to {_shown(url)}")
        return url

    def call(self, call: Call) -> requests.Response:
        """Send the request, authenticate when asked to, repeat what may pass; return the answer if it is accepted."""
        return self._call(call, ATTEMPTS)

    def call_once(self, call: Call) -> requests.Response:
        """Do the same without repeating: an upload session that broke may be gone, and its caller must begin anew."""
        return self._call(call, 1)

    def _call(self, call: Call, attempts: int) -> requests.Response:
        for attempt in range(attempts):
            last = attempt + 1 == attempts
            try:
                response = self._authorised(call)
            except requests.exceptions.SSLError as error:
                raise self._untrusted(call, error) from error
            except requests.RequestException as error:
                if last:
                    raise self._silent(call, error) from error
                time.sleep(_pause(attempt))
                continue
            if response.status_code in call.accept:
                return response
            wait = _pause(attempt, response.headers)
            if last or response.status_code not in _TRANSIENT or wait > _LONGEST_WAIT:
                raise self._refused(call, response)
            response.close()
            time.sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _authorised(self, call: Call) -> requests.Response:
        # A header for the registry's own origin only, wherever it sends us.
        ours = _origin_of(call.url) == _origin_of(self._origin)
        with our_errors():
            header = self._authenticator.header(self._scope) if ours else None
        response = self._send(call, header)
        challenge = response.headers.get("WWW-Authenticate", "")
        if response.status_code == requests.codes.unauthorized and ours and challenge:
            response.close()
            with our_errors():
                header = self._authenticator.answer(challenge, self._scope)
            response = self._send(call, header)
        return response

    def _send(self, call: Call, header: str | None) -> requests.Response:
        session: requests.Session = self.session
        return session.request(
            call.method,
            call.url,
            data=call.body() if call.body else None,
            headers={**call.headers, **({"Authorization": header} if header else {})},
            timeout=(CONNECT, call.wait),
            verify=self._verify,
            allow_redirects=call.method == "HEAD",  # requests drops Authorization on the way to another host
        )

    def _untrusted(self, call: Call, error: Exception) -> ModelcarError:
        return NetworkGaveUp(
            f"cannot {call.doing}: the certificate of {self.hostname} is not trusted ({_root_cause(error)})",
            "--ca-file FILE names the authority that signed it",
        )

    def _silent(self, call: Call, error: Exception) -> ModelcarError:
        return NetworkGaveUp(
            f"cannot {call.doing}: {self.hostname} does not answer ({_root_cause(error)})",
            "check the name, the network and the proxy"
            + ("" if self.prefix == "http" else "; --plain-http if it has no TLS"),
        )

    def _refused(self, call: Call, response: requests.Response) -> ModelcarError:
        status, said = response.status_code, _said(response)
        text = f"cannot {call.doing}: {self.hostname} answered HTTP {status}" + (f": {said}" if said else "")
        match status:
            case 401 | 403:
                return NotAuthorised(text, f"log in with the right to push: podman login {self.reference.registry}")
            case 413:
                return NotFoundOrRefused(text, "the registry or a proxy before it limits the size of a layer")
            case 400 if "DIGEST" in said:
                return IntegrityFailure(text, "the bytes changed on the way; push again")
            case _ if status in _TRANSIENT:
                return NetworkGaveUp(text, "try again later; what was sent is kept")
            case _:
                return NotFoundOrRefused(text, "check the repository's name and whether it may be created by pushing")


class _TrustingAdapter(requests.adapters.HTTPAdapter):
    """TLS with the context that all our connections use."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_maxsize=_POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> urllib3.ProxyManager:
        return cast("urllib3.ProxyManager", super().proxy_manager_for(*args, **kwargs, ssl_context=self._context))


_POOL = 64  # connections kept; more jobs than that would only wait for the network


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _shown(url: str) -> str:
    """Return the URL without its query, which may hold a signature."""
    return url.partition("?")[0]


def _pause(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Return seconds to wait: what Retry-After says (RFC 9110 10.2.3), else up to 0.5, 1, 2 ... at random."""
    wanted = (headers or {}).get("Retry-After", "")
    if wanted.isdecimal():
        return float(wanted)
    if wanted and (at := email.utils.parsedate_tz(wanted)):
        sent = email.utils.parsedate_tz((headers or {}).get("Date", ""))
        now = email.utils.mktime_tz(sent) if sent else time.time()  # the server's own clock, where it tells it
        return max(0.0, email.utils.mktime_tz(at) - now)
    return random.uniform(0, 0.5 * 2**attempt)  # noqa: S311  jitter, no secret


def _root_cause(error: BaseException) -> str:
    """Return the innermost reason in one line: requests wraps urllib3's, which wraps the socket's."""
    while inner := getattr(error, "reason", None) or error.__cause__ or error.__context__:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return one_line(str(error)) or type(error).__name__


def _said(response: requests.Response) -> str:
    """Return the registry's own words (distribution-spec "Error Codes") as printable text, or nothing."""
    try:
        errors = response.json()["errors"] if len(response.content) <= _ERROR_BODY else []
        words = "; ".join(f"{e.get('code', '')} {e.get('message', '')}".strip() for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError, requests.RequestException):
        return ""
    return one_line(words)
