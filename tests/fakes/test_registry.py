"""The fake registry is a fair one: what it answers, refuses and breaks on request."""

import http.client
import json
import ssl
import time
from urllib.parse import urlsplit

import pytest
import trustme

from tests.fakes.registry import IDENTITY_TOKEN, PASSWORD, USER, FakeRegistry, Fault, digest_of

BLOB = b"0123456789" * 20_000
DIGEST = digest_of(BLOB)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BASIC = "Basic dXNlcjpjb3JyZWN0IGhvcnNl"


class Client:
    """A client of one connection that hides nothing."""

    def __init__(self, registry: FakeRegistry, context: ssl.SSLContext | None = None) -> None:
        self.host, self.context = registry.host, context

    def __call__(self, method, url, body=None, **headers):
        """Return status, headers and body; header names are written with underscores."""
        if self.context:
            connection = http.client.HTTPSConnection(self.host, timeout=5, context=self.context)
        else:
            connection = http.client.HTTPConnection(self.host, timeout=5)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            parts = urlsplit(url)
            chunked = not isinstance(body, (bytes, type(None)))
            connection.request(method, f"{parts.path}?{parts.query}", body, names, encode_chunked=chunked)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


@pytest.fixture
def registry():
    """Serve a registry with one blob."""
    with FakeRegistry() as serving:
        serving.add_blob("org/model", BLOB)
        yield serving


@pytest.fixture
def ask(registry):
    """Give a client of it."""
    return Client(registry)


class TestBlobs:
    """distribution-spec 1.1, "Pulling blobs"."""

    def test_a_blob_is_read(self, ask):
        """Whole, with its digest."""
        status, headers, body = ask("GET", f"/v2/org/model/blobs/{DIGEST}")
        assert (status, body, headers["Docker-Content-Digest"]) == (200, BLOB, DIGEST)

    def test_a_head_has_a_length_and_no_body(self, ask):
        """That is how its size is asked for."""
        status, headers, body = ask("HEAD", f"/v2/org/model/blobs/{DIGEST}")
        assert (status, headers["Content-Length"], body) == (200, "200000", b"")

    @pytest.mark.parametrize(
        ("span", "status", "body", "said"),
        [
            ("bytes=199990-", 206, b"0123456789", "bytes 199990-199999/200000"),
            ("bytes=0-1", 206, b"01", "bytes 0-1/200000"),
            ("bytes=199999-300000", 206, b"9", "bytes 199999-199999/200000"),
            ("bytes=-5", 206, b"56789", "bytes 199995-199999/200000"),
        ],
    )
    def test_a_part_is_read(self, ask, span, status, body, said):
        """By RFC 9110."""
        answer = ask("GET", f"/v2/org/model/blobs/{DIGEST}", Range=span)
        assert (answer[0], answer[2], answer[1]["Content-Range"]) == (status, body, said)

    def test_a_part_behind_the_end_is_refused(self, ask):
        """With the length there is."""
        status, headers, _ = ask("GET", f"/v2/org/model/blobs/{DIGEST}", Range="bytes=200000-")
        assert (status, headers["Content-Range"]) == (416, "bytes */200000")

    @pytest.mark.parametrize(
        "path", [f"other/blobs/{DIGEST}", f"org/model/blobs/{digest_of(b'')}", "org/model/manifests/v1"]
    )
    def test_what_a_repository_does_not_have_is_not_there(self, ask, path):
        """Blobs belong to repositories."""
        assert ask("GET", f"/v2/{path}")[0] == 404


