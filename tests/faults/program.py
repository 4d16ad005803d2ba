"""Our command line as a process: started, watched, interrupted, killed; and a line to its registry that can pause."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.conftest import CHECKOUT, Invoked
from tests.fakes.registry import FakeRegistry
from tests.real.models import write
from tests.source.weights import index, weights

LARGE = 100_000
"""Bytes from which `tests.faults.small` makes a file a layer of its own."""
PATIENCE = 60.0  # seconds after which a process that does not end is a failure


def model(folder: Path, shards: int = 6, size: int = 300_000, *, old: bool = True) -> Path:
    """Write a model of that many shards of different sizes; `old`: long enough ago for its files to be remembered."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    files = {name: weights(size + number, seed=number) for number, name in enumerate(names)}
    write(folder, {"config.json": b'{"model_type": "llama"}', "model.safetensors.index.json": index(*names), **files})
    for path in folder.iterdir() if old else ():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


@dataclass
class Running:
    """A command that runs; its stdout and stderr go to files, so that nobody has to read them meanwhile."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    started: float

    def interrupt(self) -> None:
        """Send what ^C sends."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self.process.kill()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def wait(self) -> Invoked:
        """Wait for its end and return what it left."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.process.args} does not end:\n{self.err.read_text()}") from None
        return Invoked(code, self.out.read_text("utf-8"), self.err.read_text("utf-8"))


def start(folder: Path, *arguments: object, small: bool = True, **environment: str) -> Running:
    """Start our command line; `small` has files of 100 kB and more be layers of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.iterdir()))
    out, err = folder / f"{number}.out", folder / f"{number}.err"
    module = "tests.faults.small" if small else "kubectl_modelcar"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=CHECKOUT,  # where -m finds tests.faults.small
            env={**os.environ, **environment},
        )
    return Running(process, out, err, time.monotonic())


@dataclass
class Line:
    """A line to HOST:PORT that pauses once, after so many bytes from the client; a context manager.

    `reached` is set then, and nothing passes until `go_on` is. `bytes_per_second` makes it slow, both ways.
    """

    target: str
    pause_after: int | None = None
    bytes_per_second: int | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    host: str = ""
    """HOST:PORT of this end."""
    passed: int = 0
    """Bytes that came from the client so far."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # a pause is soon felt by the client
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._server, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self.go_on.set()  # now: what waited is lost

    def _accept(self) -> None:
        host, _, port = self.target.rpartition(":")
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection((host, int(port)))
                self._sockets += [client, server]
                for one, other, counted in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=(one, other, counted), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:  # noqa: FBT001  of a thread
        with suppress(OSError):
            while data := source.recv(65_536):
                if counted:
                    data = self._paused(data, sink)
                if self.bytes_per_second:
                    time.sleep(len(data) / self.bytes_per_second)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _paused(self, data: bytes, sink: socket.socket) -> bytes:
        """Count bytes; send those before the pause, if it is now, wait, and return the others."""
        with self._lock:
            before, self.passed = self.passed, self.passed + len(data)
        if self.pause_after is None or self.go_on.is_set() or self.passed <= self.pause_after:
            return data
        head = max(0, self.pause_after - before)
        sink.sendall(data[:head])
        self.reached.set()
        self.go_on.wait()
        return data[head:]


def left_open(registry: FakeRegistry) -> list[str]:
    """Return the uploads that were not taken back, but for those that a client that ended need not have heard of."""
    return [name for name, upload in registry.uploads.items() if upload.size]


def spread(count: int, most: int, seed: int) -> Sequence[int]:
    """Return that many random points from 0 to `most`, one in each of as many equal parts."""
    chosen = random.Random(seed)  # noqa: S311  no secret
    return [int((number + chosen.random()) * most / count) for number in range(count)]


def environment_of(home: Path) -> Mapping[str, str]:
    """Return an environment with an own home and an own folder for temporary files."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "TMPDIR": str(home / "tmp")}
