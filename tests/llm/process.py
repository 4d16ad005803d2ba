"""Run the light real server as a process of its own."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.llm.prepare import NAME, ROOT, prepare

_READY = re.compile(r"Starting vLLM server on (http://\S+:\d+)\n.*Application startup complete", re.DOTALL)


class ServerDied(Exception):
    """The server ended before it was ready; the text is its log."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that is ready."""

    url: str
    """`http://HOST:PORT`, without a path."""
    process: subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """Return what it has logged so far."""
        return self.log.read_text("utf-8")


@contextmanager
def serving(folder: Path, *flags: str, key: str | None = None, seconds: float = 60) -> Iterator[ModelServer]:
    """Serve `folder` on a free port of 127.0.0.1 until the block ends; `ServerDied` when it cannot be served."""
    command = [prepare().python, "-m", "tests.llm.serve", "serve", folder, "--host", "127.0.0.1", "--port", "0"]
    if "--served-model-name" not in flags:
        command += ["--served-model-name", NAME]
    environment = {name: value for name, value in os.environ.items() if name != "VLLM_API_KEY"}
    if key:
        environment["VLLM_API_KEY"] = key  # not a flag: everybody can read a command line
    with tempfile.TemporaryDirectory(prefix="model-server-") as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*command, *flags], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
        try:
            yield ModelServer(_wait(process, log, seconds), process, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ready = _READY.search(log.read_text("utf-8"))
        if ready:
            return ready[1]
        if process.poll() is not None:
            raise ServerDied(log.read_text("utf-8"))
        time.sleep(0.05)
    raise ServerDied(f"not ready after {seconds:.0f} s:\n{log.read_text('utf-8')}")
