"""What the fake registry holds and the values that its parts hand to each other."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.fakes.registry_profiles import Rules

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: headers with names in lower case, path with query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | bytearray
    whole: bool = True
    """Whether all of the body came."""
    keep: bool | None = None
    """Whether what came of a body is kept; None leaves it to the rules."""
    at_storage: bool = False
    """Whether it came to the storage's origin, where nobody logs in."""


@dataclass(slots=True)
class Token:
    actions: Mapping[str, frozenset[str]]
    expires: float
    uses: int = 0


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Bytes = b""


@dataclass(slots=True)
class Upload:
    """An upload session. Its parts stay as they came and are joined once, so that a large blob is not copied often."""

    name: str
    parts: list[bytes | bytearray] = field(default_factory=list)
    size: int = 0
    requests: int = 0

    def append(self, part: bytes | bytearray) -> None:
        """Take bytes in."""
        if part:
            self.parts.append(part)
            self.size += len(part)

    def data(self, last: bytes | bytearray = b"") -> bytes:
        """Return all bytes."""
        self.append(last)
        self.parts = [b"".join(self.parts)]
        return self.parts[0]


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    """Return an error as distribution-spec wants it."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {"Content-Type": "application/json", **headers}, body)


def page(status: int, text: str) -> Answer:
    """Return the answer of a server in front of the registry's own code: text, no error code."""
    return Answer(status, {"Content-Type": "text/plain; charset=utf-8"}, text.encode())


def digest_of(data: Bytes) -> str:
    """Return the sha256 digest of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class State:
    """What a registry holds. The registry's lock guards it."""

    def __init__(self, auth, rules: Rules, *, token_lifetime, anonymous_pull):
        self.auth, self.rules = auth, rules
        self.token_lifetime, self.anonymous_pull = token_lifetime, anonymous_pull
        self.blobs: dict[str, bytes] = {}
        self.repositories: dict[str, set[str]] = {}
        """Which digests each repository knows."""
        self.manifests: dict[str, tuple[str, bytes]] = {}
        """Media type and bytes by digest."""
        self.tags: dict[str, str] = {}
        """"REPO:TAG" to digest."""
        self.uploads: dict[str, Upload] = {}
        self.tokens: dict[str, Token] = {}
        self.scheme = "http"
        self.storage_url: Callable[[], str] = str
        self.realm = ""
        self.challenge: str | None = None
        """Sent as WWW-Authenticate in place of its own."""
        self._secret = secrets.token_hex(4)

    def create_repository(self, name: str) -> None:
        """Make an empty repository."""
        self.repositories.setdefault(name, set())

    def add_blob(self, repository: str, data: bytes) -> str:
        """Put a blob there and return its digest."""
        digest = digest_of(data)
        self.blobs[digest] = data
        self.repositories.setdefault(repository, set()).add(digest)
        return digest

    def add_manifest(self, repository: str, raw: bytes, media_type: str, tag: str | None = None) -> str:
        """Put a manifest there, unchecked, and return its digest."""
        digest = digest_of(raw)
        self.manifests[digest] = (media_type, raw)
        self.repositories.setdefault(repository, set()).add(digest)
        if tag:
            self.tags[f"{repository}:{tag}"] = digest
        return digest

    def knows(self, repository: str, digest: str) -> bool:
        """Tell whether a repository has a blob or a manifest."""
        return digest in self.repositories.get(repository, ())

    def collect_garbage(self) -> set[str]:
        """Forget every blob that no manifest needs; return their digests."""
        used: set[str] = set()
        for _, raw in self.manifests.values():
            document = json.loads(raw)
            entries = [document.get("config", {}), *document.get("layers", []), *document.get("blobs", [])]
            used |= {entry["digest"] for entry in entries if entry}
        gone = set(self.blobs) - used
        for digest in gone:
            del self.blobs[digest]
        for name in self.repositories:
            self.repositories[name] -= gone - set(self.manifests)
        return gone

    def change_secret(self) -> None:
        """Make every Location that was given so far invalid, as a restart without `http.secret` does."""
        self._secret = secrets.token_hex(4)

    def sealed(self, upload: str) -> str:
        """Return the `_state` of an upload: which one it is, and how far."""
        said = f"{self._secret} {upload} {self.uploads[upload].size} {secrets.token_hex(4)}"
        return base64.urlsafe_b64encode(said.encode()).decode()

    def unsealed(self, state: str, upload: str) -> int | None:
        """Return how far the upload was when it got this `_state`; None when it is not one of ours."""
        try:
            secret, name, size, _ = base64.urlsafe_b64decode(state).decode().split(" ")
        except ValueError:
            return None
        return int(size) if (secret, name) == (self._secret, upload) else None
