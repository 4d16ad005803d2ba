"""What registries say to an upload: where it goes on, how far it got, how much is taken at once."""

import http.client
import random

import requests
import urllib3

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import ImageReference, digest_of
from kubectl_modelcar.image.content import Held
from kubectl_modelcar.patience import Patience
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fuzz import canned, documents, texts
from tests.fuzz.trial import Target

BLOB = random.Random(4).randbytes(3000)  # noqa: S311  bytes that do not repeat
_REFERENCE = ImageReference("registry.example", canned.REPOSITORY, "v1")
_LOGIN = puller.Credential("user", "canary-password")
_PART = b"\n--\n"


class _Access(RegistryAccess):
    """Trust what has been read once: that takes longer than an upload here."""

    def ssl_context(self):
        return canned.TLS


class CannedAdapter(requests.adapters.HTTPAdapter):
    """The connections of a session, which give the answers; every request is checked as it leaves."""

    def __init__(self, answers: canned.Answers) -> None:
        super().__init__()
        self._answers = answers

    def send(self, request, **_options):
        """Check the request and answer it; what urllib3 raises is translated as by the adapter that this stands for."""
        try:
            self.get_connection_with_tls_context(request, verify=True)
            check_request(request)
            return self.build_response(request, self._answer(request))
        except urllib3.exceptions.LocationValueError as error:
            raise requests.exceptions.InvalidURL(error, request=request) from error
        except urllib3.exceptions.InvalidHeader as error:
            raise requests.exceptions.InvalidHeader(error, request=request) from error
        except (http.client.HTTPException, OSError) as error:
            raise requests.ConnectionError(error, request=request) from error

    def _answer(self, request: requests.PreparedRequest) -> urllib3.HTTPResponse:
        raw = http.client.HTTPResponse(canned.CannedSocket(self._answers.next(), bytearray()), method=request.method)
        raw.begin()
        headers = urllib3.HTTPHeaderDict(raw.msg.items())
        named = {"status": raw.status, "reason": raw.reason, "original_response": raw}
        return urllib3.HTTPResponse(raw, headers, preload_content=False, decode_content=False, **named)


def check_request(request: requests.PreparedRequest) -> None:
    """Assert that it is in TLS, names no secret elsewhere, and carries the bytes that its range says."""
    address = urllib3.util.parse_url(request.url)
    assert address.scheme == "https", request.url
    at_home = (address.host, address.port or 443) == ("registry.example", 443)
    assert at_home or "Authorization" not in request.headers, request.url
    body = b"".join(map(bytes, request.body or ()))
    start, _, last = request.headers.get("Content-Range", "0-").partition("-")
    assert body == BLOB[int(start) :][: len(body)]
    assert not last or int(last) == int(start) + len(body) - 1
    assert int(request.headers.get("Content-Length", len(body))) == len(body)


def upload(raw: bytes) -> None:
    """Send a blob to a registry that gives these answers; what it is called in the end is its digest."""
    answers = canned.Answers(*raw.split(_PART))
    target = RegistryTarget(_REFERENCE, _Access())
    wire = target._wire
    wire._authenticator = puller.Authenticator(canned.ORIGIN, _LOGIN, context=canned.TLS, patience=canned.HURRIED)
    wire._authenticator._http = canned.CannedHttp(answers)
    wire.patience = Patience(2, base=0.0, cap=0.0, longest=0.0)
    wire.session.mount("https://", CannedAdapter(answers))
    wire.session.mount("http://", CannedAdapter(answers))
    digest = digest_of(BLOB)
    target._pieces.most = (None, 1000, 700)[len(raw) % 3]
    assert target.upload(Held("weights", BLOB), digest if len(raw) % 2 else None) == digest


_RANGES = (
    "0-2999",
    "0-999",
    "0-0",
    "bytes=0-999",
    "0-499",
    "1-2",
    "0-",
    "-1",
    "0-" + "9" * 19,
    "0-" + "9" * 5000,
    "0-\xb2",
    "",
)
_LEAST = ("0", "1", "1000", "5242880", "9" * 19, "9" * 5000, "-1", "1e3", "\xb2", "")
_STATUSES = (
    "200 OK", "201 Created", "202 Accepted", "202 Accepted", "204 No Content", "400 Bad", "404 Not Found", "405 No",
    "410 Gone",
    "413 Large", "416 Range", "429 Many", "500 Error", "307 Temporary Redirect", "308 Permanent Redirect",
    "401 Unauthorized",
    "403 Forbidden", "999 x", "100 Continue",
)  # fmt: skip
_CODES = (
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "RANGE_INVALID",
    "DIGEST_INVALID",
    "SIZE_INVALID",
    "BLOB_UNKNOWN",
)


def session(chance: random.Random) -> bytes:
    """Return the answers of an upload, those of a good one with some put in their place or between them."""
    location = "Location: /v2/org/model/blobs/uploads/1?_state=x"
    empty = "Content-Length: 0"
    answers = [
        canned.response("202 Accepted", location, empty),
        canned.response("202 Accepted", location, "Range: 0-2999", empty),
        canned.response("201 Created", empty),
    ]
    if chance.random() < 1 / 2:
        del answers[1]  # a known digest goes in one
    for _ in range(chance.randint(0, 4)):
        at = chance.randint(0, len(answers))
        answers[at : at + chance.randint(0, 1)] = [_answer(chance)]
    return _PART.join(answers)


def _answer(chance: random.Random) -> bytes:
    lines = []
    if chance.random() < 2 / 3:
        lines.append(f"Location: {chance.choice(texts.LOCATIONS[:4] if chance.random() < 1 / 2 else texts.LOCATIONS)}")
    if chance.random() < 1 / 2:
        lines.append(f"Range: {chance.choice(_RANGES)}")
    if chance.random() < 1 / 6:
        lines.append(f"OCI-Chunk-Min-Length: {chance.choice(_LEAST)}")
    status = chance.choice(_STATUSES)
    if status.startswith("401"):
        lines.append("WWW-Authenticate: " + texts.challenge(chance).partition(b"\n")[0].decode("latin-1"))
    if status.startswith(("429", "500")):
        lines.append(texts.waiting(chance).partition(b"\r\n")[0].decode("latin-1"))
    body = b""
    if status[0] in "45" and chance.random() < 2 / 3:
        body = documents.encoded(
            documents.twisted(chance, {"errors": [{"code": chance.choice(_CODES), "message": "no"}]})
        )
    return canned.response(status, *lines, f"Content-Length: {len(body)}", body=body)


_WORDS = (
    _PART,
    b"Location: ",
    b"Range: 0-",
    b"OCI-Chunk-Min-Length: ",
    b"\r\n",
    b"202",
    b"416",
    b"Content-Length: 0\r\n",
)
TARGETS = (Target("upload", upload, session, _WORDS),)
