"""llama.cpp, in this process, answering one chat at a time."""

import queue
import tempfile
import threading
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xllamacpp  # type: ignore[import-untyped, import-not-found]  # it ships no types, and lives in a venv of its own

from tests.llm.gguf_file import Model, write_gguf
from tests.llm.protocol import RequestError, prompt_too_long


@dataclass(frozen=True, slots=True)
class Piece:
    """What the engine said last: text, why it ended, token counts; each may be missing."""

    text: str = ""
    finish: str | None = None
    usage: Mapping[str, int] | None = None


class Engine:
    """A loaded model."""

    def __init__(self, model: Model, context_length: int, threads: int) -> None:
        """Load `model`, by way of a GGUF file that is gone again when this returns (llama.cpp has it mapped)."""
        self._context_length = context_length
        with tempfile.TemporaryDirectory(prefix="gguf-") as scratch:
            file = Path(scratch) / "model.gguf"
            write_gguf(model, file)
            settings = xllamacpp.CommonParams()
            settings.model.path = str(file)
            settings.n_ctx = context_length
            settings.n_parallel = 1
            settings.port = 0  # its own HTTP server is not what we serve
            settings.verbosity = 1
            settings.ui = False
            # With as many threads as busy cores its spinning barriers bring it down to a few tokens a second.
            settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
            self._server = xllamacpp.Server(settings)

    def answer(self, sampling: Mapping[str, Any]) -> Generator[Piece, None, None]:
        """Give the pieces of an answer as they come. Closing the iterator stops the engine.

        `RequestError` when the engine refuses the prompt.
        """
        asked = {**sampling, "stream": True, "stream_options": {"include_usage": True}}
        said: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        stop = threading.Event()

        def hear(part: Mapping[str, Any]) -> bool:
            said.put(part)
            return stop.is_set()

        def run() -> None:
            try:
                last = self._server.handle_chat_completions(asked, hear)
                if last:
                    said.put(last)
            except (RuntimeError, ValueError) as error:
                said.put({"error": {"message": str(error)}})
            finally:
                said.put(None)

        threading.Thread(target=run, daemon=True).start()
        try:
            for part in iter(said.get, None):
                yield from self._pieces(part)
        finally:
            stop.set()

    def _pieces(self, part: Mapping[str, Any]) -> Iterator[Piece]:
        if "error" in part:
            if part["error"].get("n_prompt_tokens"):
                raise prompt_too_long(self._context_length)
            raise RequestError(400, part["error"]["message"])
        if part.get("usage"):
            names = ("prompt_tokens", "total_tokens", "completion_tokens")
            yield Piece(usage={name: part["usage"].get(name, 0) for name in names})
        for choice in part["choices"]:
            yield Piece(choice["delta"].get("content") or "", choice["finish_reason"])
