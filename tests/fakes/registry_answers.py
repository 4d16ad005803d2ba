"""What the fake registry answers: pure in the request and the registry's state, no sockets."""

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

USER, PASSWORD = "user", "correct horse"
IDENTITY_TOKEN = "an identity token"
LARGEST_MANIFEST = 4 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: headers with names in lower case, path with query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Token:
    actions: Mapping[str, frozenset[str]]
    expires: float


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def _error(status: int, code: str, message: str, **headers: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(status, {"Content-Type": "application/json", **headers}, body)


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class State:
    """What a registry holds. The registry's lock guards it."""

    def __init__(self, auth, *, token_lifetime, anonymous_pull):
        self.auth, self.token_lifetime, self.anonymous_pull = auth, token_lifetime, anonymous_pull
        self.blobs: dict[str, bytes] = {}
        self.repositories: dict[str, set[str]] = {}
        """Which digests each repository knows."""
        self.manifests: dict[str, tuple[str, bytes]] = {}
        """Media type and bytes by digest."""
        self.tags: dict[str, str] = {}
        """"REPO:TAG" to digest."""
        self.uploads: dict[str, bytearray] = {}
        self.tokens: dict[str, Token] = {}
        self.realm = ""
        self.challenge: str | None = None
        """Sent as WWW-Authenticate in place of its own."""

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


def answer_to(asked: Asked, state: State) -> Answer:
    """Do what is asked and return the answer."""
    parts = urlsplit(asked.path)
    if parts.path == "/token":
        return _issue_token(asked, state)
    match = re.fullmatch(
        r"/v2/(?:(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests|tags)/(?P<rest>.*))?", parts.path
    )
    if not match:
        return _error(404, "UNSUPPORTED", "no such address")
    name, rest = match["name"], match["rest"]
    refused = _refusal(asked, state, name)
    if refused:
        return refused
    if not name:
        return Answer(200, {"Docker-Distribution-API-Version": "registry/2.0"}, b"{}")
    answers = {"blobs/uploads": _upload, "blobs": _blob, "manifests": _manifest, "tags": _tags}
    return answers[match["kind"]](asked, state, name, rest)


def _tags(_asked: Asked, state: State, name: str, _rest: str) -> Answer:
    tags = sorted(tag.removeprefix(name + ":") for tag in state.tags if tag.rpartition(":")[0] == name)
    return Answer(200, {"Content-Type": "application/json"}, json.dumps({"name": name, "tags": tags}).encode())


def _blob(asked: Asked, state: State, name: str, digest: str) -> Answer:
    if digest not in state.blobs or not state.knows(name, digest):
        return _error(404, "BLOB_UNKNOWN", f"no blob {digest}")
    data = state.blobs[digest]
    headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", ""))
    if not wanted:
        return Answer(200, headers, data)
    start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
    if start > end:
        return _error(416, "RANGE_INVALID", "no such bytes", **{"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Answer(206, headers, data[start : end + 1])


def _manifest(asked: Asked, state: State, name: str, reference: str) -> Answer:
    if asked.method == "PUT":
        return _put_manifest(asked, state, name, reference)
    digest = reference if ":" in reference else state.tags.get(f"{name}:{reference}", "")
    if digest not in state.manifests or not state.knows(name, digest):
        return _error(404, "MANIFEST_UNKNOWN", f"no manifest {reference}")
    media_type, raw = state.manifests[digest]
    return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, raw)


def _put_manifest(asked: Asked, state: State, name: str, reference: str) -> Answer:
    digest = digest_of(asked.body)
    if len(asked.body) > LARGEST_MANIFEST:
        return _error(413, "SIZE_INVALID", "the manifest is too large")
    if ":" in reference and reference != digest:
        return _error(400, "DIGEST_INVALID", f"the manifest's digest is {digest}")
    try:
        data = json.loads(asked.body)
        needed = [data["config"], *data["layers"]] if "layers" in data else data["manifests"]
        missing = [entry["digest"] for entry in needed if not state.knows(name, entry["digest"])]
    except (ValueError, KeyError, TypeError):
        return _error(400, "MANIFEST_INVALID", "no manifest")
    if missing:
        return _error(400, "MANIFEST_BLOB_UNKNOWN", f"no blob {missing[0]}")
    state.add_manifest(name, asked.body, asked.headers.get("content-type", ""), None if ":" in reference else reference)
    return Answer(201, {"Location": f"/v2/{name}/manifests/{digest}", "Docker-Content-Digest": digest})


def _upload(asked: Asked, state: State, name: str, upload: str) -> Answer:  # noqa: PLR0911 (one for each answer)
    if asked.method == "POST":
        return _start_upload(asked, state, name)
    if upload not in state.uploads:
        return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
    if asked.method == "DELETE":
        del state.uploads[upload]
        return Answer(204)
    data = state.uploads[upload]
    span = re.fullmatch(r"(?:bytes )?(\d+)-(\d+)(?:/\S+)?", asked.headers.get("content-range", ""))
    if asked.method == "GET":
        return _progress(state, name, upload, 204)
    if span and (int(span[1]) != len(data) or int(span[2]) - int(span[1]) + 1 != len(asked.body)):
        return _progress(state, name, upload, 416)
    data += asked.body
    if asked.method == "PATCH":
        return _progress(state, name, upload, 202)
    del state.uploads[upload]
    return _finish(state, name, _query(asked).get("digest", ""), bytes(data))


def _start_upload(asked: Asked, state: State, name: str) -> Answer:
    query = _query(asked)
    source, mounted = query.get("from", ""), query.get("mount", "")
    if mounted in state.blobs and state.knows(source, mounted) and not _refusal(asked, state, source, "pull"):
        return _finish(state, name, mounted, state.blobs[mounted])
    if "digest" in query:
        return _finish(state, name, query["digest"], asked.body)
    upload = secrets.token_hex(16)
    state.uploads[upload] = bytearray()
    return _progress(state, name, upload, 202)


def _progress(state: State, name: str, upload: str, status: int) -> Answer:
    last = max(0, len(state.uploads[upload]) - 1)  # "0-0" for none, as distribution says it
    location = f"/v2/{name}/blobs/uploads/{upload}?_state={secrets.token_urlsafe(8)}"
    return Answer(status, {"Location": location, "Range": f"0-{last}", "Docker-Upload-UUID": upload})


def _finish(state: State, name: str, digest: str, data: bytes) -> Answer:
    if digest_of(data) != digest:
        return _error(400, "DIGEST_INVALID", f"the bytes have the digest {digest_of(data)}")
    state.add_blob(name, data)
    return Answer(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest})


def _query(asked: Asked) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(asked.path).query).items()}


