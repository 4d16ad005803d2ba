"""The fake registry's profiles, and each rule in which registries differ."""

import http.client
import json
import socket

import pytest

from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.fakes.registry_profiles import PROFILES
from tests.fakes.test_registry import BASIC, MANIFEST, Client, document
from tests.fakes.test_registry_faults import until

MIB = 1 << 20


@pytest.fixture
def serve(request):
    """Give a function that starts a registry and returns it with a client."""

    def serve(*arguments, **options):
        registry = FakeRegistry(*arguments, **options)
        registry.__enter__()
        request.addfinalizer(registry.__exit__)
        return registry, Client(registry)

    return serve


def begin(ask):
    """Open an upload and return its Location."""
    return ask("POST", "/v2/a/blobs/uploads/")[1]["Location"]


def cut(registry, location, keep=None):
    """Send 1,000 of 5,000 bytes, then lose the connection."""
    registry.faults.append(Fault(method="PATCH|PUT", cut_request_after=1000, keep=keep))
    with pytest.raises((OSError, http.client.HTTPException)):
        Client(registry)("PATCH", location, bytes(5000))


class TestProfiles:
    """What is known of each kind of registry."""

    def test_v3_goes_on_after_a_cut(self, serve):
        """From where the status says, at the Location that it gives; at the old one it refuses."""
        registry, ask = serve()
        location = begin(ask)
        cut(registry, location)
        assert ask("PATCH", location, bytes(4000))[0] == 416
        status, headers, _ = ask("GET", location)
        assert (status, headers["Range"]) == (204, "0-999")
        said = ask("PATCH", headers["Location"], bytes(4000), Content_Range="1000-4999")
        assert (said[0], said[1]["Range"]) == (202, "0-4999")
        assert ask("PUT", f"{said[1]['Location']}&digest={digest_of(bytes(5000))}")[0] == 201
        assert registry.received_of_blobs() == 1000 + 4000 + 4000

    def test_2_8_does_not(self, serve):
        """Nothing more can be asked of the upload."""
        registry, ask = serve(profile="2.8")
        location = begin(ask)
        cut(registry, location)
        asked = [("GET", None), ("PATCH", b"x"), ("PUT", b"x")]
        answers = [ask(method, f"{location}&digest={digest_of(b'x')}", body) for method, body in asked]
        assert [(status, json.loads(body)["errors"][0]["code"]) for status, _, body in answers] == [
            (404, "BLOB_UPLOAD_INVALID")
        ] * 3

    def test_2_8_takes_any_range(self, serve):
        """And refuses a PATCH that was there already."""
        _, ask = serve(profile="2.8")
        location = begin(ask)
        status, headers, _ = ask("PATCH", location, b"ab", Content_Range="70-71")
        assert (status, headers["Range"]) == (202, "0-1")
        assert ask("PATCH", location, b"ab", Content_Range="70-71")[0] == 404

    @pytest.mark.parametrize(("profile", "status"), [("v3", 201), ("2.8", 201), ("quay", 415), ("ghcr", 201)])
    def test_config_types(self, serve, profile, status):
        """One that no image has."""
        registry, ask = serve(profile=profile)
        entry = {"digest": registry.add_blob("a", b"{}"), "mediaType": "application/vnd.cncf.model.config.v1+json"}
        raw = json.dumps({"schemaVersion": 2, "config": entry, "layers": []}).encode()
        assert ask("PUT", "/v2/a/manifests/1", raw, Content_Type=MANIFEST)[0] == status

    def test_ghcr_takes_small_parts(self, serve):
        """As long as they say that they are parts."""
        _, ask = serve(profile="ghcr")
        location = begin(ask)
        assert location.startswith("/v2/")
        assert ask("PATCH", location, bytes(4 * MIB + 1), Content_Range=f"0-{4 * MIB}")[0] == 416
        assert ask("PATCH", location, bytes(4 * MIB), Content_Range=f"0-{4 * MIB - 1}")[0] == 202
        assert ask("PATCH", location, bytes(5 * MIB))[0] == 202

    def test_ecr(self, serve):
        """A repository must be there, parts are large, and their answer is a status of its own."""
        registry, ask = serve(profile="ecr")
        assert ask("POST", "/v2/a/blobs/uploads/")[0] == 404
        registry.create_repository("a")
        status, headers, _ = ask("POST", "/v2/a/blobs/uploads/")
        assert (status, headers["OCI-Chunk-Min-Length"]) == (202, "5242880")
        location = ask("PATCH", headers["Location"], bytes(5 * MIB))[1]["Location"]
        assert ask("PATCH", location, b"last")[0] == 201
        assert ask("PATCH", location, b"after the last")[0] == 400
        assert ask("PUT", f"{location}&digest={digest_of(bytes(5 * MIB) + b'last')}")[0] == 201

    @pytest.mark.parametrize("profile", PROFILES)
    def test_a_blob_goes_there_and_back(self, serve, profile):
        """Whatever the profile."""
        registry, ask = serve(profile=profile)
        registry.create_repository("a")
        location = ask("PATCH", begin(ask), b"abc")[1]["Location"]
        assert ask("PUT", f"{location}&digest={digest_of(b'abc')}")[0] == 201
        assert ask("GET", f"/v2/a/blobs/{digest_of(b'abc')}")[2] == b"abc"


