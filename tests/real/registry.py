"""Distribution's registry, 3 or 2.8, as a process on loopback: plain, with a password, with tokens, with TLS."""

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme

USER, PASSWORD = "modelcar", "secret-of-the-tests"
_HTPASSWD = f"{USER}:$2b$04$Qip9qoqnN0mdUs4rmeostuVA5O1Llbzbp7u1BwxUAoFBXVKtoFSjq\n"  # bcrypt, all that it takes
_START = 20.0  # seconds in which a registry starts, on a machine that does something else too
_ACCESS = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/1\.1" (?P<status>\d+) ')


@dataclass(frozen=True)
class Registry:
    """A registry that runs; `host` is HOST:PORT, `log` its access log."""

    host: str
    log: Path
    restart: Callable[[float], None]
    """Kill it, let so many seconds pass, and start it anew: it signs its uploads with another secret then."""

    def uploaded(self) -> int:
        """Return how many bytes its uploads under way hold."""
        held = 0
        for data in (self.log.parent / "storage").glob("docker/registry/v2/repositories/**/_uploads/*/data"):
            with suppress(FileNotFoundError):  # it became a blob meanwhile
                held += data.stat().st_size
        return held

    def requests(self, path: str = "") -> list[tuple[str, str, int]]:
        """Return what it was asked, by a pattern in the path: method, path with query, status."""
        found = [(match["method"], match["path"], int(match["status"])) for match in _ACCESS.finditer(self._read())]
        return [request for request in found if re.search(path, request[1])]

    def _read(self) -> str:
        return self.log.read_text("utf-8", "replace")


@contextmanager
def serve(
    program: Path,
    folder: Path,
    *,
    password: bool = False,
    tokens: Callable[[Path], dict[str, object]] | None = None,
    authority: trustme.CA | None = None,
) -> Iterator[Registry]:
    """Run the registry `program` with everything it keeps in `folder`; with `password`, for USER alone.

    `tokens` writes what the registry needs of a token server into the folder and returns its `auth` section.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": f"127.0.0.1:{port}", **(_certificate(authority, folder) if authority else {})},
    }
    if password:
        (folder / "htpasswd").write_text(_HTPASSWD, "ascii")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    if tokens:
        config["auth"] = tokens(folder)
    (folder / "config.yml").write_text(json.dumps(config), "utf-8")  # JSON is YAML
    processes = [_start(program, folder, port)]

    def restart(seconds: float) -> None:
        processes[-1].kill()
        processes[-1].wait()
        time.sleep(seconds)
        processes.append(_start(program, folder, port))

    try:
        yield Registry(f"127.0.0.1:{port}", folder / "log", restart)
    finally:
        processes[-1].terminate()
        processes[-1].wait()


def _start(program: Path, folder: Path, port: int) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "serve", folder / "config.yml"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
    _wait_for(process, port, folder / "log")
    return process


def _certificate(authority: trustme.CA, folder: Path) -> dict[str, dict[str, str]]:
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return {"tls": {"certificate": str(folder / "server.pem"), "key": str(folder / "server.pem")}}


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + _START
    while True:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < ends, f"the registry does not listen:\n{log.read_text()}"
        time.sleep(0.05)
