"""The wire to an OpenAI-compatible server: which models it serves, and streamed answers."""

import json
import ssl
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx
import httpx_sse

import kubectl_modelcar
from kubectl_modelcar.chat.conversation import Message
from kubectl_modelcar.chat.delta import BrokenAnswer, Delta, ErrorEvent, is_completion, read_event
from kubectl_modelcar.chat.endpoint import Endpoint
from kubectl_modelcar.chat.fault import FOREIGN, cut_off, fault
from kubectl_modelcar.chat.models import Model, read_models
from kubectl_modelcar.chat.refusal import Refusal, Refused, read_body
from kubectl_modelcar.errors import InvalidInput, ModelcarError, NetworkGaveUp, NotFoundOrRefused
from kubectl_modelcar.text import one_line

__all__ = ["ChatOptions", "Client"]

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 120.0
"""Between two reads. There is no limit on a whole answer: a long one takes minutes and is fine."""

_KEEPALIVE_SECONDS = 3.0
"""Below uvicorn's 5 s: a question must not be written to a connection that the server is just closing."""

_BODY_LIMIT = 1 << 20
"""Bytes of an error or of a list of models that are read at most."""

_EVENT_LIMIT = 16 << 20
"""Bytes of a stream without any event: a server must not fill this machine's memory."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """How to answer; None leaves the choice to the server."""

    temperature: float | None = None
    max_tokens: int | None = None


class Client:
    """A connection to one endpoint. A context manager; from one thread at a time.

    Redirects are not followed and nothing is asked twice, so a key goes to the endpoint's own origin only and no
    question is answered twice. All methods raise the errors of `kubectl_modelcar.errors`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        transport: httpx.BaseTransport | None = None,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._model = endpoint.model
        self._server = f"the model server at {one_line(endpoint.base_url)}"
        self._http = httpx.Client(
            headers={
                **endpoint.headers,
                "User-Agent": f"kubectl-modelcar/{kubectl_modelcar.__version__}",
                # Compression would hold tokens back until a block is full.
                "Accept-Encoding": "identity",
            },
            verify=endpoint.ssl_context or _system_trust(),
            timeout=httpx.Timeout(idle_seconds, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            transport=transport,
            proxy=endpoint.proxy,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def models(self) -> list[Model]:
        """Return what the server serves."""
        with self._translated(), self._http.stream("GET", f"{self._endpoint.base_url}/v1/models") as response:
            body = _read(response)
        if response.status_code != httpx.codes.OK:
            raise self._error(_refusal(response, body))
        models = read_models(body)
        if models is None:
            raise self._no_model_server("its list of models")
        return models

    def model(self) -> str:
        """Return the endpoint's model, or ask for the only one that is served."""
        if self._model is None:
            served = self.models()
            if not served:
                raise NotFoundOrRefused(f"{self._server} serves no model", "its own log may say why")
            if len(served) > 1:
                names = ", ".join(one_line(model.id) for model in served[:20])
                raise InvalidInput(f"{self._server} serves several models: {names}", "choose one with --model")
            self._model = served[0].id
        return self._model

    def stream(self, messages: Sequence[Message], options: ChatOptions | None = None) -> Generator[Delta, None, None]:
        """Ask, and yield the answer as it comes. Closing the iterator stops the server's work."""
        try:
            yield from self._stream(messages, options or ChatOptions())
        except Refused as refused:
            raise self._error(refused.refusal) from refused

    def first_token(self) -> float:
        """Ask for one token and return the seconds until it came: only then are weights, template and route proven.

        A base model has no chat template and cannot chat; it completes a text.
        """
        begun = time.monotonic()
        question: list[Message] = [{"role": "user", "content": "Hello"}]
        try:
            with closing(self._stream(question, ChatOptions(temperature=0, max_tokens=1))) as deltas:
                for delta in deltas:
                    # A token may have no text of its own; then the reason for the end tells of it.
                    if delta.text or delta.reasoning or delta.finish_reason:
                        break
        except Refused as refused:
            if not refused.refusal.may_mean_base_model:
                raise self._error(refused.refusal) from refused
            self._complete()
        return time.monotonic() - begun

    def _stream(self, messages: Sequence[Message], options: ChatOptions) -> Generator[Delta, None, None]:
        """Ask, and yield the answer as it comes. Raises Refused where the server gives none."""
        body: dict[str, object] = {"model": self.model(), "messages": list(messages), "stream": True}
        body |= {"stream_options": {"include_usage": True}}
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.max_tokens is not None:
            body["max_tokens"] = options.max_tokens
        received = 0
        try:
            with self._asked(body) as source:
                for delta in self._deltas(source):
                    received += bool(delta.text or delta.reasoning)
                    yield delta
        except FOREIGN as error:
            raise fault(error, self._server, received) from error
        except BrokenAnswer as error:
            raise cut_off(self._server, received, self._endpoint.redact(str(error))) from error

    def _complete(self) -> None:
        """Ask for one token that goes on with a text."""
        question = {"model": self.model(), "prompt": "Hello", "max_tokens": 1, "temperature": 0}
        url = f"{self._endpoint.base_url}/v1/completions"
        with self._translated(), self._http.stream("POST", url, json=question) as response:
            body = _read(response)
        if response.status_code != httpx.codes.OK:
            raise self._error(_refusal(response, body))
        if not is_completion(body):
            raise self._no_model_server("what should be a completion")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FOREIGN as error:
            raise fault(error, self._server) from error

    @contextmanager
    def _asked(self, body: dict[str, object]) -> Iterator[httpx_sse.EventSource]:
        """Post a question and yield the stream of its answer. Raises Refused when there is none."""
        url = f"{self._endpoint.base_url}/v1/chat/completions"
        kind = {"Content-Type": "application/json"}
        # ASCII, so that text which is no Unicode (a broken argument) is refused by the server and not by an encoder.
        content = json.dumps(body)
        with httpx_sse.connect_sse(self._http, "POST", url, content=content, headers=kind) as source:
            if source.response.status_code == httpx.codes.OK:
                yield source
                return
            refusal = _refusal(source.response, _read(source.response))
        if "stream_options" in body and refusal.complains_of("stream_options", "include_usage"):
            # Nothing was answered yet, so this is the same question, not a second one.
            with self._asked({name: value for name, value in body.items() if name != "stream_options"}) as source:
                yield source
            return
        raise Refused(refusal)

    def _deltas(self, source: httpx_sse.EventSource) -> Iterator[Delta]:
        response = source.response
        if "text/event-stream" not in response.headers.get("content-type", ""):
            raise self._no_model_server("what should be the answer")
        # Server-sent events are UTF-8 (WHATWG HTML 9.2.5), whatever charset the header claims.
        response.encoding = "utf-8"
        response.stream = bounded = _Bounded(response.stream)
        finished = said = False
        for event in source.iter_sse():
            bounded.seen = 0
            if event.data.strip() == "[DONE]":
                if said or finished:
                    return
                raise BrokenAnswer("it ended the answer before the first word")
            if event.data:
                delta = self._delta(event)
                finished = finished or delta.finish_reason is not None
                said = said or bool(delta.text or delta.reasoning)
                yield delta
        # A server that says why the answer ends and then closes the stream in order has left out a formality.
        if not finished:
            raise BrokenAnswer("the stream ended without saying that it is complete")

    def _delta(self, event: httpx_sse.ServerSentEvent) -> Delta:
        delta = read_event(event.data, event.event)
        if isinstance(delta, Delta):
            return delta
        refusal = read_body(_status_of(delta), delta.body)
        if refusal.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise BrokenAnswer(refusal.words or "it met an error that it does not explain")
        raise self._error(refusal)

    def _error(self, refusal: Refusal) -> ModelcarError:
        error = refusal.error(self._server)
        return type(error)(self._endpoint.redact(error.message), error.hint)

    def _no_model_server(self, what: str) -> ModelcarError:
        return NetworkGaveUp(
            f"{self._server} sent something else for {what}", "is this the URL of an OpenAI-compatible server?"
        )


class _Bounded(httpx.SyncByteStream):
    """A response's bytes, up to a limit that the reader of its events moves."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> None:
        assert isinstance(stream, httpx.SyncByteStream)  # noqa: S101  a synchronous client has no other
        self._stream = stream
        self.seen = 0
        """Bytes since the last event."""

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self.seen += len(chunk)
            if self.seen > _EVENT_LIMIT:
                raise httpx.RemoteProtocolError(f"more than {_EVENT_LIMIT >> 20} MiB without an event")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _system_trust() -> ssl.SSLContext | bool:
    """Return this system's own authorities, as curl and kubectl have them; companies add theirs there.

    True, httpx's own bundle, where there are none (Python of python.org on macOS).
    """
    paths = ssl.get_default_verify_paths()
    return ssl.create_default_context() if paths.cafile or paths.capath else True


def _read(response: httpx.Response) -> bytes:
    """Read a body up to the limit; what is longer is no JSON that this program knows."""
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _BODY_LIMIT:
            break
    return bytes(body[:_BODY_LIMIT])


def _refusal(response: httpx.Response, body: bytes) -> Refusal:
    return read_body(
        response.status_code,
        body,
        location=response.headers.get("location", ""),
        retry_after=response.headers.get("retry-after", ""),
    )


def _status_of(event: ErrorEvent) -> int:
    """Return the HTTP status that an error inside a stream would have had."""
    error = event.body.get("error", event.body) if isinstance(event.body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    known = isinstance(code, int) and httpx.codes.BAD_REQUEST <= code <= 599  # noqa: PLR2004  the last HTTP status
    return code if known and isinstance(code, int) else int(httpx.codes.INTERNAL_SERVER_ERROR)
