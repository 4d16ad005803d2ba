"""vLLM's side of the OpenAI API as values: what a request may say, how a refusal reads, what an answer looks like.

The texts are those of a recorded vLLM 0.32.0; a client that understands these understands the real server.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "0.32.0"

_SAMPLING = (
    "frequency_penalty",
    "ignore_eos",
    "messages",
    "min_p",
    "presence_penalty",
    "response_format",
    "seed",
    "stop",
    "temperature",
    "top_k",
    "top_p",
)


class RequestError(Exception):
    """A request that vLLM refuses: an HTTP status, and the body that says why."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": status}}


@dataclass(frozen=True, slots=True)
class Served:
    """What this server serves."""

    names: tuple[str, ...]
    root: str
    """The folder that the model came from."""
    context_length: int
    """Tokens of prompt and answer together."""
    created: int = field(default_factory=lambda: int(time.time()))

    def models(self) -> dict[str, Any]:
        """Return the body of /v1/models."""
        shared = {
            "object": "model",
            "created": self.created,
            "owned_by": "vllm",
            "root": self.root,
            "parent": None,
            "max_model_len": self.context_length,
            "permission": [],
        }
        return {"object": "list", "data": [{"id": name, **shared} for name in self.names]}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One accepted request."""

    model: str
    stream: bool
    with_usage: bool
    """Whether a stream ends with an event of token counts."""
    sampling: Mapping[str, Any]
    """What the engine is asked, in the API's own names."""


def parse_chat(raw: bytes, content_type: str, served: Served) -> ChatRequest:
    """Return what `raw` asks for; `RequestError` in vLLM's words when it may not."""
    body = _parse_json(raw, content_type)
    model = body.get("model") or served.names[0]
    if model not in served.names:
        aliases = ", ".join(served.names)
        raise RequestError(
            404,
            f"The model `{model}` does not exist. Valid aliases: {aliases}.",
            "NotFoundError",
            "model",
        )
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    _check_limits(body, limit, served)
    _check_content(body, served)
    sampling = {name: body[name] for name in _SAMPLING if body.get(name) is not None}
    sampling["max_tokens"] = limit or served.context_length
    usage = (body.get("stream_options") or {}).get("include_usage")
    return ChatRequest(model, stream=bool(body.get("stream")), with_usage=bool(usage), sampling=sampling)


def _parse_json(raw: bytes, content_type: str) -> dict[str, Any]:
    problem, where = "", None
    body: Any = {}
    if not content_type.startswith("application/json"):
        problem = "  Unsupported Media Type: Only 'application/json' is allowed"
    else:
        try:
            body = json.loads(raw)
        except ValueError as error:
            where = f"body.{getattr(error, 'pos', 0)}"
            said = f"'input': '<dict of 0 items>', 'ctx': {{'error': '{getattr(error, 'msg', error)}'}}"
            problem = f"  {{'type': 'json_invalid', 'loc': '{where}', 'msg': 'JSON decode error', {said}}}"
        else:
            if not isinstance(body, dict) or "messages" not in body:
                where = "body.messages"
                said = f"'msg': 'Field required', 'input': '<dict of {len(body)} items>'"
                problem = f"  {{'type': 'missing', 'loc': '{where}', {said}}}"
    if problem:
        raise RequestError(400, f"1 validation error:\n{problem}", "Bad Request", where)
    fields: dict[str, Any] = body
    return fields


def _check_limits(body: Mapping[str, Any], limit: int | None, served: Served) -> None:
    if limit and limit > served.context_length:
        raise RequestError(
            400,
            f"max_tokens={limit} cannot be greater than max_model_len={served.context_length}. "
            f"Please request fewer output tokens. (parameter=max_tokens, value={limit})",
            param="max_tokens",
        )
    temperature = float(body.get("temperature") or 0)
    if temperature < 0:
        raise RequestError(
            400,
            f"temperature must be non-negative, got {temperature}. (parameter=temperature, value={temperature})",
            param="temperature",
        )


def _check_content(body: Mapping[str, Any], served: Served) -> None:
    contents = [message.get("content") for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    if any(part.get("type") != "text" for part in parts):
        raise RequestError(400, f"{served.names[0]} is not a multimodal model")
    if body.get("tools") and body.get("tool_choice", "auto") == "auto":
        raise RequestError(
            400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        )


def prompt_too_long(context_length: int) -> RequestError:
    """Return vLLM's refusal of a prompt that fills the context: it never says the prompt's real length."""
    least = context_length + 1
    return RequestError(
        400,
        f"This model's maximum context length is {context_length} tokens. However, your prompt contains at least "
        f"{least} input tokens, which exceeds this limit even without any output tokens. Please reduce the length of "
        f"the input prompt. (parameter=input_tokens, value={least})",
        param="input_tokens",
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """The bodies of one answer, whole or in pieces."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(8)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def _body(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: object) -> dict[str, Any]:
        """Return one event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}
        return {**self._body("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """Return the event after the last one of text: no choices, the token counts."""
        counted = {"choices": [], "usage": usage, "system_fingerprint": _FINGERPRINT}
        return {**self._body("chat.completion.chunk"), **counted}

    def whole(self, text: str, finish: str, usage: Mapping[str, int]) -> dict[str, Any]:
        """Return the body of an answer in one piece."""
        absent = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, **absent},
            "logprobs": None,
            "finish_reason": finish,
            "stop_reason": None,
            "token_ids": None,
        }
        about = {"service_tier": None, "system_fingerprint": _FINGERPRINT, "usage": usage}
        return {**self._body("chat.completion"), "choices": [choice], **about}


_FINGERPRINT = f"vllm-{VERSION}-llamacpp"
