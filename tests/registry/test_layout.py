"""Tests of an OCI layout folder as the target of a push."""

import json
import os
import stat
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NotFoundOrRefused
from kubectl_modelcar.image import (
    Held,
    LayoutReference,
    Platform,
    digest_of,
    index_manifest,
)
from kubectl_modelcar.registry import LayoutTarget, RegistryAccess, open_image, open_target
from tests.registry.layouts import CONFIG, NOBODY, REF_NAME, everything, index, manifest, publish, target


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "layout"


class Chunks:
    """Content of some size, that gives what it is told to."""

    name = "w"

    def __init__(self, size, *given):
        self.size, self.given = size, given

    def chunks(self, start=0):
        assert start == 0
        for one in self.given:
            if isinstance(one, Exception):
                raise one
            yield one


class TestPrepare:
    """Before anything is read it is known that we may write."""

    def test_new_folder(self, folder):
        """Nothing is made before there is something to keep."""
        target(folder)
        assert not folder.exists()

    def test_empty_folder(self, folder):
        """Is taken."""
        folder.mkdir()
        target(folder)
        assert everything(folder) == []

    def test_layout_of_before(self, folder):
        """Is added to."""
        publish(folder, "1")
        target(folder)
        assert len(index(folder)["manifests"]) == 1

    def test_foreign_folder(self, folder):
        """Somebody's home is not made an image."""
        folder.mkdir()
        (folder / "notes.txt").touch()
        with pytest.raises(LocalFailure) as caught:
            target(folder)
        assert (caught.value.message, caught.value.hint) == (
            f"{folder} is not empty and no OCI layout",
            "name a new folder: oci:FOLDER[:TAG]",
        )
        assert everything(folder) == ["notes.txt"]

    def test_a_file(self, tmp_path):
        """Is no folder."""
        (tmp_path / "layout").touch()
        with pytest.raises(LocalFailure) as caught:
            target(tmp_path / "layout")
        assert caught.value.message.startswith(f"cannot write {tmp_path / 'layout'}")
        assert caught.value.hint == "check its permissions and free space"

    def test_a_folder_of_others(self):
        """Is known before the model is read."""
        user = os.geteuid()
        with TemporaryDirectory() as theirs:
            Path(theirs).chmod(0o555)
            if user == 0:
                os.seteuid(NOBODY)
            try:
                with pytest.raises(LocalFailure) as caught:
                    target(Path(theirs) / "new")
            finally:
                os.seteuid(user)
        assert (caught.value.message, caught.value.hint) == (
            f"cannot write {theirs}: permission denied",
            "name another folder: oci:FOLDER[:TAG]",
        )


