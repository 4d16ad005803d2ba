"""A light real model server for tests and demos: vLLM's flags, HTTP face and start-up log over llama.cpp.

    python -m tests.llm.serve serve FOLDER [--served-model-name NAME...] [--host H] [--port N] [--max-model-len N]
    python -m tests.llm.serve --model FOLDER ...

FOLDER is a Hugging Face folder of a Llama-shaped model with a byte-level BPE tokenizer (SmolLM2). At temperature 0 the
answers are those of vLLM in float32. Flags that vLLM has and this has not are named in the log and ignored. As in
vLLM nothing listens before the model is loaded, /health has an empty body, and a key guards /v1 only. `--port 0` takes
a free port; the log says which. Needs requirements.txt beside this file.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.llm.engine import Engine
from tests.llm.gguf_file import Model
from tests.llm.http_face import HttpFace
from tests.llm.protocol import VERSION, Served


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    model: Path
    names: tuple[str, ...]
    host: str
    port: int
    keys: tuple[str, ...]
    context_length: int | None
    threads: int
    ignored: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Options:
    """Read vLLM's command line, in the form of `vllm serve` and in that of its api_server module."""
    words = list(arguments)
    if words[:1] == ["serve"]:
        del words[0]
    if words and not words[0].startswith("-"):
        words.insert(0, "--model")
    parser = argparse.ArgumentParser(prog="python -m tests.llm.serve", allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104  # vLLM's default; in a pod it must be all addresses
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key", nargs="+")
    parser.add_argument("--max-model-len", type=int)
    parser.add_argument("--threads", type=int, default=1)
    given, ignored = parser.parse_known_args(words)
    from_environment = os.environ.get("VLLM_API_KEY")
    return Options(
        model=given.model,
        names=tuple(given.served_model_name or [str(given.model)]),
        host=given.host,
        port=given.port,
        keys=tuple(given.api_key or ([from_environment] if from_environment else [])),
        context_length=given.max_model_len,
        threads=given.threads,
        ignored=tuple(ignored),
    )


def log(process: str, text: str, level: str = "INFO") -> None:
    """Write a line in vLLM's form, so that what reads vLLM's log reads this one."""
    clock = time.strftime("%m-%d %H:%M:%S")
    sys.stdout.write(f"({process} pid={os.getpid()}) {level} {clock} [serve.py:1] {text}\n")
    sys.stdout.flush()


def load(options: Options) -> tuple[Served, Engine]:
    """Load the model. `OSError`, `ValueError` or `KeyError` when the folder is not one that can be served."""
    model = Model(options.model)
    log("APIServer", f"Resolved architecture: {model.config['architectures'][0]}")
    most = model.config["max_position_embeddings"]
    length = options.context_length or most
    if length > most:
        derived = f"derived max_model_len (max_position_embeddings={float(most)})"
        raise ValueError(f"User-specified max_model_len ({length}) is greater than the {derived}")
    log("APIServer", f"Using max model len {length}")
    log("Worker", f"Starting to load model {options.model}...")
    start = time.monotonic()
    engine = Engine(model, length, options.threads)
    log("Worker", f"Loading weights took {time.monotonic() - start:.2f} seconds")
    capacity = f"{length:,} tokens, Maximum concurrency for {length:,} tokens per request: 1.00x"
    log("EngineCore", f"CPU KV cache size: {capacity}")
    return Served(options.names, str(options.model), length), engine


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 1 for a model that cannot be served, as vLLM."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    # As process 1 of a container there is no default action: without a handler SIGTERM would do nothing.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: sys.exit(0))
    engine_name = f"llama.cpp, speaking like vLLM {VERSION}"
    log("APIServer", f"{engine_name}, model {options.model}, ignored flags: {json.dumps(options.ignored)}")
    try:
        face = HttpFace(options.host, options.port)  # a port in use ends it before the long work, as in vLLM
        served, engine = load(options)
    except (OSError, ValueError, KeyError) as error:
        log("APIServer", f"{type(error).__name__}: {error}", "ERROR")
        return 1
    face.open(served, engine, options.keys)
    log("APIServer", f"Starting vLLM server on http://{options.host}:{face.server_port}")
    sys.stdout.write("INFO:     Application startup complete.\n")
    sys.stdout.flush()
    face.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
