"""A scripted OpenAI-compatible server: real HTTP on loopback, and every byte of an answer is the test's.

with FakeEndpoint() as endpoint:
    endpoint.serve_models("tiny")
    endpoint.chat(events(delta("Hel"), delta("lo"), delta(finish_reason="stop"), DONE))

A request that the script has no reply for is answered with 501 and makes `__exit__` raise: a test must not pass by
accident.
"""

import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

DONE = "[DONE]"
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
MODELS = "/v1/models"


@dataclass(frozen=True)
class Pause:
    """Wait so many seconds before the next bytes."""

    seconds: float


@dataclass(frozen=True)
class Reset:
    """Cut the connection with a TCP reset."""


@dataclass(frozen=True)
class UntilHangUp:
    """Say nothing until the client closes the connection (at most 20 s)."""


Step = bytes | Pause | Reset | UntilHangUp


@dataclass(frozen=True)
class Reply:
    """What goes over the wire, status line included, step by step; then the connection is closed."""

    steps: tuple[Step, ...]

    def in_pieces(self, size: int) -> "Reply":
        """Return the same bytes, `size` of them a write."""
        return Reply(tuple(piece for step in self.steps for piece in _pieces(step, size)))

    def then(self, *steps: Step) -> "Reply":
        """Return this reply with `steps` after it."""
        return Reply((*self.steps, *steps))


@dataclass(frozen=True)
class Request:
    """What the client sent. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)


def response(status: int, body: bytes | str = b"", content_type: str = "application/json", **headers: str) -> Reply:
    """Return a whole response with a Content-Length."""
    raw = body.encode() if isinstance(body, str) else body
    lines = {"content-type": content_type, "content-length": str(len(raw)), "connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply((_head(status, lines) + raw,))


def wire(raw: bytes) -> Reply:
    """Return a reply of exactly these bytes: recorded traffic, or nonsense."""
    return Reply((raw,))


def stream(*steps: Step, content_type: str = "text/event-stream; charset=utf-8") -> Reply:
    """Return a chunked 200 response of these body parts, each its own chunk, ended in order."""
    head = _head(200, {"content-type": content_type, "transfer-encoding": "chunked", "connection": "close"})
    return Reply((head, *(_chunk(step) if isinstance(step, bytes) else step for step in steps), b"0\r\n\r\n"))


def broken_stream(*steps: Step) -> Reply:
    """Return a chunked 200 response that is never ended: what a killed server leaves."""
    return Reply(stream(*steps).steps[:-1])


def event(data: dict | str, newline: str = "\n") -> bytes:
    """Return one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return f"data: {text}{newline}{newline}".encode()


def events(*items: "dict | str | Step") -> Reply:
    """Return a stream of events; strings and objects become `data:` lines, steps are taken as they are."""
    return stream(*(event(item) if isinstance(item, dict | str) else item for item in items))


def delta(text: str | None = None, *, finish_reason: str | None = None, **said: str) -> dict:
    """Return a chunk of a chat answer, shaped as vLLM 0.32.0 shapes it."""
    content = {} if text is None else {"content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1795549622,
        "model": "tiny",
        "choices": [{"index": 0, "delta": {**content, **said}, "logprobs": None, "finish_reason": finish_reason}],
    }


def usage(prompt: int, completion: int) -> dict:
    """Return the chunk with the token counts, which has no choices."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "tiny", "choices": [], "usage": counts}


def answer(*texts: str, finish_reason: str = "stop") -> Reply:
    """Return a whole, good answer in these pieces, with the usage and the end."""
    return events(
        delta("", role="assistant"),
        *(delta(text) for text in texts),
        delta("", finish_reason=finish_reason),
        usage(7, len(texts)),
        DONE,
    )


def models(*names: str, max_model_len: int = 2048) -> Reply:
    """Return vLLM's list of models."""
    data = [{"id": name, "object": "model", "owned_by": "vllm", "max_model_len": max_model_len} for name in names]
    return response(200, json.dumps({"object": "list", "data": data}))


@dataclass
class FakeEndpoint:
    """The server. Replies to a path are used in their order; the last one stays."""

    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    hung_up: threading.Event = field(default_factory=threading.Event)
    """Set when a client closed its connection during UntilHangUp."""

    def __post_init__(self) -> None:
        self._script: dict[str, deque[Reply]] = {}
        self._unexpected: list[str] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The base URL, without `/v1`."""
        host = "localhost" if self.tls else "127.0.0.1"
        return f"{'https' if self.tls else 'http'}://{host}:{self._server.server_address[1]}"

    def on(self, path: str, *replies: Reply) -> None:
        """Answer requests for `path` with these."""
        self._script[path] = deque(replies)

    def chat(self, *replies: Reply) -> None:
        """Answer questions with these."""
        self.on(CHAT, *replies)

    def serve_models(self, *names: str) -> None:
        """Serve these models."""
        self.on(MODELS, models(*names))

    def asked(self) -> list[dict]:
        """Return the bodies of the questions so far."""
        return [request.json() for request in self.requests if request.path == CHAT]

    def reply_to(self, request: Request) -> Reply:
        """Record a request and return what the script says to it."""
        self.requests.append(request)
        replies = self._script.get(request.path)
        if not replies:
            self._unexpected.append(f"{request.method} {request.path}")
            return response(501, '{"error": "the test has no reply for this"}')
        return replies[0] if len(replies) == 1 else replies.popleft()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._unexpected and exc_info[0] is None:
            raise AssertionError(f"requests without a reply in the script: {self._unexpected}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A reply that waits for its client must not hold up the end of a test.
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that break the connection are what is tested."""


def _handler(endpoint: FakeEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 20

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = endpoint.reply_to(Request(self.command, self.path, headers, body))
            for step in reply.steps:
                self._do(step)
            self.close_connection = True

        do_GET = do_POST = _answer  # noqa: N815  http.server's names

        def _do(self, step: Step) -> None:
            match step:
                case bytes():
                    self.wfile.write(step)
                    self.wfile.flush()
                case Pause():
                    time.sleep(step.seconds)
                case Reset():
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    socket.close(self.connection.detach())  # at once, whatever files are open on it
                case UntilHangUp():
                    if self.connection.recv(1) == b"":
                        endpoint.hung_up.set()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _pieces(step: Step, size: int) -> Iterator[Step]:
    if isinstance(step, bytes):
        yield from (step[start : start + size] for start in range(0, len(step), size))
    else:
        yield step