class TestUploads:
    """distribution-spec 1.1, "Pushing blobs"."""

    def test_in_one_request(self, ask, registry):
        """POST with the digest, which not every registry takes."""
        url = f"/v2/a/blobs/uploads/?digest={digest_of(b'x')}"
        assert ask("POST", url, b"x")[0] == 202
        assert not registry.knows("a", digest_of(b"x"))
        registry.rules.single_post = True
        status, headers, _ = ask("POST", url, b"x")
        assert (status, headers["Location"]) == (201, f"{registry.url}/v2/a/blobs/{digest_of(b'x')}")
        assert registry.knows("a", digest_of(b"x"))

    def test_in_two_requests(self, ask, registry):
        """POST, then PUT with the bytes."""
        status, headers, _ = ask("POST", "/v2/a/blobs/uploads/")
        assert (status, headers["Range"]) == (202, "0-0")
        assert ask("PUT", f"{headers['Location']}&digest={digest_of(b'x')}", b"x")[0] == 201
        assert registry.blobs[digest_of(b"x")] == b"x"

    def test_streamed(self, ask, registry):
        """PATCH in HTTP's chunks, without a length."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        status, headers, _ = ask("PATCH", location, iter([b"ab", b"c"]), Transfer_Encoding="chunked")
        assert (status, headers["Range"]) == (202, "0-2")
        assert ask("GET", headers["Location"])[0:2][0] == 204
        assert ask("PUT", f"{headers['Location']}&digest={digest_of(b'abc')}")[0] == 201
        assert [request.received for request in registry.log] == [0, 3, 0, 0]

    def test_in_parts(self, ask):
        """PATCH with ranges; one out of order is refused, and the upload goes on."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        location = ask("PATCH", location, b"ab", Content_Range="0-1")[1]["Location"]
        assert ask("PATCH", location, b"d", Content_Range="3-3")[0] == 416
        status, headers, _ = ask("PATCH", location, b"c", Content_Range="2-2")
        assert (status, headers["Range"]) == (202, "0-2")
        assert ask("PUT", f"{headers['Location']}&digest={digest_of(b'abc')}")[0] == 201

    def test_other_bytes_are_refused(self, ask, registry):
        """And the upload is of no more use."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        status, _, body = ask("PUT", f"{location}&digest={DIGEST}", b"x")
        assert (status, json.loads(body)["errors"][0]["code"]) == (400, "DIGEST_INVALID")
        assert ask("PUT", f"{location}&digest={digest_of(b'x')}", b"x")[0] == 416
        assert registry.blobs == {DIGEST: BLOB}

    def test_an_upload_is_cancelled(self, ask):
        """DELETE, after which it is unknown."""
        location = ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]
        assert [ask(method, location)[0] for method in ("DELETE", "DELETE")] == [204, 404]

    def test_a_blob_is_mounted(self, ask, registry):
        """From a repository that has it; from another one an upload begins."""
        assert ask("POST", f"/v2/a/blobs/uploads/?mount={DIGEST}&from=org/model")[0] == 201
        assert registry.knows("a", DIGEST)
        assert ask("POST", f"/v2/b/blobs/uploads/?mount={DIGEST}&from=empty")[0] == 202


def document(*digests: str) -> bytes:
    """Return a manifest of blobs."""
    entries = [{"digest": one} for one in digests]
    return json.dumps({"schemaVersion": 2, "config": entries[0], "layers": entries}).encode()


class TestManifests:
    """distribution-spec 1.1, "Pushing manifests"."""

    def test_one_is_pushed_and_read(self, ask):
        """By tag and by digest, with the type it came with."""
        raw = document(DIGEST)
        status, headers, _ = ask("PUT", "/v2/org/model/manifests/v1", raw, Content_Type=MANIFEST)
        assert (status, headers["Docker-Content-Digest"]) == (201, digest_of(raw))
        for reference in ("v1", digest_of(raw)):
            status, headers, body = ask("GET", f"/v2/org/model/manifests/{reference}", Accept=MANIFEST)
            assert (status, body, headers["Content-Type"]) == (200, raw, MANIFEST)
        assert json.loads(ask("GET", "/v2/org/model/tags/list")[2]) == {"name": "org/model", "tags": ["v1"]}

    @pytest.mark.parametrize(
        ("reference", "raw", "code"),
        [
            ("v1", document(digest_of(b"gone")), "MANIFEST_BLOB_UNKNOWN"),
            (DIGEST, document(DIGEST), "DIGEST_INVALID"),
            ("v1", b"{}", "UNKNOWN"),
            ("v1", b"[]", "MANIFEST_INVALID"),
            ("v1", b"oops", "MANIFEST_INVALID"),
            ("v1", bytes((4 << 20) + 1), "MANIFEST_INVALID"),
        ],
        ids=["a blob is missing", "another digest", "an empty object", "no object", "no JSON", "too large"],
    )
    def test_a_bad_one_is_refused(self, ask, reference, raw, code):
        """And no tag is made."""
        _, _, body = ask("PUT", f"/v2/org/model/manifests/{reference}", raw, Content_Type=MANIFEST)
        assert json.loads(body)["errors"][0]["code"] == code
        assert ask("GET", "/v2/org/model/tags/list")[0] == 404


class TestLogins:
    """Who may do what."""

    def test_basic(self):
        """The right password, nothing else."""
        with FakeRegistry("basic") as registry:
            ask = Client(registry)
            status, headers, _ = ask("GET", "/v2/")
            assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="Registry Realm"')
            assert ask("GET", "/v2/", Authorization="Basic eDp5")[0] == 401
            assert ask("GET", "/v2/", Authorization=BASIC)[0] == 200

    def test_bearer(self):
        """A token for the scope that the challenge names."""
        with FakeRegistry("bearer") as registry:
            registry.add_blob("org/model", BLOB)
            ask = Client(registry)
            blob, uploads = f"/v2/org/model/blobs/{DIGEST}", "/v2/org/model/blobs/uploads/"
            challenge = f'Bearer realm="{registry.url}/token",service="fake"'
            assert ask("GET", blob)[1]["WWW-Authenticate"] == f'{challenge},scope="repository:org/model:pull"'
            body = ask("GET", "/token?scope=repository:org/model:pull", Authorization=BASIC)[2]
            token = f"Bearer {json.loads(body)['token']}"
            assert ask("GET", blob, Authorization=token)[0] == 200
            said = f'{challenge},scope="repository:org/model:pull,push",error="insufficient_scope"'
            assert ask("POST", uploads, Authorization=token)[1]["WWW-Authenticate"] == said
            registry.tokens.clear()
            assert 'error="invalid_token"' in ask("GET", blob, Authorization=token)[1]["WWW-Authenticate"]

    @pytest.mark.parametrize(("anonymous", "status"), [(False, 401), (True, 200)])
    def test_bearer_for_nobody(self, anonymous, status):
        """A token is given to all; what it opens is the registry's choice."""
        with FakeRegistry("bearer", anonymous_pull=anonymous) as registry:
            registry.add_blob("org/model", BLOB)
            ask = Client(registry)
            token = json.loads(ask("GET", "/token?scope=repository:org/model:pull,push")[2])["token"]
            header = f"Bearer {token}"
            assert ask("GET", f"/v2/org/model/blobs/{DIGEST}", Authorization=header)[0] == status
            assert ask("POST", "/v2/org/model/blobs/uploads/", Authorization=header)[0] == 401

    def test_wrong_logins_get_no_token(self):
        """By GET or by POST."""
        with FakeRegistry("bearer") as registry:
            ask = Client(registry)
            assert ask("GET", "/token?scope=x:y:pull", Authorization="Basic eDp5")[0] == 401
            assert ask("POST", "/token", b"grant_type=refresh_token&refresh_token=wrong")[0] == 401
            form = f"grant_type=refresh_token&refresh_token={IDENTITY_TOKEN.replace(' ', '+')}"
            assert ask("POST", "/token", form.encode())[0] == 200

    def test_tokens_run_out(self):
        """After their lifetime."""
        with FakeRegistry("bearer", token_lifetime=0.05) as registry:
            ask = Client(registry)
            token = json.loads(ask("GET", "/token", Authorization=BASIC)[2])["token"]
            assert ask("GET", "/v2/", Authorization=f"Bearer {token}")[0] == 200
            time.sleep(0.1)
            assert ask("GET", "/v2/", Authorization=f"Bearer {token}")[0] == 401

    def test_the_constants_are_the_header(self):
        """What the tests send is what the fake knows."""
        assert (USER, PASSWORD) == ("user", "correct horse")