class TestUpload:
    """Blobs."""

    def test_no_room(self):
        """A filesystem that takes nothing: the system's own word."""
        with pytest.raises(LocalFailure) as caught:
            LayoutTarget(LayoutReference(Path("/proc/self/layout"))).upload(Held("w", b"1"))
        assert caught.value.message.startswith("cannot write /proc/self/layout: ")

    @pytest.mark.parametrize("digest", [None, digest_of(b"one two")])
    def test_blob(self, folder, digest):
        """Under its digest, for all to read, in a layout as image-layout.md has it."""
        made = target(folder)
        found = made.upload(Chunks(7, b"one", memoryview(b" two")), digest)
        path = folder / "blobs" / "sha256" / found.removeprefix("sha256:")
        assert (found, path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (
            digest_of(b"one two"),
            b"one two",
            0o644,
        )
        assert made.has_blob(found)
        assert (folder / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'

    def test_mount(self, folder):
        """A layout has no other repositories."""
        assert target(folder).mount(digest_of(b"one two"), "org/other") is False

    def test_has_blob(self, folder):
        """Nothing is there before."""
        assert target(folder).has_blob(digest_of(b"one two")) is False

    @pytest.mark.parametrize(
        ("size", "digest"),
        [
            pytest.param(8, None, id="shorter"),
            pytest.param(2, None, id="longer"),
            pytest.param(3, digest_of(b"two"), id="other bytes"),
        ],
    )
    def test_other_bytes(self, folder, size, digest):
        """Than were planned: nothing of it stays."""
        made = target(folder)
        with pytest.raises(IntegrityFailure) as caught:
            made.upload(Chunks(size, b"one"), digest)
        assert caught.value.message == (
            f"w became 3 bytes, {digest_of(b'one')}; {size} bytes, {digest or 'any digest'} were planned"
        )
        assert everything(folder) == ["oci-layout"]

    def test_source_that_fails(self, folder):
        """Its own error goes up, and nothing of the blob stays."""
        with pytest.raises(LocalFailure, match="gone"):
            target(folder).upload(Chunks(8, b"one", LocalFailure("gone")))
        assert everything(folder) == ["oci-layout"]

    def test_full_disk(self, folder, monkeypatch):
        """The system's own word."""
        made = target(folder)

        def full(_descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(LocalFailure) as caught:
            made.upload(Held("w", b"one"))
        assert caught.value.message == f"cannot write {folder}: No space left on device"
        assert everything(folder) == ["oci-layout"]


class TestManifest:
    """The image is published by its entry in index.json, last."""

    def test_entry(self, folder):
        """With the tag, or latest."""
        digest = publish(folder)
        assert index(folder) == {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": digest,
                    "size": len(manifest().data),
                    "annotations": {REF_NAME: "latest"},
                }
            ],
        }

    def test_an_image_of_an_index(self, folder):
        """Has no entry of its own: it is found by the index, and the index by its tag."""
        made, entries = target(folder), []
        for architecture in ("amd64", "arm64"):
            made.upload(Held("config", CONFIG.data), CONFIG.digest)
            image = manifest(a=architecture)
            assert made.put_manifest(image, None) == image.digest
            entries.append((image, Platform("linux", architecture)))
        document = index_manifest(entries)
        made.put_manifest(document, "1")
        assert [(entry["digest"], entry["mediaType"]) for entry in index(folder)["manifests"]] == [
            (document.digest, "application/vnd.oci.image.index.v1+json")
        ]
        for image, platform in entries:
            opened = open_image(LayoutReference(folder, "1"), RegistryAccess(), platform=str(platform))
            assert opened.manifest.digest == image.digest

    def test_several_tags_of_one_image(self, folder):
        """Each has an entry."""
        for tag in ("1", "1.0"):
            publish(folder, tag)
        assert [entry["annotations"][REF_NAME] for entry in index(folder)["manifests"]] == ["1", "1.0"]

    def test_tags(self, folder):
        """Are told; of a folder that is no layout there are none."""
        before = target(folder).tags()
        publish(folder, "1")
        publish(folder, "2", a="2")
        assert (before, target(folder).tags()) == ((), ("1", "2"))
        (folder / "index.json").write_text("{")
        assert target(folder).tags() == ()

    def test_two_tags(self, folder):
        """Stand side by side."""
        digests = [publish(folder, "1", a="1"), publish(folder, "2", a="2")]
        assert [entry["digest"] for entry in index(folder)["manifests"]] == digests

    def test_retag(self, folder):
        """The tag moves; the image of before keeps its blobs and loses its name."""
        publish(folder, "1", a="1")
        second = publish(folder, "1", a="2")
        assert [entry["digest"] for entry in index(folder)["manifests"]] == [second]

    @pytest.mark.parametrize("annotations", [None, {}, {"a": "b"}, 7])
    def test_entries_of_others(self, folder, annotations):
        """Of other tools, without a tag, stay."""
        publish(folder, "1")
        foreign = {"mediaType": "x", "digest": digest_of(b""), "size": 0, "annotations": annotations}
        (folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": [foreign], "annotations": {"k": "v"}})
        )
        publish(folder, "1")
        assert (index(folder)["manifests"][0], index(folder)["annotations"]) == (foreign, {"k": "v"})

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("{", id="cut"),
            pytest.param("[]", id="an array"),
            pytest.param("{}", id="no list"),
            pytest.param('{"manifests": 7}', id="a number"),
            pytest.param('{"manifests": [1]}', id="a list of numbers"),
            pytest.param("[" * 200_000, id="nested without end"),
        ],
    )
    def test_broken_index(self, folder, text):
        """Is not overwritten."""
        publish(folder)
        made = target(folder)
        (folder / "index.json").write_text(text)
        with pytest.raises(LocalFailure) as caught:
            made.put_manifest(manifest(), "latest")
        assert str(folder / "index.json") in caught.value.message
        assert caught.value.hint == "name a new folder: oci:FOLDER[:TAG]"
        assert (folder / "index.json").read_text() == text

    def test_nothing_unfinished_stays(self, folder):
        """Only what a layout has."""
        digest = publish(folder, "1")
        blobs = sorted(f"blobs/sha256/{one.removeprefix('sha256:')}" for one in (digest, CONFIG.digest))
        assert everything(folder) == [*blobs, "index.json", "oci-layout"]

    def test_pushes_at_once(self, folder):
        """Of several tags, by several processes: none forgets another's."""
        tags = [f"v{number}" for number in range(8)]
        threads = [threading.Thread(target=publish, args=(folder, tag), kwargs={"a": tag}) for tag in tags]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(entry["annotations"][REF_NAME] for entry in index(folder)["manifests"]) == tags

    def test_manifest(self, folder):
        """Is given by tag and by digest, with its type; what is not there is said."""
        digest, made = publish(folder, "1"), target(folder)
        assert made.manifest("1") == made.manifest("1")
        assert [made.manifest(name)[0] for name in ("1", digest)] == [manifest().data] * 2
        with pytest.raises(NotFoundOrRefused):
            made.manifest("2")

    def test_is_read_back(self, folder):
        """By what reads any image, by its tag or as the only one."""
        digest = publish(folder, "1")
        for tag in ("1", None):
            assert open_image(LayoutReference(folder, tag), RegistryAccess()).manifest.digest == digest


def test_open_target(folder):
    """A layout reference opens a layout, without touching it."""
    assert type(open_target(LayoutReference(folder), RegistryAccess())) is LayoutTarget
    assert not folder.exists()
