"""Make errors of ours out of what a server, a router before it, or the cluster's API answers instead of text."""

import json
from dataclasses import dataclass
from http import HTTPStatus

from kubectl_modelcar.errors import ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.text import one_line

__all__ = ["Refusal", "Refused", "read_body"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A response that is no answer. All texts are fit for one line of a terminal."""

    status: int
    words: str = ""
    """What the server said, "" when it said nothing that people can read."""
    location: str = ""
    """Where a redirect points."""
    retry_after: str = ""
    by_cluster: bool = False
    """Whether the API server of the cluster said it, and not the model server behind it."""

    def complains_of(self, *names: str) -> bool:
        """Whether the request was refused for one of these fields."""
        return self.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY) and any(
            name in self.words for name in names
        )

    @property
    def may_mean_base_model(self) -> bool:
        """Whether the server may only mean that its model cannot chat: vLLM says 400 or 404 to that."""
        return self.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND) and not self.by_cluster

    def error(self, server: str) -> ModelcarError:
        """Return this refusal as an error; `server` says who was asked."""
        if HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST:
            return self._redirected(server)
        if self.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return self._not_authorised(server)
        if self.status in _NETWORK:
            what, hint = _NETWORK[self.status]
            if self.retry_after:
                hint = f"{hint} (it asks to wait: {self.retry_after})"
            return NetworkGaveUp(self._sentence(f"{server} {what}"), hint)
        if self.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            return self._not_found(server)
        if HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._refused(server)
        what = "failed" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "gave an answer without a meaning here"
        return NetworkGaveUp(self._sentence(f"{server} {what}"), "its own log says why")

    def _sentence(self, text: str) -> str:
        return f"{text}: {self.words or _phrase(self.status)}"

    def _redirected(self, server: str) -> ModelcarError:
        return NotFoundOrRefused(
            f"{server} sends its callers to {self.location or 'a place that it does not name'}; "
            "that was not followed, since a key belongs to one server only",
            "if that is the model server, give its URL with --url; a login page there means that a key is missing",
        )

    def _not_authorised(self, server: str) -> ModelcarError:
        if self.by_cluster:
            return NotAuthorised(
                self._sentence(f"the cluster does not let this user talk to {server}"),
                "ask for the right to get and create services/proxy in this namespace, or chat through the Route",
            )
        return NotAuthorised(
            self._sentence(f"{server} does not accept who is asking"),
            "put its API key in an environment variable and name that: --api-key-env VARIABLE",
        )

    def _not_found(self, server: str) -> ModelcarError:
        if self.by_cluster:
            return NotFoundOrRefused(
                self._sentence(f"the cluster finds no way to {server}"), "`kubectl modelcar status` tells what is there"
            )
        if "model" in self.words.lower():
            return NotFoundOrRefused(
                self._sentence(f"{server} has no such model"),
                "choose one that it serves with --model, or leave --model out",
            )
        return NotFoundOrRefused(
            self._sentence(f"{server} does not know the OpenAI chat API at this address"),
            "give the URL under which /v1/chat/completions is found, without that path",
        )

    def _refused(self, server: str) -> ModelcarError:
        if "context length" in self.words or "context size" in self.words:
            hint = "shorten the prompt, begin a new conversation (/clear), or ask for fewer tokens with --max-tokens"
        else:
            hint = "change what it names"
        return NotFoundOrRefused(self._sentence(f"{server} refused the question"), hint)


class Refused(Exception):
    """Nothing was answered; the client decides whether that is an error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"HTTP {refusal.status}")  # not its words, which may repeat a key: tracebacks show this
        self.refusal = refusal


_LOADING = "it may still be loading the model: `kubectl modelcar status` tells; then ask again"

_NETWORK: dict[int, tuple[str, str]] = {
    HTTPStatus.REQUEST_TIMEOUT: ("or a proxy before it waited too long", "ask again"),
    HTTPStatus.TOO_MANY_REQUESTS: ("has too much to do", "ask again later"),
    HTTPStatus.BAD_GATEWAY: ("cannot be reached by the proxy before it", _LOADING),
    HTTPStatus.SERVICE_UNAVAILABLE: ("is not ready", _LOADING),
    # OpenShift's router gives up after 30 s without a byte unless the Route says otherwise.
    HTTPStatus.GATEWAY_TIMEOUT: (
        "was too slow for the proxy before it",
        "raise the Route's annotation haproxy.router.openshift.io/timeout, or ask for a shorter answer",
    ),
}


def read_body(status: int, body: bytes | object, *, location: str = "", retry_after: str = "") -> Refusal:
    """Read the body of an error: bytes as they came, or JSON that is decoded already.

    Known shapes: vLLM's `{"error": {"message"}}`, `{"error": "text"}`, `{"detail": "text"}`; the cluster's
    `{"kind": "Status", "message"}`; plain text. A page in HTML is for browsers and not quoted.
    """
    document = _decoded(body) if isinstance(body, bytes) else body
    return Refusal(
        status=status,
        words=one_line(_words(document)),
        location=one_line(location),
        retry_after=one_line(retry_after),
        by_cluster=isinstance(document, dict) and document.get("kind") == "Status",
    )


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace")
        return "" if "<html" in text.lower() or text.lstrip().startswith("<") else text


def _words(document: object) -> str:
    if isinstance(document, str):
        return document
    if not isinstance(document, dict):
        return ""
    for key in ("error", "detail", "message"):
        value = document.get(key)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, list):
            value = json.dumps(value)
        if value and isinstance(value, str):
            return value
    return ""


def _phrase(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}, which means nothing in HTTP"
