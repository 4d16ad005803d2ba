"""The fake registry answers as the real ones do, status by status and header by header, so that tests on it count."""

import hashlib
import json

import pytest

from tests.fakes.registry import FakeRegistry
from tests.real.raw import Raw

pytestmark = pytest.mark.real

MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Talk:
    """A conversation with one repository; `heard` is every answer, in order."""

    def __init__(self, host, name):
        self.raw, self.name, self.heard = Raw(host), name, []

    def ask(self, method, url, body=None, **headers):
        """Ask, and remember the answer; a URL without a slash is one of this repository."""
        said = self.raw(method, url if url.startswith(("/", "http")) else f"/v2/{self.name}/{url}", body, **headers)
        self.heard.append(said)
        return said

    def begin(self):
        """Open an upload; return its Location."""
        return self.ask("POST", "blobs/uploads/").location

    def close(self, location, data, body=None):
        """Close an upload whose bytes are `data`."""
        return self.ask("PUT", f"{location}&digest={digest_of(data)}", body)

    def blob(self, data):
        """Have a blob there; return its digest."""
        self.close(self.begin(), data, data)
        return digest_of(data)

    def manifest(self, reference, document, kind=MANIFEST):
        """Push a manifest; return its digest."""
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.ask("PUT", f"manifests/{reference}", raw, Content_Type=kind)
        return digest_of(raw)


def image(config, *layers, **more):
    """Return the manifest of an image."""
    entries = [{"mediaType": LAYER, "digest": layer, "size": 3} for layer in layers]
    entry = {"mediaType": CONFIG, "digest": config, "size": 2}
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": entry, "layers": entries} | more


# ---------------------------------------------------------------- conversations


def whole_blobs(talk):
    """POST and PUT; the same again; an empty one."""
    for data in (b"abc", b"abc", b""):
        talk.blob(data)
        talk.ask("HEAD", f"blobs/{digest_of(data)}")
        talk.ask("GET", f"blobs/{digest_of(data)}")


def streamed_blob(talk):
    """PATCH in HTTP's chunks, then how far it is, then PUT."""
    location = talk.ask("PATCH", talk.begin(), iter([b"ab", b"c"]), Transfer_Encoding="chunked").location
    talk.ask("GET", location)
    talk.close(location, b"abc")
    talk.ask("GET", location)
    talk.close(location, b"abc")


def blob_in_parts(talk):
    """PATCH with ranges, the last part with PUT."""
    location = talk.ask("PATCH", talk.begin(), b"ab", Content_Range="0-1").location
    location = talk.ask("PATCH", location, b"cd", Content_Range="2-3").location
    talk.ask("PUT", f"{location}&digest={digest_of(b'abcdef')}", b"ef", Content_Range="4-5")


def ranges_that_are_wrong(talk):
    """Behind the end, before it, of another length, of HTTP's form, and none at all; each time, how far it is now."""
    for body, said in ((b"cd", "7-8"), (b"cd", "0-1"), (b"cde", "2-3"), (b"cd", "bytes 2-3/*"), (b"cd", "junk")):
        location = talk.ask("PATCH", talk.begin(), b"ab").location
        later = talk.ask("PATCH", location, body, Content_Range=said).location
        talk.ask("GET", later or location)


def same_part_twice(talk):
    """As after an answer that was lost: with a range and without."""
    for headers in ({"Content_Range": "0-1"}, {}):
        location = talk.begin()
        later = talk.ask("PATCH", location, b"ab", **headers).location
        talk.ask("PATCH", location, b"ab", **headers)
        talk.ask("GET", location)
        talk.close(later, b"ab")


def locations_of_before(talk):
    """Every verb on a Location that a PATCH has replaced."""
    for method, body in (("GET", None), ("HEAD", None), ("PATCH", b"b"), ("PUT", b""), ("DELETE", None)):
        location = talk.begin()
        talk.ask("PATCH", location, b"a")
        talk.ask(method, f"{location}&digest={digest_of(b'a')}", body)


def locations_without_state(talk):
    """Every verb on the bare path of an upload, and on one that never was."""
    for method, body in (("GET", None), ("PATCH", b"a"), ("PUT", b""), ("DELETE", None)):
        talk.ask(method, talk.begin().partition("?")[0], body)
    talk.ask("GET", "blobs/uploads/nothing")
    talk.ask("GET", "blobs/uploads/")