class TestRules:
    """One rule at a time, beside any profile."""

    @pytest.mark.parametrize(
        ("rules", "method", "size", "status"),
        [
            ({"max_chunk": 100}, "PATCH", 101, 413),
            ({"max_chunk": 100}, "PUT", 101, 413),
            ({"max_chunk": 100}, "PATCH", 100, 202),
            ({"max_put": 100}, "PUT", 101, 413),
            ({"max_put": 100}, "PATCH", 101, 202),
            ({"patch_status": 200}, "PATCH", 1, 200),
            ({"patch_status": 204}, "PATCH", 1, 204),
        ],
        ids=str,
    )
    def test_statuses(self, serve, rules, method, size, status):
        """Limits of a body, and what a PATCH is answered."""
        _, ask = serve(**rules)
        assert ask(method, f"{begin(ask)}&digest={digest_of(b'')}", bytes(size))[0] == status

    def test_location_on_patch(self, serve):
        """Without it, the first one stays good."""
        _, ask = serve(location_on_patch=False)
        location = begin(ask)
        answers = [ask("PATCH", location, piece) for piece in (b"a", b"b")]
        assert [(status, headers["Location"]) for status, headers, _ in answers] == [(202, None)] * 2
        assert ask("PUT", f"{location}&digest={digest_of(b'ab')}")[0] == 201

    @pytest.mark.parametrize(("told", "said"), [(True, "0-1"), (False, None)])
    def test_range_on_416(self, serve, told, said):
        """Some say how far they are, others must be asked."""
        _, ask = serve(range_on_416=told)
        location = ask("PATCH", begin(ask), b"ab")[1]["Location"]
        status, headers, _ = ask("PATCH", location, b"d", Content_Range="3-3")
        assert (status, headers["Range"]) == (416, said)

    def test_expire_after(self, serve):
        """Requests to the upload, then it is unknown."""
        _, ask = serve(expire_after=2)
        location = begin(ask)
        assert [ask("GET", location)[0] for _ in range(3)] == [204, 204, 404]

    def test_token_uses(self, serve):
        """A token is good for so many requests."""
        _, ask = serve("bearer", token_uses=2)
        token = json.loads(ask("GET", "/token", Authorization=BASIC)[2])["token"]
        assert [ask("GET", "/v2/", Authorization=f"Bearer {token}")[0] for _ in range(3)] == [200, 200, 401]

    @pytest.mark.parametrize(("how", "same"), [("", True), ("openly", False), ("silently", True)])
    def test_rewrites_manifests(self, serve, how, same):
        """Other bytes are stored than were sent; the answer says so, or does not."""
        registry, ask = serve(rewrites_manifests=how)
        raw = document(registry.add_blob("a", b"{}"))
        said = ask("PUT", "/v2/a/manifests/1", raw, Content_Type=MANIFEST)[1]["Docker-Content-Digest"]
        stored = ask("GET", "/v2/a/manifests/1", Accept=MANIFEST)[2]
        assert (said == digest_of(raw), stored == raw) == (same, not how)
        assert json.loads(stored) == json.loads(raw)

    def test_a_manifest_is_shown_to_those_who_know_it(self, serve):
        """By Accept."""
        registry, ask = serve()
        registry.add_manifest("a", document(registry.add_blob("a", b"{}")), MANIFEST, "1")
        answers = [ask("GET", "/v2/a/manifests/1", Accept=kind)[0] for kind in ("*/*", f"text/plain, {MANIFEST};q=1")]
        assert answers == [404, 200]

    @pytest.mark.parametrize(("profile", "status"), [("v3", 204), ("2.8", 404)])
    def test_change_secret(self, serve, profile, status):
        """A registry that restarts does not know its own Locations; v3 tells how far an upload is all the same."""
        registry, ask = serve(profile=profile)
        location = begin(ask)
        registry.change_secret()
        assert ask("PATCH", location, b"x")[0] == 404
        assert ask("GET", location)[0] == status

    def test_tags_in_pages(self, serve):
        """With a link to the next."""
        registry, ask = serve()
        for tag in "cab":
            registry.add_manifest("a", b"{}", MANIFEST, tag)
        _, headers, body = ask("GET", "/v2/a/tags/list?n=2")
        assert (json.loads(body)["tags"], headers["Link"]) == (["a", "b"], '</v2/a/tags/list?last=b&n=2>; rel="next"')
        _, headers, body = ask("GET", "/v2/a/tags/list?n=2&last=b")
        assert (json.loads(body)["tags"], headers["Link"]) == (["c"], None)

    @pytest.mark.parametrize(("deletes", "statuses"), [(False, [405, 405]), (True, [202, 404])])
    def test_deletes(self, serve, deletes, statuses):
        """Only where it is switched on, and with the tag that named it."""
        registry, ask = serve(deletes=deletes)
        digest = registry.add_manifest("a", b"{}", MANIFEST, "1")
        assert [ask("DELETE", f"/v2/a/manifests/{digest}")[0] for _ in range(2)] == statuses
        assert registry.tags == ({} if deletes else {"a:1": digest})

    def test_referrers(self, serve):
        """That API is not there."""
        assert serve()[1]("GET", f"/v2/a/referrers/{digest_of(b'')}")[0] == 404

    def test_collect_garbage(self, serve):
        """What no manifest needs is forgotten."""
        registry, ask = serve()
        kept, lost = registry.add_blob("a", b"kept"), registry.add_blob("a", b"lost")
        registry.add_manifest("a", document(kept), MANIFEST, "1")
        assert registry.collect_garbage() == {lost}
        assert [ask("HEAD", f"/v2/a/blobs/{digest}")[0] for digest in (kept, lost)] == [200, 404]
        said = ask("PUT", "/v2/a/manifests/2", document(lost), Content_Type=MANIFEST)
        assert json.loads(said[2])["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"

    @pytest.mark.parametrize(("asked", "refused"), [(True, 401), (False, 202)])
    def test_mount_needs_the_right_to_read(self, serve, asked, refused):
        """Of the repository that the blob is in; without it, an upload is opened, or nothing."""
        registry, ask = serve("bearer", mount_needs_scope=asked)
        digest = registry.add_blob("a", b"x")
        statuses = []
        for scopes in ("scope=repository:b:pull,push", "scope=repository:b:pull,push&scope=repository:a:pull"):
            body = ask("GET", f"/token?{scopes}", Authorization=BASIC)[2]
            header = f"Bearer {json.loads(body)['token']}"
            statuses.append(ask("POST", f"/v2/b/blobs/uploads/?mount={digest}&from=a", Authorization=header)[0])
        assert statuses == [refused, 201]


class TestStorage:
    """The origin behind the registry, where no credential belongs."""

    def test_redirects(self, serve):
        """A blob's bytes are elsewhere, for anybody with the signed address."""
        registry, ask = serve("basic", redirects=frozenset({"GET"}))
        digest = registry.add_blob("a", b"abc")
        status, headers, _ = ask("GET", f"/v2/a/blobs/{digest}", Authorization=BASIC)
        assert status == 307
        assert headers["Location"].startswith(f"{registry.storage.url}/v2/a/blobs/{digest}?")
        there = Client(registry.storage)
        assert there("GET", headers["Location"])[2] == b"abc"
        assert registry.leaks() == []
        there("GET", headers["Location"], Authorization=BASIC)
        assert [request.headers["authorization"] for request in registry.leaks()] == [BASIC]

    def test_uploads(self, serve):
        """Also the bytes that are sent, by redirect or by Location; what came is counted."""
        registry, ask = serve("basic", redirects=frozenset({"PATCH"}), uploads_at_storage=True)
        location = ask("POST", "/v2/a/blobs/uploads/", Authorization=BASIC)[1]["Location"]
        assert location.startswith(registry.storage.url)
        location = Client(registry.storage)("PATCH", location, b"abc")[1]["Location"]
        assert location.startswith(registry.storage.url)
        assert Client(registry.storage)("PUT", f"{location}&digest={digest_of(b'abc')}")[0] == 201
        assert registry.received_of_blobs() == 3
        registry.rules.uploads_at_storage = False
        location = ask("POST", "/v2/a/blobs/uploads/", Authorization=BASIC)[1]["Location"]
        assert ask("PATCH", location, b"abc", Authorization=BASIC)[0] == 307

    def test_faults_of_its_own(self, serve):
        """The registry's do not strike there."""
        registry, _ = serve()
        registry.storage.faults.append(Fault(status=503))
        assert Client(registry.storage)("GET", "/v2/")[0] == 503


class TestLargeBlobs:
    """Bodies as large as a chunk of a real model."""

    def test_a_part_of_a_cut_is_exact(self, serve):
        """To the byte, whoever cuts."""
        registry, ask = serve()
        location = begin(ask)
        with socket.create_connection(registry.host.split(":"), timeout=5) as client:
            path = location.removeprefix(registry.url)
            client.sendall(f"PATCH {path} HTTP/1.1\r\nContent-Length: {40 * MIB}\r\n\r\n".encode() + bytes(3 * MIB + 7))
        until(lambda: len(registry.log) == 2)
        assert registry.log[1].received == 3 * MIB + 7
        assert ask("GET", location)[1]["Range"] == f"0-{3 * MIB + 6}"
