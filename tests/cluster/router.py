"""OpenShift's router, small: it admits every Route, ends TLS and hands requests on to the Route's Service.

`python -m tests.cluster.router KUBECTL KUBECONFIG CERTIFICATE`, inside the cluster's network, on port 443. A Route
without a host gets NAME-NAMESPACE.DOMAIN, as from OpenShift's API server. What no Route asks for is answered with 503,
as there. Each request is a line on stdout: METHOD HOST PATH, and where it went.
"""

import asyncio
import json
import ssl
import sys
from dataclasses import dataclass, field

DOMAIN = "apps.cluster.test"

_HEAD_LIMIT = 1 << 16
_UNAVAILABLE = b"<html><body><h1>Application is not available</h1></body></html>\n"
_LINE = (
    "{{.metadata.namespace}} {{.metadata.name}} {{.spec.to.name}} {{.spec.port.targetPort}} "
    '{{or .spec.path "/"}} {{or .spec.host ""}}{{"\\n"}}'
)


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a host's requests go, and which of them."""

    path: str
    address: str
    port: int

    def takes(self, path: str) -> bool:
        """Tell whether a request's path is the Route's, or below it (the router's `path_beg` by whole segments)."""
        asked = path.partition("?")[0]
        return asked == self.path or asked.startswith(self.path.rstrip("/") + "/")


@dataclass
class Router:
    """The table of Routes, and the server before them."""

    backends: dict[str, Backend] = field(default_factory=dict)
    """By host."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request; the connection ends with it, so that no second one goes by unlooked at."""
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, OSError) as error:
            print(f"broken: {error!r}", flush=True)  # noqa: T201  the log
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        method, path, _ = request.split(" ")
        named = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)}
        host = named["host"].partition(":")[0]
        backend = self.backends.get(host)
        if backend is None or not backend.takes(path):
            print(method, host, path, "nowhere", flush=True)  # noqa: T201  the log
            writer.write(b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/html\r\n\r\n" + _UNAVAILABLE)
            await writer.drain()
            return
        print(method, host, path, backend.address, flush=True)  # noqa: T201  the log
        back, forth = await asyncio.open_connection(backend.address, backend.port)
        kept = [line for line in fields if not line.lower().startswith("connection:")]
        forth.write("\r\n".join([request, *kept, "Connection: close", "", ""]).encode("latin-1"))
        sending = asyncio.create_task(_carry(reader, forth))
        try:
            await _carry(back, writer)
        finally:
            sending.cancel()
            forth.close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        target.write(data)
        await target.drain()


async def watch(router: Router, kubectl: list[str]) -> None:
    """Admit Routes as they come, until the watch ends."""
    changes = await asyncio.create_subprocess_exec(
        *kubectl, "get", "routes", "-A", "--watch", "-o", f"go-template={_LINE}", stdout=asyncio.subprocess.PIPE
    )
    assert changes.stdout is not None
    async for line in changes.stdout:
        namespace, name, service, port, path, *hosts = line.decode().split()
        host = hosts[0] if hosts else f"{name}-{namespace}.{DOMAIN}"
        place = ("-n", namespace)
        found = f'jsonpath={{.spec.clusterIP}} {{.spec.ports[?(@.name=="{port}")].port}}'
        where = (await _run([*kubectl, *place, "get", "service", service, "-o", found])).split()
        if len(where) == 2 and host not in router.backends:
            router.backends[host] = Backend(path, where[0], int(where[1]))
            admitted = {"type": "Admitted", "status": "True"}
            status = {"status": {"ingress": [{"host": host, "routerName": "default", "conditions": [admitted]}]}}
            patch = ("--subresource=status", "--type=merge", "--patch", json.dumps(status))
            await _run([*kubectl, *place, "patch", "route", name, *patch])


async def _run(command: list[str]) -> str:
    """Run kubectl and return its stdout; empty where it fails, since a Route may be gone by now."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return "" if process.returncode else out.decode()


async def main(kubectl: str, kubeconfig: str, certificate: str) -> None:
    """Serve until the cluster is gone."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(certificate)
    router = Router()
    await asyncio.start_server(router.serve, "0.0.0.0", 443, ssl=trust, limit=_HEAD_LIMIT)  # noqa: S104  of the cluster
    print("up", flush=True)  # noqa: T201  the log
    await watch(router, [kubectl, "--kubeconfig", kubeconfig])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