def digests_that_are_wrong(talk):
    """Of other bytes, none, and no digest; each time, what is left of the upload."""
    for query in (f"&digest={digest_of(b'x')}", "", "&digest=junk"):
        location = talk.begin()
        talk.ask("PUT", f"{location}{query}", b"abc")
        talk.ask("GET", location)
        talk.close(location, b"abc", b"abc")


def digest_with_the_first_request(talk):
    """POST with digest and bytes."""
    talk.ask("POST", f"blobs/uploads/?digest={digest_of(b'abc')}", b"abc")
    talk.ask("HEAD", f"blobs/{digest_of(b'abc')}")


def other_content_type(talk):
    """A PATCH of text, and one of octets."""
    talk.ask("PATCH", talk.begin(), b"ab", Content_Type="text/plain")
    talk.ask("PATCH", talk.begin(), b"ab", Content_Type="application/octet-stream")


def cut_part(talk, sent=700_000, **headers):
    """A PATCH breaks: how far it is, at any Location; a try at the old one, then going on from there."""
    whole = bytes(range(250)) * 8000
    location = talk.begin()
    talk.raw.cut("PATCH", location, len(whole), whole[:sent], **headers)
    talk.ask("GET", location.partition("?")[0])
    talk.ask("PATCH", location, b"x")
    talk.close(location, whole, whole)
    said = talk.ask("GET", location)
    if said.location:
        span = f"{sent}-{len(whole) - 1}"
        said = talk.ask("PATCH", said.location, whole[sent:], Content_Range=span)
    if said.location:
        talk.close(said.location, whole)


def cut_part_with_a_range(talk):
    """The same, of a PATCH that has a Content-Range."""
    cut_part(talk, Content_Range="0-1999999")


def cut_before_the_first_byte(talk):
    """Headers came and no body."""
    location = talk.begin()
    talk.raw.cut("PATCH", location, 5, b"")
    said = talk.ask("GET", location)
    talk.ask("PATCH", said.location, b"hello", Content_Range="0-4")


def cut_closing_request(talk):
    """A PUT with all bytes breaks; then going on, with PUT alone."""
    whole = bytes(range(250)) * 8000
    location = talk.begin()
    talk.raw.cut("PUT", f"{location}&digest={digest_of(whole)}", len(whole), whole[:700_000])
    talk.ask("HEAD", f"blobs/{digest_of(whole)}")
    said = talk.ask("GET", location)
    talk.close(location, whole, whole)
    if said.location:
        talk.close(said.location, whole, whole[700_000:])


def cancelled_upload(talk):
    """DELETE, and every verb after it."""
    location = talk.begin()
    talk.ask("DELETE", location)
    for method, body in (("GET", None), ("PATCH", b"a"), ("PUT", b"a"), ("DELETE", None)):
        talk.ask(method, f"{location}&digest={digest_of(b'a')}", body)


def mounts(talk):
    """From a repository that has the blob, from one that has not, from none, and by nobody's name."""
    digest = talk.blob(b"abc")
    source, talk.name = talk.name, f"{talk.name}-other"
    talk.ask("HEAD", f"blobs/{digest}")
    for query in (f"mount={digest}&from=nowhere", f"mount={digest_of(b'x')}&from={source}", f"mount={digest}"):
        talk.ask("POST", f"blobs/uploads/?{query}")
    talk.ask("HEAD", f"blobs/{digest}")
    talk.ask("POST", f"blobs/uploads/?mount={digest}&from={source}")
    talk.ask("HEAD", f"blobs/{digest}")


def parts_of_a_blob(talk):
    """Range: inside, over the end, behind it, from the end, none; with HEAD."""
    digest = talk.blob(b"0123456789")
    spans = ("0-0", "3-", "8-99", "-4", "-99", "10-", "99-", "5-2", "x")
    for span in spans:
        talk.ask("GET", f"blobs/{digest}", Range=f"bytes={span}")
    talk.ask("HEAD", f"blobs/{digest}", Range="bytes=0-1")


def what_is_not_there(talk):
    """Blobs, manifests, tags, repositories, and addresses that no registry has."""
    for method in ("GET", "HEAD"):
        talk.ask(method, f"blobs/{digest_of(b'gone')}")
        talk.ask(method, "blobs/sha256:abc")
        talk.ask(method, "manifests/gone")
        talk.ask(method, f"manifests/{digest_of(b'gone')}")
    for url in ("tags/list", "/v2/UPPER/manifests/1", "/elsewhere", f"referrers/{digest_of(b'gone')}"):
        talk.ask("GET", url)
    talk.blob(b"abc")
    talk.ask("GET", "tags/list")


