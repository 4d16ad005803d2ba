"""A Hub on loopback that costs as little as it can: bodies go from memory to the socket by sendfile.

    python -m benchmarks.loopback_hub FOLDER NAME LOG

Serves the folder as the repository NAME at one commit, weights from a second origin as the Hub's LFS storage does, in
a process of its own. The first line of its output is the two ports in JSON; LOG gets a line for each request. What it
answers is what `tests/fakes/hub.py` answers, which keeps whole files in memory and is checked by tests; it refuses
nothing.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DATE = "2026-01-02T03:04:05.000Z"
LFS = ".safetensors"


@dataclass(frozen=True, slots=True)
class Hub:
    """A running Hub: its URL, and what it sent."""

    url: str
    log: Path

    def sent(self) -> tuple[int, int]:
        """Return the requests so far, and the bytes of all bodies."""
        sizes = [int(line.rpartition(" ")[2]) for line in self.log.read_text().splitlines()]
        return len(sizes), sum(sizes)


@contextmanager
def loopback_hub(folder: Path, name: str, log: Path) -> Iterator[Hub]:
    """Serve `folder` as the repository `name` until the end."""
    log.write_text("")
    argv = [sys.executable, "-m", "benchmarks.loopback_hub", str(folder), name, str(log)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        try:
            port, _ = json.loads(server.stdout.readline() if server.stdout else b"")
            yield Hub(f"http://127.0.0.1:{port}", log)
        finally:
            server.terminate()


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size: int
    sha256: str
    git: str


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name: str, files: Mapping[str, _File], log: int, storage: "_Server | None" = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name, self.files, self.storage, self._log = name, files, storage, log

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients end connections as they like."""

    def note(self, line: str) -> None:
        os.write(self._log, line.encode())  # one write to a file opened to append: lines of threads do not mix


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer as the storage, or as the Hub."""
        path = unquote(urlsplit(self.path).path)
        if self.server.storage is None:
            self._send_file(self.server.files[path[1:]])
        elif path.startswith("/api/"):
            self._send_json(self._api(path))
        elif match := re.fullmatch(rf"/{self.server.name}/resolve/[^/]+/(.+)", path):
            self._resolve(match[1])
        else:
            self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}")

    do_HEAD = do_GET  # noqa: N815 (http.server's name)

    def _api(self, path: str) -> object:
        siblings: list[dict[str, Any]] = [
            {"rfilename": name, "size": file.size, "blobId": file.git}
            | ({"lfs": {"sha256": file.sha256, "size": file.size, "pointerSize": 134}} if name.endswith(LFS) else {})
            for name, file in self.server.files.items()
        ]
        if "/commits/" in path:
            return [{"id": COMMIT, "title": "Upload", "message": "", "authors": [{"user": "acme"}], "date": DATE}]
        if "/tree/" in path:
            moved = {"rfilename": "path", "blobId": "oid"}
            entries = [{moved.get(key, key): value for key, value in sibling.items()} for sibling in siblings]
            for entry in entries:
                entry["type"] = "file"
                if "lfs" in entry:
                    entry["lfs"]["oid"] = entry["lfs"].pop("sha256")
            return entries
        name = self.server.name
        known = {"_id": "621ffdc036468d709f17434d", "id": name, "modelId": name, "sha": COMMIT, "lastModified": DATE}
        return known | {"private": False, "gated": False, "disabled": False, "siblings": siblings}

    def _resolve(self, name: str) -> None:
        file, storage = self.server.files.get(name), self.server.storage
        if file is None or storage is None:
            self._send(404, {"X-Error-Code": "EntryNotFound"}, b"{}")
            return
        known = {"X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not name.endswith(LFS):
            self._send_file(file, known | {"ETag": f'"{file.git}"'})
            return
        known |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"', "ETag": f'"{file.sha256}"'}
        where = f"http://127.0.0.1:{storage.server_address[1]}/{name}?Signature=s"
        self._send(302, known | {"Location": where}, b"Found. Redirecting")

    def _send_json(self, data: object) -> None:
        self._send(200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(data).encode())

    def _send_file(self, file: _File, headers: Mapping[str, str] | None = None) -> None:
        start, end, status = 0, file.size - 1, 200
        more = {"Accept-Ranges": "bytes", **(headers or {})}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end, status = int(wanted[1]), min(int(wanted[2] or end), end), 206
            more["Content-Range"] = f"bytes {start}-{end}/{file.size}"
        self._head(status, more, end - start + 1)
        sent = 0
        try:
            with file.path.open("rb") as opened:
                if self.command == "GET":
                    sent = self.connection.sendfile(opened, start, end - start + 1)
        finally:
            self._note(status, sent)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._head(status, headers, len(body))
        if self.command == "GET":
            self.wfile.write(body)
        self._note(status, len(body) if self.command == "GET" else 0)

    def _head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self, status: int, sent: int) -> None:
        self.server.note(f"{self.command} {self.path} {status} {sent}\n")


def _files(folder: Path) -> dict[str, _File]:
    found = {}
    for path in sorted(folder.iterdir()):
        size, git = path.stat().st_size, hashlib.sha1(usedforsecurity=False)
        with path.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        if not path.name.endswith(LFS):
            git.update(b"blob %d\0" % size + path.read_bytes())
        found[path.name] = _File(path, size, sha256, git.hexdigest())
    return found


def main(arguments: Sequence[str]) -> None:
    """Serve until terminated."""
    folder, name, log = arguments
    files = _files(Path(folder))
    lines = os.open(log, os.O_WRONLY | os.O_APPEND)
    storage = _Server(name, files, lines)
    front = _Server(name, files, lines, storage)
    threading.Thread(target=storage.serve_forever, daemon=True).start()
    sys.stdout.write(json.dumps([front.server_address[1], storage.server_address[1]]) + "\n")
    sys.stdout.flush()
    front.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
