"""Rows R20 and R22 to R24 of the fault matrix: the manifest, who else pushes it, and how a push ends early."""

import threading
import time
from contextlib import suppress

import pytest

from kubectl_modelcar.errors import IntegrityFailure, ModelcarError, NetworkGaveUp, NotFoundOrRefused
from kubectl_modelcar.image import INDEX_TYPE, MANIFEST_TYPE, BaseImage, Descriptor, Document, image_manifest
from kubectl_modelcar.registry import BlobsMissing
from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.registry.sending import BLOB, DIGEST, MIB, Stream, big, held, manifest, target


def other_manifest(registry, number=1):
    """Return another manifest whose blobs are there."""
    config = Document("application/vnd.oci.image.config.v1+json", f'{{"number":{number}}}'.encode())
    registry.add_blob("org/m", config.data)
    return image_manifest(config, BaseImage(), [], {})


class TestTwoPushes:
    """Two pushes to one tag at the same time."""

    def test_r22_same_content(self, registry):
        """Both succeed, and agree."""
        document = manifest(registry)
        targets = [target(registry), target(registry)]
        assert {there.put_manifest(document, "1") for there in targets} == {document.digest}

    def test_r22_other_content(self, registry):
        """The last one wins; the other hears which digest its tag names now, and that its own image is there."""
        ours, theirs = manifest(registry), other_manifest(registry)
        there = target(registry)
        read, put = registry.answer, target(registry)

        def overtaken(asked):
            if (
                asked.method == "HEAD"
                and "/manifests/1" in asked.path
                and not registry.requests("HEAD", "/manifests/1")
            ):
                registry.answer = read
                registry.tags["org/m:1"] = registry.add_manifest("org/m", theirs.data, theirs.media_type, "1")
            return read(asked)

        registry.answer = overtaken
        assert there.put_manifest(ours, "1") == theirs.digest
        assert put.put_manifest(ours, "1") == ours.digest


class TestMissingBlobs:
    """Blobs that were collected before the manifest came."""

    @pytest.mark.parametrize("profile", ["v3", "2.8", "quay"])
    def test_r23_blob_unknown(self, profile, waits):
        """The error is of a kind of its own, so that whoever has the blobs can send them again."""
        with FakeRegistry(profile=profile) as registry:
            document = manifest(registry)
            registry.collect_garbage()
            with pytest.raises(BlobsMissing) as caught:
                target(registry).put_manifest(document, "1")
            assert caught.value.exit_code == NotFoundOrRefused.exit_code
            assert "MANIFEST_BLOB_UNKNOWN" in caught.value.message
            manifest(registry)
            assert target(registry).put_manifest(document, "1") == document.digest
        assert waits == []


