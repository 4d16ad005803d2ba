"""What the tests on real parts share: registries, the real client tools, and a small model of one's own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.conftest import Invoked
from tests.real.models import write
from tests.real.registry import Registry, serve
from tests.real.toxiproxy import Toxiproxy, serve_toxiproxy

Tool = Callable[..., bytes]


@pytest.fixture(scope="session")
def plain(real_tool, tmp_path_factory) -> Iterator[Registry]:
    """Run a registry without TLS that lets anybody push; tests share it and each has repositories of its own."""
    with serve(real_tool("registry"), tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def old(real_tool, tmp_path_factory) -> Iterator[Registry]:
    """Run Debian's registry 2.8, which loses an upload whose connection breaks."""
    with serve(real_tool("docker-registry"), tmp_path_factory.mktemp("old")) as running:
        yield running


@pytest.fixture(scope="session")
def private(real_tool, tmp_path_factory) -> Iterator[Registry]:
    """Run a registry that asks everybody for a password (htpasswd, Basic)."""
    with serve(real_tool("registry"), tmp_path_factory.mktemp("private"), password=True) as running:
        yield running


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Make an authority that no machine trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def secure(real_tool, tmp_path_factory, authority) -> Iterator[Registry]:
    """Run a registry with TLS by that authority."""
    with serve(real_tool("registry"), tmp_path_factory.mktemp("secure"), authority=authority) as running:
        yield running


@pytest.fixture(scope="session")
def toxiproxy(real_tool, tmp_path_factory) -> Iterator[Toxiproxy]:
    """Run toxiproxy; a test asks it for a wire of its own."""
    with serve_toxiproxy(real_tool("toxiproxy"), tmp_path_factory.mktemp("toxiproxy")) as running:
        yield running


@pytest.fixture(scope="session")
def runner() -> Callable[[Path], Tool]:
    """Give what makes a function of a program: it runs it and returns what it prints."""
    return _runner


@pytest.fixture(scope="session")
def skopeo(real_tool) -> Tool:
    """Give a function that runs skopeo and returns what it prints."""
    return _runner(real_tool("skopeo"))


@pytest.fixture(scope="session")
def oras(real_tool) -> Tool:
    """Give a function that runs oras and returns what it prints."""
    return _runner(real_tool("oras"))


@pytest.fixture(scope="session")
def crane(real_tool) -> Tool:
    """Give a function that runs crane, which speaks plain HTTP to loopback by itself, and returns what it prints."""
    return _runner(real_tool("crane"))


@pytest.fixture(scope="session")
def modelcar() -> Callable[..., Invoked]:
    """Give a function that runs our command line as somebody with a new home and nothing else in the environment.

    Fixtures that live longer than a test need it: the seal of `sealed` holds for one test.
    """

    def run(home: Path, *arguments: object, before: tuple[object, ...] = (), **environment: str) -> Invoked:
        clean = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        command = [*map(str, before), sys.executable, "-m", "kubectl_modelcar", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, env=clean | environment
        )
        return Invoked(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def model(tmp_path) -> Path:
    """Write a small model; return its folder."""
    return write(tmp_path / "model")


def _runner(program: Path) -> Tool:
    def run(*arguments: object, folder: Path | None = None) -> bytes:
        done = subprocess.run(
            [program, *map(str, arguments)], cwd=folder, capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{program.name} {arguments} ended with {done.returncode}:\n{done.stderr.decode()}"
        return done.stdout

    return run
