"""What the fake registry answers to uploads (distribution-spec 1.1, "Pushing blobs")."""

import re
import secrets
from urllib.parse import parse_qs, urlsplit

from tests.fakes.registry_state import Answer, Asked, State, Upload, digest_of, error

_OCTETS = "application/octet-stream"
_SPAN = re.compile(r"(\d+)-(\d+)")  # distribution-spec's; HTTP's own form is an error to distribution
_LENIENT_SPAN = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/\S+)?")


def query_of(asked: Asked) -> dict[str, str]:
    """Return the query's values by name."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(asked.path).query).items()}


def start_upload(asked: Asked, state: State, name: str, may_pull) -> Answer:
    """Mount a blob, take one at once or open an upload; `may_pull` tells whether the client may read a repository."""
    if not asked.whole:
        return Answer(499)  # nobody hears it
    query = query_of(asked)
    source, mounted = query.get("from", ""), query.get("mount", "")
    if mounted in state.blobs and state.knows(source, mounted) and may_pull(source):
        return _created(asked, state, name, state.add_blob(name, state.blobs[mounted]))
    if "digest" in query and state.rules.single_post:
        return _finish(asked, state, name, query["digest"], bytes(asked.body))
    upload = secrets.token_hex(16)
    state.uploads[upload] = Upload(name)
    answer = _progress(asked, state, upload, 202)
    if state.rules.min_chunk is not None:
        answer.headers["OCI-Chunk-Min-Length"] = str(state.rules.min_chunk)
    return answer


def continue_upload(asked: Asked, state: State, upload: str) -> Answer:
    """Answer what is asked of an open upload."""
    refused = _unknown(asked, state, upload) or (None if asked.method == "GET" else _unfit(asked, state, upload))
    if refused:
        return refused
    session = state.uploads[upload]
    if asked.method in ("GET", "HEAD"):
        return _progress(asked, state, upload, 204)
    if asked.method == "DELETE":
        del state.uploads[upload]
        return Answer(204, {"Docker-Upload-UUID": upload})
    if not asked.whole:
        if state.rules.keeps_cut if asked.keep is None else asked.keep:
            session.append(asked.body)
        return Answer(499)  # nobody hears it
    if asked.method == "PATCH":
        session.append(asked.body)
        return _progress(asked, state, upload, state.rules.patch_status)
    return _close(asked, state, upload)


def _unknown(asked: Asked, state: State, upload: str) -> Answer | None:
    """Refuse an upload that is not there, or a Location that does not lead to it any more."""
    rules, reading = state.rules, asked.method in ("GET", "HEAD")
    checked = rules.stale_location is not None and (not reading or rules.status_needs_location)
    was = state.unsealed(query_of(asked).get("_state", ""), upload)
    if checked and was is None and upload:
        return error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
    session = state.uploads.get(upload)
    if session:
        session.requests += 1
        if rules.expire_after is not None and session.requests > rules.expire_after:
            session = state.uploads.pop(upload) and None
    if not session:
        return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    if checked and was != session.size and rules.location_on_patch:
        code = "RANGE_INVALID" if rules.stale_location == 416 else "BLOB_UPLOAD_INVALID"
        return error(rules.stale_location or 404, code, "the upload is elsewhere by now")
    return None


def _unfit(asked: Asked, state: State, upload: str) -> Answer | None:
    """Refuse bytes that are too many, too few or out of order."""
    rules, size = state.rules, len(asked.body)
    largest = min(most for most in (rules.max_chunk, rules.max_put if asked.method == "PUT" else None, 1 << 62) if most)
    if size > largest:
        return error(413, "SIZE_INVALID", f"a request may carry {largest} bytes")
    parts = state.uploads[upload].parts
    if rules.min_chunk and size and parts and len(parts[-1]) < rules.min_chunk:
        return error(400, "SIZE_INVALID", f"a part before the last has less than {rules.min_chunk} bytes")
    kind = asked.headers.get("content-type", _OCTETS)
    if rules.octets_only and asked.method == "PATCH" and kind != _OCTETS:
        return error(500, "UNKNOWN", "bad Content-Type")
    ranged = asked.method == "PATCH" or rules.stale_location is None  # distribution looks at a PATCH's alone
    said = asked.headers.get("content-range", "") if ranged else ""
    return _misplaced(asked, state, upload, said) if said and "content-length" in asked.headers else None


def _misplaced(asked: Asked, state: State, upload: str, said: str) -> Answer | None:
    """Refuse a PATCH whose Content-Range is none, not the next, or not that of the body."""
    rules = state.rules
    if rules.max_ranged_chunk and len(asked.body) > rules.max_ranged_chunk:
        return error(416, "RANGE_INVALID", f"a part may have {rules.max_ranged_chunk} bytes")
    if not rules.checks_range:
        return None
    span = (_SPAN if rules.stale_location else _LENIENT_SPAN).fullmatch(said)
    if not span:
        return error(500, "UNKNOWN", "invalid content range format")
    if int(span[1]) != state.uploads[upload].size:
        answer = error(416, "RANGE_INVALID", "invalid content range")
        if rules.range_on_416:
            answer.headers |= _progress(asked, state, upload, 416).headers
        return answer
    if int(span[2]) - int(span[1]) + 1 != int(asked.headers["content-length"]):
        return error(400, "SIZE_INVALID", "provided length did not match content length")
    return None


def _close(asked: Asked, state: State, upload: str) -> Answer:
    digest, session = query_of(asked).get("digest", ""), state.uploads[upload]
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
    answer = _finish(asked, state, session.name, digest, session.data(asked.body))
    if answer.status == 201 or not state.rules.keeps_refused:
        del state.uploads[upload]
    return answer


def _finish(asked: Asked, state: State, name: str, digest: str, data: bytes) -> Answer:
    if digest_of(data) != digest:
        return error(400, "DIGEST_INVALID", f"the bytes have the digest {digest_of(data)}")
    return _created(asked, state, name, state.add_blob(name, data))


def _created(asked: Asked, state: State, name: str, digest: str) -> Answer:
    location = place(asked, state, f"/v2/{name}/blobs/{digest}")
    return Answer(201, {"Location": location, "Docker-Content-Digest": digest})


def _progress(asked: Asked, state: State, upload: str, status: int) -> Answer:
    session = state.uploads[upload]
    last = max(0, session.size - 1)  # "0-0" for none, and for one byte: so says distribution
    headers = {"Range": f"0-{last}", "Docker-Upload-UUID": upload}
    if asked.method != "PATCH" or state.rules.location_on_patch:
        path = f"/v2/{session.name}/blobs/uploads/{upload}?_state={state.sealed(upload)}"
        elsewhere = state.rules.uploads_at_storage
        headers["Location"] = f"{state.storage_url()}{path}" if elsewhere else place(asked, state, path)
    return Answer(status, headers)


def place(asked: Asked, state: State, path: str) -> str:
    """Return a Location as this registry writes it: by the name that the client knows it by."""
    host = asked.headers.get("host")
    return f"{state.scheme}://{host}{path}" if state.rules.absolute_locations and host else path
