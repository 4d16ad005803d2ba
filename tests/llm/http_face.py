"""The HTTP face: routes, the key, and how an answer goes out, whole or as a stream of events."""

import hmac
import itertools
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.llm.engine import Engine, Piece
from tests.llm.protocol import VERSION, ChatRequest, Reply, RequestError, Served, parse_chat

_GUARDED = ("/v1", "/v2", "/inference", "/cohere")
"""What an API key guards (vLLM 0.32.0, GUARDED_PREFIX); the rest is open."""

_CHAT = "/v1/chat/completions"
_METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Counts:
    """What /metrics and /load tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.running = 0
        self.prompt_tokens = 0
        self.generation_tokens = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count a request as running."""
        with self._lock:
            self.running += 1
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1

    def add(self, usage: dict[str, int]) -> None:
        """Count the tokens of an answer."""
        with self._lock:
            self.prompt_tokens += usage["prompt_tokens"]
            self.generation_tokens += usage["completion_tokens"]

    def exposition(self, model: str) -> str:
        """Return Prometheus' text of the numbers, under vLLM's names."""
        label = f'{{engine="0",model_name="{model}"}}'
        rows = (
            ("num_requests_running", "gauge", self.running),
            ("prompt_tokens_total", "counter", self.prompt_tokens),
            ("generation_tokens_total", "counter", self.generation_tokens),
        )
        return "".join(f"# TYPE vllm:{name} {kind}\nvllm:{name}{label} {value:.1f}\n" for name, kind, value in rows)


class HttpFace(ThreadingHTTPServer):
    """The server: it has its port at once, and listens when `open` hands it a loaded model."""

    daemon_threads = True
    served: Served
    engine: Engine
    keys: tuple[str, ...]

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), _Handler, bind_and_activate=False)
        self.server_bind()
        self.counts = Counts()

    def open(self, served: Served, engine: Engine, keys: tuple[str, ...]) -> None:
        """Listen."""
        self.served, self.engine, self.keys = served, engine, keys
        self.server_activate()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HttpFace

    def version_string(self) -> str:
        return "uvicorn"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del size
        peer = f"{self.client_address[0]}:{self.client_address[1]}"
        sys.stdout.write(f'INFO:     {peer} - "{self.requestline}" {int(code)}\n')
        sys.stdout.flush()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        path = self.path.partition("?")[0]
        if path.startswith(_GUARDED) and not self._has_key():
            self._reply(401, {"error": "Unauthorized"})
            return
        try:
            self._route(path, body)
        except RequestError as error:
            self._reply(error.status, error.body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client went away, and the engine has been stopped

    do_POST = do_GET  # noqa: N815  # the name is http.server's

    def _has_key(self) -> bool:
        if not self.server.keys:
            return True
        scheme, _, key = (self.headers.get("authorization") or "").partition(" ")
        right = [hmac.compare_digest(key.encode(), each.encode()) for each in self.server.keys]
        return scheme.lower() == "bearer" and any(right)

    def _route(self, path: str, body: bytes) -> None:
        served, counts = self.server.served, self.server.counts
        if (self.command, path) == ("POST", _CHAT):
            request = parse_chat(body, self.headers.get("content-type") or "", served)
            with counts.request(), closing(self.server.engine.answer(request.sampling)) as pieces:
                self._answer(request, pieces)
        elif path == "/ping" or (self.command, path) == ("GET", "/health"):
            self._reply(200, None)
        elif path in {_CHAT, "/health"}:
            self._reply(405, {"detail": "Method Not Allowed"})
        else:
            self._read_only(path)

    def _read_only(self, path: str) -> None:
        served, counts = self.server.served, self.server.counts
        answers: dict[str, Any] = {
            "/version": {"version": VERSION},
            "/load": {"server_load": counts.running},
            "/v1/models": served.models(),
            "/metrics": counts.exposition(served.names[0]),
        }
        if path not in answers:
            self._reply(404, {"detail": "Not Found"})
        elif self.command != "GET":
            self._reply(405, {"detail": "Method Not Allowed"})
        else:
            self._reply(200, answers[path])

    def _answer(self, request: ChatRequest, pieces: Iterator[Piece]) -> None:
        reply = Reply(request.model)
        if request.stream:
            usage = self._stream(reply, pieces, with_usage=request.with_usage)
        else:
            text, finish, usage = "", "stop", dict.fromkeys(_USAGE, 0)
            for piece in pieces:
                text += piece.text
                finish = piece.finish or finish
                usage = dict(piece.usage or usage)
            self._reply(200, reply.whole(text, finish, usage))
        self.server.counts.add(usage)

    def _stream(self, reply: Reply, pieces: Iterator[Piece], *, with_usage: bool) -> dict[str, int]:
        """Send the answer as events. The status goes out with the first piece: a refusal before it is plain JSON."""
        first = next(pieces)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._event(reply.chunk({"role": "assistant", "content": ""}))
        usage = dict.fromkeys(_USAGE, 0)
        try:
            for event in self._events(reply, itertools.chain([first], pieces), usage):
                self._event(event)
            if with_usage:
                self._event(reply.usage_chunk(usage))
        except RequestError as error:
            self._event(error.body)  # the status has gone out as 200; vLLM says it as an event
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        return usage

    def _events(self, reply: Reply, pieces: Iterator[Piece], usage: dict[str, int]) -> Iterator[dict[str, Any]]:
        """Give the events with text, and fill `usage`.

        One piece is held back: an end by "length" comes with the last text, one by "stop" after it.
        """
        held, finish = "", "stop"
        for piece in pieces:
            if piece.text:
                if held:
                    yield reply.chunk({"content": held}, token_ids=None)
                held = piece.text
            finish = piece.finish or finish
            usage.update(piece.usage or {})
        if held and finish == "stop":
            yield reply.chunk({"content": held}, token_ids=None)
            held = ""
        yield reply.chunk({"content": held}, finish, stop_reason=None, token_ids=None)

    def _event(self, value: str | dict[str, Any]) -> None:
        data = f"data: {value if isinstance(value, str) else _json(value)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _reply(self, status: int, body: str | dict[str, Any] | None) -> None:
        data = b"" if body is None else (body if isinstance(body, str) else _json(body)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if body is not None:
            self.send_header("content-type", _METRICS_TYPE if isinstance(body, str) else "application/json")
        self.end_headers()
        self.wfile.write(data)


_USAGE = ("prompt_tokens", "total_tokens", "completion_tokens")


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