def _refusal(asked: Asked, state: State, name: str | None, action: str = "") -> Answer | None:
    """Return the 401, None when the request may go on."""
    action = action or ("pull" if asked.method in ("GET", "HEAD") and "/uploads/" not in asked.path else "push")
    given = asked.headers.get("authorization", "")
    if state.auth is None or (state.auth == "basic" and _is_known(given)):
        return None
    if state.auth == "basic":
        return _challenge(state, 'Basic realm="Registry Realm"')
    resource = f"repository:{name}"
    challenge = f'Bearer realm="{state.realm}",service="fake"'
    challenge += f',scope="{resource}:{"pull,push" if action == "push" else action}"' if name else ""
    token = state.tokens.get(given.removeprefix("Bearer "))
    if token is None or token.expires < time.monotonic():
        return _challenge(state, challenge + (',error="invalid_token"' if given else ""))
    if name and action not in token.actions.get(resource, ()):
        return _challenge(state, challenge + ',error="insufficient_scope"')
    return None


def _challenge(state: State, challenge: str) -> Answer:
    headers = {"WWW-Authenticate": state.challenge or challenge}
    return _error(401, "UNAUTHORIZED", "authentication required", **headers)


def _is_known(authorization: str) -> bool:
    return authorization == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def _issue_token(asked: Asked, state: State) -> Answer:
    """Grant by distribution's docs/spec/auth/token.md (GET) and oauth.md (POST, with a refresh token)."""
    authorization = asked.headers.get("authorization", "")
    form = parse_qs(asked.body.decode() if asked.method == "POST" else urlsplit(asked.path).query)
    known = _is_known(authorization)
    if asked.method == "POST":
        known = form.get("refresh_token") == [IDENTITY_TOKEN] and form.get("grant_type") == ["refresh_token"]
    if not known and (asked.method == "POST" or authorization):
        return _error(401, "UNAUTHORIZED", "wrong name or password")
    open_to_all = {"pull"} if state.anonymous_pull else set()
    actions: dict[str, frozenset[str]] = {}
    for scope in " ".join(form.get("scope", [])).split():
        resource, _, names = scope.rpartition(":")
        granted = set(names.split(",")) if known else open_to_all & set(names.split(","))
        actions[resource] = actions.get(resource, frozenset()) | granted
    token = secrets.token_urlsafe(24)
    state.tokens[token] = Token(actions, time.monotonic() + state.token_lifetime)
    reply = {"token": token, "access_token": token, "expires_in": state.token_lifetime}
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(reply).encode())