def verbs_that_are_not_allowed(talk):
    """By the address, and by the operator."""
    digest = talk.blob(b"abc")
    for method, url in (("PATCH", f"blobs/{digest}"), ("POST", "manifests/1"), ("PUT", "tags/list")):
        talk.ask(method, url, b"")
    talk.ask("DELETE", f"blobs/{digest}")


def manifests(talk):
    """By tag and digest; to those who know the type and those who do not; listed."""
    digest = talk.manifest("1", image(talk.blob(b"{}"), talk.blob(b"abc")))
    for reference in ("1", digest):
        talk.ask("GET", f"manifests/{reference}", Accept=MANIFEST)
        talk.ask("HEAD", f"manifests/{reference}", Accept=f"text/plain, {MANIFEST}")
        talk.ask("GET", f"manifests/{reference}")
        talk.ask("HEAD", f"manifests/{reference}", Accept="*/*")
    talk.manifest(digest, image(digest_of(b"{}"), digest_of(b"abc")))
    talk.ask("GET", "tags/list")


def indexes(talk):
    """Of a manifest that is there, and of one that is not."""
    child = talk.manifest("1", image(talk.blob(b"{}")))
    for digest in (child, digest_of(b"gone")):
        entries = [{"mediaType": MANIFEST, "digest": digest, "size": 1}]
        talk.manifest("2", {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
    talk.ask("GET", "manifests/2", Accept=INDEX)
    talk.ask("GET", "manifests/2", Accept=MANIFEST)


def blobs_that_a_manifest_lacks(talk):
    """A layer, the config."""
    config, gone = talk.blob(b"{}"), digest_of(b"gone")
    talk.manifest("1", image(config, gone))
    talk.manifest("1", image(gone, config))
    talk.ask("GET", "manifests/1", Accept=MANIFEST)


def bad_manifests(talk):
    """Of another digest, no JSON, nothing in it, of another type, of no type, too large."""
    config = talk.blob(b"{}")
    talk.manifest(digest_of(b"other"), image(config))
    talk.manifest("1", b"oops")
    talk.manifest("1", b"{}")
    for kind in (INDEX, "application/json", ""):
        talk.manifest("1", image(config), kind)
    talk.manifest("1", image(config, annotations={"padding": "x" * (4 << 20)}))
    talk.ask("GET", "manifests/1", Accept=MANIFEST)


def artifact(talk):
    """A manifest with a config that no image has."""
    empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": talk.blob(b"{}"), "size": 2}
    talk.manifest("1", image("") | {"artifactType": "application/x", "config": empty})
    talk.ask("GET", "manifests/1", Accept=MANIFEST)


def front_door(talk):
    """The address that says whether this is a registry."""
    talk.ask("GET", "/v2/")


CONVERSATIONS = (
    front_door,
    whole_blobs,
    streamed_blob,
    blob_in_parts,
    ranges_that_are_wrong,
    same_part_twice,
    locations_of_before,
    locations_without_state,
    digests_that_are_wrong,
    digest_with_the_first_request,
    other_content_type,
    cut_part,
    cut_part_with_a_range,
    cut_before_the_first_byte,
    cut_closing_request,
    cancelled_upload,
    mounts,
    parts_of_a_blob,
    what_is_not_there,
    verbs_that_are_not_allowed,
    manifests,
    indexes,
    blobs_that_a_manifest_lacks,
    bad_manifests,
    artifact,
)


def heard(conversation, host, place="fair"):
    """Have the conversation in a repository that is new and return every answer."""
    talk = Talk(host, f"{place}/{conversation.__name__.replace('_', '-')}")
    conversation(talk)
    return talk.heard


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=lambda one: one.__name__)
class TestFairness:
    """One conversation with both; every answer is compared."""

    def test_v3(self, plain, conversation):
        """Distribution's registry 3."""
        with FakeRegistry(profile="v3") as fake:
            assert heard(conversation, fake.host) == heard(conversation, plain.host)

    def test_2_8(self, old, conversation):
        """Debian's docker-registry 2.8."""
        with FakeRegistry(profile="2.8") as fake:
            assert heard(conversation, fake.host) == heard(conversation, old.host)


def test_the_two_differ(plain, old):
    """Else one profile would do, and this comparison could not fail."""
    differing = [
        one.__name__ for one in CONVERSATIONS if heard(one, plain.host, "other") != heard(one, old.host, "other")
    ]
    assert {"cut_part", "same_part_twice", "ranges_that_are_wrong"} <= set(differing)
