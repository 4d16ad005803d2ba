"""What the fake registry answers: pure in the request and the registry's state, no sockets."""

import base64
import json
import re
import secrets
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.fakes.registry_profiles import INDEX, MANIFEST
from tests.fakes.registry_state import Answer, Asked, State, Token, digest_of, error, page
from tests.fakes.registry_uploads import continue_upload, place, query_of, start_upload

USER, PASSWORD = "user", "correct horse"
IDENTITY_TOKEN = "an identity token"
LARGEST_MANIFEST = 4 << 20
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(
    rf"/v2/(?:(?P<name>{_NAME}(?:/{_NAME})*?)/"
    r"(?P<kind>blobs/uploads|blobs|manifests|tags|referrers)/(?P<rest>[^/]*))?"
)
_METHODS = {
    "blobs/uploads": {"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"},
    "blobs": {"GET", "HEAD", "DELETE"},
    "manifests": {"GET", "HEAD", "PUT", "DELETE"},
    "tags": {"GET"},
}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFESTS = {
    MANIFEST,
    INDEX,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}


def answer_to(asked: Asked, state: State) -> Answer:
    """Do what is asked and return the answer."""
    parts = urlsplit(asked.path)
    if parts.path == "/token":
        return _issue_token(asked, state)
    match = _PATH.fullmatch(parts.path)
    if not match or match["kind"] == "referrers":  # that API is optional, and distribution has none
        return page(404, "404 page not found\n")
    if match["name"] and asked.method not in _METHODS[match["kind"]]:
        return page(405, "Method not allowed\n")
    refused = None if asked.at_storage else _refusal(asked, state, match["name"])
    return refused or _answer(asked, state, match["name"], match["kind"], match["rest"])


def _answer(asked: Asked, state: State, name: str, kind: str, rest: str) -> Answer:
    if not name:
        return Answer(200, {"Docker-Distribution-API-Version": "registry/2.0"}, b"{}")
    if state.rules.needs_repository and name not in state.repositories:
        return error(404, "NAME_UNKNOWN", f"the repository {name} does not exist")
    if asked.method in state.rules.redirects and kind.startswith("blobs") and not asked.at_storage:
        return _to_storage(asked, state)
    answers = {"blobs/uploads": _upload, "blobs": _blob, "manifests": _manifest, "tags": _tags}
    return answers[kind](asked, state, name, rest)


def _to_storage(asked: Asked, state: State) -> Answer:
    joined = "&" if "?" in asked.path else "?"
    signed = urlencode({"X-Amz-Signature": secrets.token_hex(8)})
    return Answer(307, {"Location": f"{state.storage_url()}{asked.path}{joined}{signed}"})


def _upload(asked: Asked, state: State, name: str, rest: str) -> Answer:
    if asked.method != "POST":
        return continue_upload(asked, state, rest)
    return start_upload(asked, state, name, lambda source: _may_read(asked, state, source))


def _tags(asked: Asked, state: State, name: str, _rest: str) -> Answer:
    tags = [tag.removeprefix(name + ":") for tag in state.tags if tag.rpartition(":")[0] == name]
    if not tags:
        return error(404, "NAME_UNKNOWN", "repository name not known to registry")
    headers, query = {"Content-Type": "application/json"}, query_of(asked)
    if state.rules.sorts_tags:
        tags = sorted(tag for tag in tags if tag > query.get("last", ""))
        most = int(query.get("n", len(tags)))
        if len(tags) > most:
            tags = tags[:most]
            headers["Link"] = f'</v2/{name}/tags/list?last={tags[-1]}&n={most}>; rel="next"'
    return Answer(200, headers, json.dumps({"name": name, "tags": tags}).encode())


def _blob(asked: Asked, state: State, name: str, digest: str) -> Answer:
    if not _DIGEST.fullmatch(digest):
        return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
    if asked.method == "DELETE":
        return _delete(state, name, digest, "BLOB_UNKNOWN")
    if digest not in state.blobs or not state.knows(name, digest):
        return error(404, "BLOB_UNKNOWN", f"no blob {digest}")
    data = state.blobs[digest]
    headers = {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "Accept-Ranges": "bytes",
    }
    if "range" not in asked.headers:
        return Answer(200, headers, data)
    span = _span(asked.headers["range"], len(data))
    if not span or span[0] > span[1]:
        # To distribution, one that is malformed is none that the blob could satisfy: it does not say its size.
        total = {"Content-Range": f"bytes */{len(data)}"} if span else {}
        return _no_such_part(state, len(data), {"Docker-Content-Digest": digest, **total})
    start, end = span
    headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
    return Answer(206, headers, memoryview(data)[start : end + 1])


def _span(said: str, size: int) -> tuple[int, int] | None:
    """Return first and last byte of a Range (RFC 9110, 14.1.2), None when it is malformed; they may not be there."""
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", said)
    if not wanted or wanted[0] == "bytes=-" or (wanted[1] and wanted[2] and int(wanted[1]) > int(wanted[2])):
        return None
    if not wanted[1]:
        return max(0, size - int(wanted[2])), size - 1
    return int(wanted[1]), min(int(wanted[2] or size), size - 1)


def _no_such_part(state: State, size: int, headers: dict[str, str]) -> Answer:
    answer = page(416, "invalid range\n")
    answer.headers |= headers
    if state.rules.breaks_416:
        answer.headers["Content-Length"], answer.body = str(size), b""
    return answer


