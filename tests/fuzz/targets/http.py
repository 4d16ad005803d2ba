"""What registries say in HTTP: challenges, ranges, waits, redirects, errors."""

import http.client
import io
import ipaddress
import math
import random

from kubectl_modelcar.chart import puller
from kubectl_modelcar.patience import retry_after
from tests.fakes.registry import digest_of
from tests.fuzz import canned, documents, texts
from tests.fuzz.trial import Target

BLOB = random.Random(3).randbytes(3000)  # noqa: S311  bytes that do not repeat
_BLOB = puller.Descriptor(puller.MANIFEST_TYPES[0], digest_of(BLOB), len(BLOB))
_OFFSET = 1000
_SECRET = "canary-password"
_LOGINS = (
    puller.Credential("user", _SECRET),
    puller.Credential(puller.IDENTITY_TOKEN, _SECRET),
    None,
)
_BASIC = puller._basic(_LOGINS[0]).encode()


def challenge(raw: bytes) -> None:
    """Parse a challenge: names in lower case, no value with its quotes."""
    for scheme, given in puller._challenges(raw.partition(b"\n")[0].decode("latin-1")):
        assert scheme == scheme.lower() != ""
        assert all(name == name.lower() for name in given)


def login(raw: bytes) -> None:
    """Answer a challenge and fetch its token; a password goes nowhere in clear and to no neighbour of this machine."""
    head, _, answer = raw.partition(b"\n")
    credential = _LOGINS[len(raw) % 3]
    registry = canned.registry(answer, credential=credential)
    try:
        header = registry.authenticator.answer(head.decode("latin-1"), registry.scope)
        assert header.isascii()
        assert header.isprintable()
        assert registry.authenticator.header(registry.scope) == header
    finally:
        for asked in registry._http.asked:
            assert asked.scheme == "https", asked
            assert asked.host == "registry.example" or _is_elsewhere(asked.host), asked


def _is_elsewhere(host: str) -> bool:
    if host in ("localhost", "localhost."):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True


def blob(raw: bytes) -> None:
    """Read a blob's rest from any answer; what comes is never another part and never more."""
    registry = canned.registry(raw)
    body = registry.open(_BLOB, _OFFSET)
    received = bytearray()
    buffer = memoryview(bytearray(700))
    while count := body.readinto(buffer):
        received += buffer[:count]
        assert len(received) <= len(BLOB) - _OFFSET
    assert len(received) == len(BLOB) - _OFFSET


def range_answer(chance: random.Random) -> bytes:
    """Return an answer to a request for a range."""
    start = chance.choice((str(_OFFSET), str(_OFFSET), "0", "-1", "1e3", "9" * 400, "9" * 5000, "\xb2", "01000", ""))
    total = chance.choice((str(len(BLOB)), str(len(BLOB)), "*", "0", "9" * 30, "9" * 5000, ""))
    unit = chance.choice(("bytes", "bytes", "bytes", "Bytes", "items", "bytes=", ""))
    headers = [f"Content-Range: {unit} {start}-{chance.choice(('2999', '999', '*', ''))}/{total}"]
    whole = chance.random() < 1 / 4
    body = BLOB if whole else BLOB[_OFFSET:]
    if chance.random() < 1 / 4:
        size = chance.choice((1, 500, 3000))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        headers.append("Transfer-Encoding: chunked")
    else:
        length = chance.choice((len(body), len(body), len(body), "", -1, 0, "9" * 30, "9" * 5000, len(body) + 1))
        headers.append(f"Content-Length: {length}")
    statuses = (
        "206 Partial Content",
        "206 Partial Content",
        "200 OK",
        "416 No",
        "204 No Content",
        "100 Continue",
        "999 x",
    )
    return canned.response("200 OK" if whole else chance.choice(statuses), *headers, body=body)


def manifest(raw: bytes) -> None:
    """Fetch a manifest over any chain of answers: redirects stay in TLS, a login stays with its origin."""
    registry = canned.registry(*raw.split(b"\n--\n"), credential=_LOGINS[0])
    try:
        registry.manifest("v1")
    finally:
        for asked in registry._http.asked:
            assert asked.scheme == "https", asked
            home = (asked.host, asked.port) == ("registry.example", 443)
            assert home or _SECRET.encode() not in asked.sent, asked
            assert asked.sent.count(b"\r\n\r\n") <= 1, asked


def exchange(chance: random.Random) -> bytes:
    """Return redirects, challenges and errors, and an answer in the end."""
    answers = []
    for _ in range(chance.randint(0, 3)):
        match chance.randrange(3):
            case 0:
                status = chance.choice(("301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"))
                lines = [f"Location: {chance.choice(texts.LOCATIONS)}"] if chance.random() < 9 / 10 else []
                answers.append(canned.response(status, *lines, "Content-Length: 0"))
            case 1:
                line = b"WWW-Authenticate: " + texts.challenge(chance).partition(b"\n")[0]
                answers.append(canned.response("401 Unauthorized", line, "Content-Length: 0"))
            case _:
                answers.append(refusal(chance))
    answers.append(canned.response("200 OK", "Content-Type: application/json", "Content-Length: 2", body=b"{}"))
    return b"\n--\n".join(answers)


def refused(raw: bytes) -> None:
    """Turn an answer that says no into an error."""
    registry = canned.registry(raw)
    registry.manifest("v1")


def refusal(chance: random.Random) -> bytes:
    """Return an answer that says no, with a body of errors."""
    status = chance.choice(
        ("400 Bad", "403 Forbidden", "404 Not Found", "416 Range", "418 \xe9", "429 Many", "503 Later", "599 x")
    )
    errors = {"errors": [{"code": "NAME_UNKNOWN", "message": "not known", "detail": {"name": "org/model"}}]}
    body = documents.encoded(documents.twisted(chance, errors))
    lines = [f"Content-Length: {chance.choice((len(body), len(body), len(body), 0, '9' * 5000))}"]
    if chance.random() < 1 / 3:
        lines.append(texts.waiting(chance).partition(b"\r\n")[0].decode("latin-1"))
    return canned.response(status, *lines, body=body)


def wait(raw: bytes) -> None:
    """Read Retry-After, as the puller and as the push do: None or seconds that can be waited."""
    headers = http.client.parse_headers(io.BytesIO(raw))
    for seconds in (puller._retry_after(headers), retry_after(headers)):
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


_HEADERS = (
    b"\r\n",
    b'realm="',
    b"https://",
    b"Bearer ",
    b"Basic ",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
)
_WAIT = (b"GMT", b"-0000", b"+9999", b"Nov", b"Date: ", b"Retry-After: ", b"99999", b":", b"Thu,")
TARGETS = (
    Target("challenge", challenge, texts.challenge, _HEADERS),
    Target("login", login, texts.challenge, _HEADERS),
    Target("content-range", blob, range_answer, (b"bytes ", b"Content-Range: ", *_HEADERS)),
    Target("location", manifest, exchange, (b"Location: ", b"\n--\n", *_HEADERS), own=()),
    Target("registry-error", refused, refusal, _HEADERS),
    Target("retry-after", wait, texts.waiting, _WAIT, own=(http.client.HTTPException,)),
)
