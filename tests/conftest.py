"""Every test is sealed: no network but this machine's, and a home of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from kubectl_modelcar.cli import run

pytest_plugins = ["tests.tools.fixtures", "tests.llm.fixtures", "tests.cluster.fixtures", "tests.fakes.fixtures"]

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Invoked:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the test an empty home and nothing of its caller's configuration; return the home."""
    home = tmp_path_factory.mktemp("home")
    for name in [
        name for name in os.environ if name.startswith(("HF_", "HUGGING", "KUBE", "DOCKER", "HELM_", "REGISTRY_"))
    ]:
        monkeypatch.delenv(name)
    for name in (
        "SOURCE_DATE_EPOCH",
        "NO_COLOR",
        "FORCE_COLOR",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "PYTHONUNBUFFERED",
        "_",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, folder in {
        "HOME": "",
        "XDG_CONFIG_HOME": ".config",
        "XDG_CACHE_HOME": ".cache",
        "XDG_RUNTIME_DIR": "run",
    }.items():
        monkeypatch.setenv(name, str(home / folder))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("KUBECONFIG", str(home / "no-kubeconfig"))
    return home


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections of this process to other machines; the cluster's own addresses are of this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and not _is_local(str(address[0])):
            raise AssertionError(f"a test wants to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    address = ip_address(host)
    return address.is_loopback or host.startswith(("192.168.77.", "10.244.", "10.96."))


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Invoked]:
    """Run the command line in this process, as the plugin that kubectl runs."""
    monkeypatch.setattr(sys, "argv", ["kubectl-modelcar"])

    def invoke(*arguments: object) -> Invoked:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Invoked(code, captured.out, captured.err)

    return invoke


@pytest.fixture
def invoke_process() -> Callable[..., Invoked]:
    """Run the command line as a process of its own."""

    def invoke(*arguments: object, **environment: str) -> Invoked:
        done = subprocess.run(
            [sys.executable, "-m", "kubectl_modelcar", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | environment,
        )
        return Invoked(done.returncode, done.stdout, done.stderr)

    return invoke


@pytest.fixture
def checkout() -> Path:
    """Return the folder of the checkout."""
    return CHECKOUT