class TestReadBack:
    """What the registry has afterwards is what was sent."""

    def test_r24_manifest_digest_differs(self, registry):
        """A registry that says that it stored something else."""
        other = "sha256:" + "0" * 64
        registry.faults.append(
            Fault("PUT", "/manifests/", apply=True, status=201, headers={"Docker-Content-Digest": other})
        )
        document = manifest(registry)
        with pytest.raises(IntegrityFailure) as caught:
            target(registry).put_manifest(document, "1")
        assert caught.value.exit_code == 6
        assert f"the registry stored {other} where {document.digest} was sent" in caught.value.message

    @pytest.mark.parametrize("how", ["openly", "silently"])
    def test_r24_manifest_is_rewritten(self, how):
        """Pretty-printed is another image, whether that is said or not."""
        with FakeRegistry(rewrites_manifests=how) as registry, pytest.raises(IntegrityFailure) as caught:
            target(registry).put_manifest(manifest(registry), "1")
        assert (caught.value.exit_code, caught.value.hint) == (
            6,
            "something between here and the registry changes manifests",
        )

    def test_r24_tag_names_another(self, registry):
        """And ours is not there."""
        theirs = other_manifest(registry)
        registry.add_manifest("org/m", theirs.data, theirs.media_type, "1")
        registry.faults.append(Fault("PUT", "/manifests/", status=201))
        document = manifest(registry)
        with pytest.raises(IntegrityFailure) as caught:
            target(registry).put_manifest(document, "1")
        assert caught.value.message == (
            f"{registry.host}/org/m:1 reads back as {theirs.digest}, and {document.digest}, which was sent,"
            " is not there"
        )

    def test_r24_tag_is_not_there(self, registry, waits):
        """It is waited for as for anything else that may pass, for copies of a registry may lag behind."""
        registry.faults.append(Fault("PUT", "/manifests/", status=201))
        with pytest.raises(NetworkGaveUp) as caught:
            target(registry).put_manifest(manifest(registry), "1")
        assert caught.value.message == f"{registry.host}/org/m:1 was published and is not there, 6 times in a row"
        assert len(waits) == 5

    def test_r24_tag_is_there_a_moment_later(self, registry, waits):
        """That is how copies are."""
        registry.faults.append(Fault("HEAD", "/manifests/", status=404, times=2))
        document = manifest(registry)
        assert target(registry).put_manifest(document, "1") == document.digest
        assert len(waits) == 2

    def test_without_a_digest(self, registry):
        """A registry that does not say one is read, and digested here."""
        registry.faults.append(Fault("PUT|HEAD", "/manifests/", headers={"Docker-Content-Digest": ""}, times=2))
        document = manifest(registry)
        assert target(registry).put_manifest(document, "1") == document.digest
        assert [r.method for r in registry.requests(path="/manifests/")] == ["PUT", "HEAD", "GET"]

    def test_who_may_only_push(self, registry):
        """Cannot read back; that is no failure of the push."""
        registry.faults.append(Fault("HEAD", "/manifests/", status=403, times=-1))
        document = manifest(registry)
        assert target(registry).put_manifest(document, "1") == document.digest

    def test_an_index(self, registry):
        """Is read back as what it is."""
        child = manifest(registry)
        there = target(registry)
        there.put_manifest(child, None)
        entry = Descriptor(MANIFEST_TYPE, child.digest, len(child.data))
        data = f'{{"schemaVersion":2,"mediaType":"{INDEX_TYPE}","manifests":[{{"digest":"{entry.digest}"}}]}}'
        document = Document(INDEX_TYPE, data.encode())
        assert there.put_manifest(document, "1") == document.digest
        assert registry.tags == {"org/m:1": document.digest}


class TestStop:
    """A push that is stopped."""

    @pytest.mark.parametrize("profile", ["v3", "2.8"])
    def test_r20_open_uploads_are_taken_back(self, profile):
        """Within a second, whatever they are doing."""
        with FakeRegistry(profile=profile) as registry:
            registry.faults.append(Fault("PATCH", silent=True, times=2))
            there = target(registry)
            threads = [threading.Thread(target=ended, args=(there, Stream(BLOB[number:]))) for number in range(2)]
            for thread in threads:
                thread.start()
            while len(registry.requests("PATCH")) < 2:
                time.sleep(0.01)
            started = time.monotonic()
            there.stop()
            assert time.monotonic() - started <= 1.5
            for thread in threads:
                thread.join(2)
            assert [thread.is_alive() for thread in threads] == [False, False]
            assert [request.method for request in registry.requests("DELETE")] == ["DELETE"] * 2
            assert (registry.uploads, registry.tags) == ({}, {})

    def test_r20_with_a_login(self, log_in):
        """To take an upload back wants the right to delete, of which the token knows nothing yet."""
        with FakeRegistry(auth="bearer", profile="v3") as registry:
            log_in(registry.host)
            registry.faults.append(Fault("PATCH", silent=True))
            there = target(registry)
            thread = threading.Thread(target=ended, args=(there, Stream()))
            thread.start()
            while not registry.requests("PATCH"):
                time.sleep(0.01)
            there.stop()
            thread.join(2)
            assert registry.uploads == {}

    def test_r20_registry_that_does_not_answer(self):
        """Is not waited for: a second in all, for any number of uploads."""
        with FakeRegistry() as registry:
            registry.faults.append(Fault("PATCH|DELETE|GET", silent=True, times=-1))
            there = target(registry)
            threads = [threading.Thread(target=ended, args=(there, Stream())) for _ in range(8)]
            for thread in threads:
                thread.start()
            while len(registry.requests("PATCH")) < 8:
                time.sleep(0.01)
            started = time.monotonic()
            there.stop()
            assert time.monotonic() - started <= 1.5
            for thread in threads:
                thread.join(2)
            assert not any(thread.is_alive() for thread in threads)

    def test_r20_at_any_moment(self):
        """Twenty moments of an upload, each a stop: it ends within two seconds, and nothing is begun afterwards."""
        data = big(8 * MIB)
        for moment in range(20):
            with FakeRegistry() as registry:
                there = target(registry)
                thread = threading.Thread(target=ended, args=(there, Stream(data)))
                thread.start()
                time.sleep(moment * 0.004)
                started = time.monotonic()
                there.stop()
                thread.join(2)
                assert (thread.is_alive(), time.monotonic() - started <= 2) == (False, True)
                asked = len(registry.log)
                with pytest.raises(NetworkGaveUp):
                    there.has_blob(DIGEST)
                assert len(registry.log) == asked


