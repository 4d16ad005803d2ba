"""A small API server on loopback: objects as JSON in memory, RBAC by a set of refusals, logs, a service proxy.

It answers with the same bodies and texts as Kubernetes 1.36 where this program reads them, and with 501 for
everything that it does not know, so that a test cannot pass by accident.
"""

import json
import re
import ssl
import threading
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

_OBJECT = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[a-z0-9.]+/v1))/namespaces/(?P<namespace>[^/]+)/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?"
)
_LOG = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/pods/(?P<pod>[^/]+)/log")
_PROXY = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/services/(?P<service>[^/]+)/proxy(?P<path>/.*)")
_NAMESPACE = re.compile(r"/api/v1/namespaces(?:/(?P<name>[^/]+))?")
_DISCOVERY = re.compile(r"/apis/(?P<api>[a-z0-9.]+/v1)")
_VERBS = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True)
class Request:
    """What arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    groups: tuple[str, ...]
    body: Any


@dataclass
class Fault:
    """An answer instead of the right one, for requests whose path contains `part`, `times` times."""

    part: str
    status: int
    body: bytes = b"{}"
    times: int = 1


@dataclass
class FakeKubeApi:
    """The server and everything that it holds; a context manager."""

    token: str | None = None
    """The bearer token that it asks for; None lets everybody in."""
    tls: ssl.SSLContext | None = None
    apis: set[str] = field(default_factory=lambda: {"apps/v1"})
    namespaces: dict[str, str] = field(default_factory=lambda: {"models": "Active"})
    """Name to phase."""
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """(namespace, plural) to name to object."""
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    """(pod, container) to text."""
    proxied: dict[str, bytes] = field(default_factory=dict)
    """SERVICE/PATH to the answer of the service proxy, an event stream."""
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    """(verb, plural) that RBAC refuses."""
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __enter__(self):
        outer = self

        class Handler(_Handler):
            api = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self):
        """URL of the API server."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def add(self, plural, body, namespace="models"):
        """Put an object there and return it."""
        self.objects.setdefault((namespace, plural), {})[body["metadata"]["name"]] = body
        return body

    def get(self, plural, name, namespace="models"):
        """Return an object, or None."""
        return self.objects.get((namespace, plural), {}).get(name)

    def kubeconfig(self, path, **cluster):
        """Write a kubeconfig for this server and return its path; `cluster` adds to its cluster."""
        user = {"token": self.token} if self.token else {}
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "models"}}],
                    "clusters": [{"name": "fake", "cluster": {"server": self.url, **cluster}}],
                    "users": [{"name": "me", "user": user}],
                }
            )
        )
        return path


class _Handler(BaseHTTPRequestHandler):
    api: FakeKubeApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        self._serve()

    def do_POST(self):
        self._serve()

    def do_PATCH(self):
        self._serve()

    def do_DELETE(self):
        self._serve()

    def _serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = json.loads(raw) if raw else None
        self.api.requests.append(
            Request(
                self.command,
                self.path,
                {key.lower(): value for key, value in self.headers.items()},
                tuple(self.headers.get_all("Impersonate-Group") or ()),
                body,
            )
        )
        status, answer = self._answer(url.path, query, body)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if isinstance(answer, bytes) and status == 200:
            self.send_header("Content-Type", "text/event-stream" if "/proxy/" in self.path else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, path, query, body):
        for fault in self.api.faults:
            if fault.part in self.path and fault.times:
                fault.times -= 1
                return fault.status, fault.body
        if self.api.token and self.headers.get("Authorization") != f"Bearer {self.api.token}":
            return _status(401, "Unauthorized")
        for pattern, serve in (
            (_LOG, self._log),
            (_PROXY, self._proxy),
            (_OBJECT, self._object),
            (_NAMESPACE, self._namespace),
            (_DISCOVERY, self._discovery),
        ):
            if match := pattern.fullmatch(path):
                return serve(match, query, body)
        return _status(501, f"the fake knows no {self.command} {path}")

    def _discovery(self, match, _query, _body):
        if match["api"] in self.api.apis:
            return 200, {"kind": "APIResourceList", "groupVersion": match["api"]}
        return 404, b"404 page not found\n"

    def _proxy(self, match, _query, _body):
        found = self.api.proxied.get(match["service"] + match["path"])
        return (200, found) if found is not None else _status(503, "no endpoints available for service")

    def _log(self, match, query, _body):
        pod = match["pod"]
        previous = query.get("previous") == "true"
        found = self.api.logs.get((pod, query["container"] + (" previous" if previous else "")))
        if found is None:
            return _status(400, f'container "{query["container"]}" in pod "{pod}" is waiting to start')
        return 200, "\n".join(found.splitlines()[-int(query["tailLines"]) :]).encode()

    def _namespace(self, match, _query, body):
        name = match["name"]
        verb = "list" if name is None and self.command == "GET" else _VERBS[self.command]
        if (verb, "namespaces") in self.api.forbidden:
            return _forbidden(verb, "namespaces", name or "", name or "")
        if self.command == "POST":
            name = body["metadata"]["name"]
            self.api.namespaces[name] = "Active"
        if name not in self.api.namespaces:
            return _status(404, f'namespaces "{name}" not found')
        return 200, {"metadata": {"name": name}, "status": {"phase": self.api.namespaces[name]}}

    def _object(self, match, query, body):
        namespace, plural, name = match["namespace"], match["plural"], match["name"] and unquote(match["name"])
        verb = "list" if name is None and self.command == "GET" else _VERBS[self.command]
        # Who may is asked before what is: no role of a namespace's administrator knows a group that is not there.
        is_unknown = match["group"] and match["group"] not in self.api.apis
        if is_unknown or (verb, plural) in self.api.forbidden:
            return _forbidden(verb, plural, name or "", namespace)
        kept = self.api.objects.setdefault((namespace, plural), {})
        if self.command == "POST":
            return self._create(kept, namespace, plural, body)
        if name is None:
            return 200, {"items": [item for item in kept.values() if _selected(item, query)]}
        return self._named(kept, name, plural, body)

    def _named(self, kept, name, plural, body):
        if name not in kept:
            return _status(404, f'{plural} "{name}" not found')
        if self.command == "DELETE":
            return 200, kept.pop(name)
        if self.command == "PATCH":
            kept[name] = _merged(kept[name], body)
        return 200, kept[name]

    def _create(self, kept, namespace, plural, body):
        name = body["metadata"]["name"]
        if namespace not in self.api.namespaces:
            return _status(404, f'namespaces "{namespace}" not found')
        if self.api.namespaces[namespace] == "Terminating":
            return _status(
                403,
                f'{plural} "{name}" is forbidden: unable to create new content in namespace {namespace} '
                "because it is being terminated",
            )
        if name in kept:
            return _status(409, f'{plural} "{name}" already exists')
        kept[name] = deepcopy(body)
        return 201, kept[name]


def _status(code, message):
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


def _forbidden(verb, plural, name, namespace):
    subject = f'{plural} "{name}"' if name else plural
    return _status(
        403,
        f'{subject} is forbidden: User "dev" cannot {verb} resource "{plural}" in API group "" '
        f'in the namespace "{namespace}"',
    )


def _selected(item, query):
    labels = item["metadata"].get("labels") or {}
    for wanted in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = wanted.partition("=")
        if labels.get(key) != value:
            return False
    for wanted in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = wanted.partition("=")
        found = item
        for part in path.split("."):
            found = (found or {}).get(part)
        if found != value:
            return False
    return True


def _merged(old, change):
    """Apply a merge patch (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
