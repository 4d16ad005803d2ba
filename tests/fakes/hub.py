"""A Hugging Face Hub on loopback, as far as its real client asks, with a storage of another origin ("CDN").

    with FakeHub() as hub:
        commit = hub.commit("org/model", {"config.json": b"{}", "model.safetensors": b"..."})
        hub.faults.append(Fault(path=r"/resolve/", status=503))

Statuses, X-Error-Code, X-Error-Message, ETags and redirects are those of huggingface.co (seen through
huggingface_hub 2.4: `hf_raise_for_status`, `get_hf_file_metadata`). It refuses what the Hub refuses: unknown tokens,
private and gated repositories; the storage refuses a request without its signature.
"""

import hashlib
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from tests.fakes.registry import Fault, Request

LFS = (".safetensors", ".bin", ".gguf", ".model")
"""Suffixes that are kept in Git LFS, so that their bytes come from the storage."""
TOKEN = "hf_a-good-token"  # the test's own
SIGNATURE = "Signature=s3cr3t"
XET_TOKEN = "xet-for-an-hour"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository, which never changes."""

    sha: str
    date: str
    files: Mapping[str, bytes]


@dataclass(slots=True)
class Repository:
    """A repository; `readers` are the tokens that may read it when it is private or gated."""

    private: bool = False
    gated: bool = False
    card: Mapping[str, str] = field(default_factory=dict)
    readers: frozenset[str] = frozenset((TOKEN,))
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before faults."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class FakeHub:
    """The Hub; serves from `__enter__` to `__exit__`."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.repositories: dict[str, Repository] = {}
        self.tokens = {TOKEN}
        self.faults: list[Fault] = []
        self.log: list[Request] = []
        self.cdn_log: list[Request] = []
        self.connections = 0
        """How many connections were made, to both origins."""
        self.arrivals: list[float] = []
        """When the requests of both logs came, in seconds of time.monotonic()."""
        self.after_listing: Callable[[], object] = lambda: None
        """Called when a listing has been made, before it is sent: what else happens in the world meanwhile."""
        self.tells_sizes = True
        """Mirrors of the Hub leave sizes and LFS digests out."""
        self.xet: dict[str, str] = {}
        """The sha256 of files that are in Xet, and their xet hashes."""
        self.cas_url = ""
        """Where Xet keeps its chunks; `local://FOLDER` is understood by the real hf_xet."""
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._servers = [_Server(self, self._reply, self.log), _Server(self, self._store, self.cdn_log)]
        for server in self._servers if tls else ():
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self._threads = [threading.Thread(target=s.serve_forever, args=(0.02,), daemon=True) for s in self._servers]
        self.url, self.cdn_url = (
            f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()

    def commit(
        self, name: str, files: Mapping[str, bytes], *, branch: str = "main", date: str = "2025-06-01T12:00:00.000Z"
    ) -> str:
        """Put a commit with just these files on a branch and return its sha."""
        repository = self.repositories.setdefault(name, Repository())
        tree = [(path, _git_blob(data)) for path, data in sorted(files.items())]
        sha = hashlib.sha1(repr((branch, date, tree)).encode(), usedforsecurity=False).hexdigest()
        repository.commits[sha] = Commit(sha, date, dict(files))
        repository.branches[branch] = sha
        return sha

    def requests(self, pattern: str = "") -> list[Request]:
        """Return what the Hub itself was asked, by a pattern in the path."""
        return [request for request in self.log if re.search(pattern, request.path)]

    # ------------------------------------------------------------ answers

    def _reply(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        del method  # HEAD is answered as GET, without the body
        parts = unquote(urlsplit(path).path)
        api = re.fullmatch(
            r"/api/models/(?P<name>[^/]+/[^/]+)(?:/(?P<kind>revision|commits|xet-read-token)/(?P<revision>.+))?",
            parts,
        )
        file = re.fullmatch(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", parts)
        match = api or file
        if not match:
            return _refusal(404, "", "Sorry, we can't find the page you are looking for.")
        token = headers.get("authorization", "").removeprefix("Bearer ")
        refusal = self._refusal(match["name"], token, wants_file=bool(file))
        if refusal:
            return refusal
        repository, revision = self.repositories[match["name"]], match["revision"] or "main"
        commit = repository.commits.get(repository.branches.get(revision, revision))
        if commit is None:
            return _refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file:
            return self._file(match["name"], commit, file["path"], headers)
        if api["kind"] == "xet-read-token":
            return Reply(200, b"{}", _xet_token(self.cas_url))
        return _history(commit) if api["kind"] == "commits" else self._listing(match["name"], repository, commit)

    def _refusal(self, name: str, token: str, *, wants_file: bool) -> Reply | None:
        if token and token not in self.tokens:
            return _refusal(401, "", "Invalid credentials in Authorization header")
        repository = self.repositories.get(name)
        if repository is None or (repository.private and token not in repository.readers):
            return _refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.gated and wants_file and token not in repository.readers:
            return _refusal(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        return None

    def _listing(self, name: str, repository: Repository, commit: Commit) -> Reply:
        siblings = [self._sibling(path, data) for path, data in sorted(commit.files.items())]
        listing = {
            "_id": "621ffdc036468d709f17434d",
            "id": name,
            "modelId": name,
            "sha": commit.sha,
            "lastModified": "2031-01-01T00:00:00.000Z",  # of the repository, not of the commit
            "private": repository.private,
            "gated": "manual" if repository.gated else False,
            "disabled": False,
            "siblings": siblings,
            **({"cardData": dict(repository.card)} if repository.card else {}),
        }
        return Reply(200, json.dumps(listing).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def _sibling(self, path: str, data: bytes) -> dict[str, object]:
        if not self.tells_sizes:
            return {"rfilename": path}
        lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        entry = {"rfilename": path, "size": len(data), "blobId": _git_blob(data)}
        return entry | ({"lfs": lfs} if path.endswith(LFS) else {})

    def _file(self, name: str, commit: Commit, path: str, headers: Mapping[str, str]) -> Reply:
        data = commit.files.get(path)
        if data is None:
            return _refusal(404, "EntryNotFound", "Entry not found")
        known = {"X-Repo-Commit": commit.sha, "Accept-Ranges": "bytes"}
        if not path.endswith(LFS):
            return _part(data, headers, known | {"ETag": f'"{_git_blob(data)}"'})
        etag = hashlib.sha256(data).hexdigest()
        known |= {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{etag}"', "ETag": f'"{etag}"'}
        if etag in self.xet:
            token = f"{self.url}/api/models/{name}/xet-read-token/{commit.sha}"
            known |= {"X-Xet-Hash": self.xet[etag], "Link": f'<{token}>; rel="xet-auth"'}
        where = f"{self.cdn_url}/{etag}?response-content-disposition={quote(path, safe='')}&{SIGNATURE}"
        return Reply(302, b"Found. Redirecting", known | {"Location": where})

    def _store(self, method: str, path: str, headers: Mapping[str, str]) -> Reply:
        """Answer as object storage: by digest, with a signature, and with no other credentials."""
        del method
        parts = urlsplit(path)
        if SIGNATURE not in parts.query or "authorization" in headers:
            return Reply(400, b"<Error><Code>InvalidArgument</Code></Error>", {"Content-Type": "application/xml"})
        every = (data for r in self.repositories.values() for c in r.commits.values() for data in c.files.values())
        data = next((d for d in every if hashlib.sha256(d).hexdigest() == parts.path[1:]), None)
        if data is None:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
        return _part(data, headers, {"ETag": f'"{parts.path[1:]}"', "Accept-Ranges": "bytes"})


def _git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data), usedforsecurity=False).hexdigest()


def _refusal(status: int, code: str, message: str) -> Reply:
    headers = {"Content-Type": "application/json", "X-Error-Message": message}
    return Reply(status, json.dumps({"error": message}).encode(), headers | ({"X-Error-Code": code} if code else {}))


def _xet_token(cas_url: str) -> Mapping[str, str]:
    """Return the headers that hf_xet is given: where its chunks are, and a token for an hour."""
    return {
        "X-Xet-Cas-Url": cas_url,
        "X-Xet-Access-Token": XET_TOKEN,
        "X-Xet-Token-Expiration": str(int(time.time()) + 3600),
    }


def _history(commit: Commit) -> Reply:
    entry = {"id": commit.sha, "title": "Upload", "message": "", "authors": [{"user": "org"}], "date": commit.date}
    return Reply(200, json.dumps([entry]).encode(), {"Content-Type": "application/json; charset=utf-8"})


def _part(data: bytes, asked: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
    """Return all of `data` or the range of it that was asked for (RFC 9110, 14)."""
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.get("range", ""))
    if not wanted:
        return Reply(200, data, headers)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    if start > end:
        return Reply(416, b"", {**headers, "Content-Range": f"bytes */{len(data)}"})
    return Reply(206, data[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(data)}"})


# ---------------------------------------------------------------- the wire

Answering = Callable[[str, str, Mapping[str, str]], Reply]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hub: FakeHub, answer: Answering, log: list[Request]) -> None:
        self.hub, self.answer, self.log = hub, answer, log
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: object, client_address: object) -> None:
        """Count a connection."""
        self.hub.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that break the connection are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        hub = self.server.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        with hub.lock:
            fault = next((f for f in hub.faults if f.strikes(self.command, self.path)), Fault())
            if fault.ignore_range:
                headers.pop("range", None)
            reply = self.server.answer(self.command, self.path, headers)
        hub.arrivals.append(time.monotonic())
        if fault.status is not None:
            reply = Reply(fault.status, fault.body or b"")
        reply = replace(reply, headers={**reply.headers, **fault.headers}, body=reply.body + fault.extra)
        if re.search(r"^/api/(?!.*/commits/)", self.path) and reply.status == HTTPStatus.OK:
            hub.after_listing()
        self._send(reply, fault)

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def _send(self, reply: Reply, fault: Fault) -> None:
        body = bytearray(b"" if self.command == "HEAD" else reply.body)
        if fault.corrupt_at is not None and fault.corrupt_at < len(body):
            body[fault.corrupt_at] ^= 1
        ends = next((end for end in (fault.cut_after, fault.stall_after) if end is not None), None)
        body = bytes(body[:ends])
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.log.append(Request(self.command, self.path, headers, 0, reply.status, len(body)))
        if fault.silent:
            self.server.hub.closing.wait()
        if fault.silent or fault.lose_answer:
            self.close_connection = True
            return
        self.send_response(reply.status)
        framing = {"Transfer-Encoding": "chunked"} if fault.chunked else {"Content-Length": str(len(reply.body))}
        for name, value in {**framing, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._send_body(body, fault)
        if fault.stall_after is not None:
            self.server.hub.closing.wait()
        self.close_connection = self.close_connection or ends is not None

    def _send_body(self, body: bytes, fault: Fault) -> None:
        if fault.chunked:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(body), body) + (b"0\r\n\r\n" if fault.cut_after is None else b""))
        elif fault.trickle:
            for number in range(len(body)):
                self.wfile.write(body[number : number + 1])
                self.server.hub.closing.wait(fault.trickle)
        else:
            self.wfile.write(body)