def ended(there, content):
    """Upload, whatever comes of it."""
    with suppress(ModelcarError):
        there.upload(content)


class TestMount:
    """A blob of another repository of the same registry."""

    @pytest.mark.parametrize("auth", [None, "basic", "bearer"])
    @pytest.mark.parametrize("profile", ["v3", "quay"])
    def test_there(self, log_in, auth, profile):
        """No byte is sent; the token is one for both repositories, whether the registry asks for that or not."""
        with FakeRegistry(auth=auth, profile=profile) as registry:
            log_in(registry.host)
            registry.add_blob("org/other", BLOB)
            there = target(registry)
            assert there.mount(DIGEST, "org/other") is True
            assert there.has_blob(DIGEST) is True
            assert registry.received_of_blobs() == 0
            assert len(registry.requests(path="^/token")) == (auth == "bearer")

    def test_not_there(self, registry):
        """The session that is opened instead is taken back."""
        assert target(registry).mount(DIGEST, "org/other") is False
        assert ([r.method for r in registry.log], registry.uploads) == (["POST", "DELETE"], {})

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
    def test_refused(self, registry, waits, status):
        """It is sent then, as if it were nowhere."""
        registry.faults.append(Fault("POST", "mount=", status=status, times=-1))
        there = target(registry)
        assert there.mount(DIGEST, "org/other") is False
        assert there.upload(held(), DIGEST) == DIGEST
        assert waits == []

    def test_token_server_that_refuses(self, log_in):
        """We may push here, and not read there."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            registry.faults.append(Fault(path="/token.*other", status=403, times=-1))
            there = target(registry)
            there.prepare()
            assert there.mount(DIGEST, "org/other") is False
            assert there.upload(held(), DIGEST) == DIGEST


class TestTags:
    """The repository's tags."""

    def test_tags(self, registry):
        """As the registry lists them."""
        for tag in ("2", "1"):
            registry.add_manifest("org/m", b"{}", MANIFEST_TYPE, tag)
        assert target(registry).tags() == ("1", "2")

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            pytest.param(404, b"", id="no repository"),
            pytest.param(403, b"", id="not for us"),
            pytest.param(405, b"", id="no list"),
            pytest.param(200, b"<html>", id="no JSON"),
            pytest.param(200, b"[]", id="JSON of another kind"),
            pytest.param(200, b'{"tags": null}', id="null"),
            pytest.param(200, b"[" * 99_999, id="nested without end"),
        ],
    )
    def test_a_registry_that_does_not_tell(self, registry, status, body):
        """None, and no error."""
        registry.faults.append(Fault("GET", "/tags/", status=status, body=body))
        assert target(registry).tags() == ()

    def test_what_is_no_tag(self, registry):
        """Is left out."""
        registry.faults.append(Fault("GET", "/tags/", status=200, body=b'{"tags": ["a", 7, "../b", "", "x y"]}'))
        assert target(registry).tags() == ("a",)


def test_digest_of_the_tests_own_blob():
    """The fake and the tests agree on what a digest is."""
    assert digest_of(BLOB) == DIGEST