def _delete(state: State, name: str, digest: str, code: str) -> Answer:
    if not state.rules.deletes:
        return error(405, "UNSUPPORTED", "The operation is unsupported.")
    if not state.knows(name, digest):
        return error(404, code, f"nothing has the digest {digest}")
    state.repositories[name].discard(digest)
    for tag in [tag for tag, named in state.tags.items() if named == digest and tag.rpartition(":")[0] == name]:
        del state.tags[tag]
    return Answer(202)


def _manifest(asked: Asked, state: State, name: str, reference: str) -> Answer:
    if asked.method == "PUT":
        return _put_manifest(asked, state, name, reference)
    if asked.method == "DELETE":
        return _delete(state, name, reference, "MANIFEST_UNKNOWN")
    digest = reference if ":" in reference else state.tags.get(f"{name}:{reference}", "")
    if digest not in state.manifests or not state.knows(name, digest):
        return error(404, "MANIFEST_UNKNOWN", f"no manifest {reference}")
    media_type, raw = state.manifests[digest]
    known = {kind.split(";")[0].strip() for kind in asked.headers.get("accept", "").split(",")}
    if media_type in state.rules.checks_accept - known:
        return error(404, "MANIFEST_UNKNOWN", "OCI manifest found, but accept header does not support OCI manifests")
    return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": digest}, raw)


def _put_manifest(asked: Asked, state: State, name: str, reference: str) -> Answer:
    if not asked.whole:
        return Answer(499)  # nobody hears it
    raw = bytes(asked.body)
    refused = _bad_manifest(asked, state, name, raw)
    if refused:
        return refused
    digest = digest_of(raw)
    if ":" in reference and reference != digest:
        return error(400, "DIGEST_INVALID", f"the manifest's digest is {digest}")
    rewritten = state.rules.rewrites_manifests
    if rewritten:
        raw = json.dumps(json.loads(raw), indent=2).encode()
    media_type = asked.headers["content-type"]
    stored = state.add_manifest(name, raw, media_type, None if ":" in reference else reference)
    said = digest if rewritten == "silently" else stored
    location = place(asked, state, f"/v2/{name}/manifests/{said}")
    return Answer(201, {"Location": location, "Docker-Content-Digest": said})


def _bad_manifest(asked: Asked, state: State, name: str, raw: bytes) -> Answer | None:
    media_type = asked.headers.get("content-type", "")
    if len(raw) > LARGEST_MANIFEST or media_type not in _MANIFESTS:
        return error(400, "MANIFEST_INVALID", "the body is too large, or of a type that is no manifest's")
    try:
        document = json.loads(raw)
        if document.get("schemaVersion") != 2:
            return error(500, "UNKNOWN", "unrecognized manifest schema version")
        entries = [document["config"], *document["layers"]] if "layers" in document else document["manifests"]
        missing = [entry["digest"] for entry in entries if not state.knows(name, entry["digest"])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return error(400, "MANIFEST_INVALID", "manifest invalid")
    if ("layers" in document) == (".index." in media_type or ".list." in media_type):
        return error(400, "MANIFEST_INVALID", "expected index but found manifest, or the other way round")
    if missing:
        return error(400, "MANIFEST_BLOB_UNKNOWN", f"no blob {missing[0]}")
    return _unknown_config(state, document)


def _unknown_config(state: State, document: dict) -> Answer | None:
    kind = document.get("config", {}).get("mediaType")
    if state.rules.config_types is None or kind is None or kind in state.rules.config_types:
        return None
    return error(415, "MANIFEST_INVALID", f"unsupported config type {kind}")


def _refusal(asked: Asked, state: State, name: str | None) -> Answer | None:
    """Return the 401, None when the request may go on."""
    given = asked.headers.get("authorization", "")
    if state.auth is None or (state.auth == "basic" and _is_known(given)):
        return None
    if state.auth == "basic":
        return _challenge(state, 'Basic realm="Registry Realm"')
    needed = _needed(asked, state, name) if name else {}
    scope = " ".join(f"{resource}:{','.join(actions)}" for resource, actions in needed.items())
    challenge = f'Bearer realm="{state.realm}",service="fake"' + (f',scope="{scope}"' if scope else "")
    token = state.tokens.get(given.removeprefix("Bearer "))
    if token is None or _is_over(token, state):
        return _challenge(state, challenge + (',error="invalid_token"' if given else ""))
    if not all(_opens(token, resource, actions) for resource, actions in needed.items()):
        return _challenge(state, challenge + ',error="insufficient_scope"')
    return None


def _needed(asked: Asked, state: State, name: str) -> dict[str, tuple[str, ...]]:
    """Return the actions that a request needs by resource, as distribution's `appendAccessRecords` does."""
    actions = {"GET": ("pull",), "HEAD": ("pull",), "DELETE": ("delete",)}.get(asked.method, ("pull", "push"))
    needed = {f"repository:{name}": actions}
    source = query_of(asked).get("from")
    if source and source != name and state.rules.mount_needs_scope:
        needed[f"repository:{source}"] = ("pull",)
    return needed


def _opens(token: Token, resource: str, actions: tuple[str, ...]) -> bool:
    return set(actions) <= token.actions.get(resource, frozenset())


def _may_read(asked: Asked, state: State, name: str) -> bool:
    token = state.tokens.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
    return state.auth != "bearer" or (token is not None and _opens(token, f"repository:{name}", ("pull",)))


def _is_over(token: Token, state: State) -> bool:
    token.uses += 1
    most = state.rules.token_uses
    return token.expires < time.monotonic() or (most is not None and token.uses > most)


def _challenge(state: State, challenge: str) -> Answer:
    headers = {"WWW-Authenticate": state.challenge or challenge}
    return error(401, "UNAUTHORIZED", "authentication required", **headers)


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
        return error(401, "UNAUTHORIZED", "wrong name or password")
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
