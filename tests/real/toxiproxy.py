"""Toxiproxy between a client and a registry: what slow, narrow and broken networks do to a connection."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

from tests.real.relay import Relay, relay_to

_START = 20.0


@dataclass(frozen=True)
class Wire:
    """A way to an upstream: client, a relay that counts, toxiproxy, upstream."""

    api: str
    name: str
    relay: Relay

    @property
    def host(self) -> str:
        """Where clients connect to."""
        return self.relay.host

    def poison(self, kind: str, *, stream: str = "upstream", **attributes: int) -> str:
        """Spoil all connections, those that are open too; return the toxic's name.

        Kinds and attributes are toxiproxy's: latency (latency, jitter in ms), bandwidth (rate in KB/s), timeout (ms),
        reset_peer (timeout in ms), limit_data (bytes a connection), slicer.
        """
        toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
        _ask(f"{self.api}/proxies/{self.name}/toxics", "POST", toxic)
        return f"{kind}-{stream}"

    def cure(self, toxic: str) -> None:
        """Take a toxic away."""
        _ask(f"{self.api}/proxies/{self.name}/toxics/{toxic}", "DELETE")

    def carried(self, direction: str = "upstream") -> int:
        """Return how many bytes clients sent into it ("upstream"), or were sent ("downstream"), headers included."""
        return self.relay.counts[direction]


@dataclass
class Toxiproxy:
    """The proxy's server."""

    api: str
    count: int = 0

    @contextmanager
    def wire(self, upstream: str) -> Iterator[Wire]:
        """Have a way to HOST:PORT that nobody else uses."""
        self.count += 1
        name = f"wire-{self.count}"
        proxy = {"name": name, "listen": "127.0.0.1:0", "upstream": upstream, "enabled": True}
        listens = json.loads(_ask(f"{self.api}/proxies", "POST", proxy))["listen"]
        try:
            with relay_to(listens) as relay:
                yield Wire(self.api, name, relay)
        finally:
            _ask(f"{self.api}/proxies/{name}", "DELETE")


@contextmanager
def serve_toxiproxy(program: Path, folder: Path) -> Iterator[Toxiproxy]:
    """Run the proxy's server on loopback."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        command = [program, "-host", "127.0.0.1", "-port", str(port)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        ends = time.monotonic() + _START
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < ends, "toxiproxy does not listen"
            time.sleep(0.05)
        yield Toxiproxy(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


def _ask(url: str, method: str = "GET", body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    headers = {"User-Agent": "tests", "Content-Type": "application/json"}  # it refuses what looks like a browser
    request = Request(url, data, headers, method=method)  # noqa: S310  loopback
    with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
        return answer.read().decode()