class TestServing:
    """The server itself."""

    def test_tls(self):
        """With a certificate of the authority that it was given."""
        authority = trustme.CA()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with FakeRegistry(tls=authority) as registry:
            assert (registry.url, Client(registry, context)("GET", "/v2/")[0]) == (f"https://{registry.host}", 200)

    def test_the_log_names_what_was_asked(self, ask, registry):
        """With headers in lower case."""
        ask("GET", "/v2/", X_Name="value")
        (request,) = registry.requests("GET", "/v2/")
        assert (request.method, request.headers["x-name"], request.status, request.sent) == ("GET", "value", 200, 2)

    def test_its_own_failures_are_raised(self):
        """A fake that breaks must not pass for a registry that refuses."""
        registry = FakeRegistry()
        registry.blobs = None
        registry.__enter__()
        with pytest.raises(http.client.RemoteDisconnected):
            Client(registry)("GET", f"/v2/a/blobs/{DIGEST}")
        with pytest.raises(TypeError):
            registry.__exit__()

    def test_it_ends_at_once(self):
        """Also with a stalled client."""
        with FakeRegistry() as registry:
            registry.faults.append(Fault(stall_after=0))
            connection = http.client.HTTPConnection(registry.host)
            connection.request("GET", "/v2/")
            connection.getresponse()
            started = time.monotonic()
        connection.close()
        assert time.monotonic() - started < 1
