"""Tests of links in a folder."""

import pytest

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source import FolderSource, Selection


def listing(folder):
    return FolderSource(folder).listing(Selection())


class TestLinks:
    """Links, which may lead anywhere."""

    def test_inside(self, folder):
        """Is the file that it leads to."""
        (folder / "copy.json").symlink_to("config.json")
        assert ModelFile("copy.json", 2) in listing(folder).files

    def test_outside(self, folder, tmp_path):
        """Is refused: a repository that was cloned must not be able to send ~/.ssh."""
        secret = tmp_path / "secret"
        secret.write_bytes(b"key")
        (folder / "vocab.txt").symlink_to(secret)
        with pytest.raises(IntegrityFailure) as caught:
            listing(folder)
        assert (caught.value.message, caught.value.hint) == (
            f"{folder / 'vocab.txt'} is a link to {secret}, outside the folder",
            "copy the file, or leave it out with --exclude",
        )

    def test_outside_and_left_out(self, folder, tmp_path):
        """Nobody minds a link that is not followed."""
        (folder / "vocab.txt").symlink_to(tmp_path)
        found = FolderSource(folder).listing(Selection(exclude=("vocab.txt",)))
        assert [file.path for file in found.files] == ["config.json", "sub/w.safetensors"]

    def test_snapshot_of_the_hub_s_cache(self, tmp_path):
        """snapshots/COMMIT/FILE links to ../../blobs/ETAG by design."""
        blob = tmp_path / "models--org--m" / "blobs" / "abc"
        snapshot = tmp_path / "models--org--m" / "snapshots" / "f00"
        for made in (blob.parent, snapshot):
            made.mkdir(parents=True)
        blob.write_bytes(b"{}")
        (snapshot / "config.json").symlink_to("../../blobs/abc")
        assert listing(snapshot).files == (ModelFile("config.json", 2),)

    def test_blobs_of_another_folder(self, tmp_path):
        """Only a snapshot has blobs two floors up."""
        folder = tmp_path / "a" / "models"
        folder.mkdir(parents=True)
        (tmp_path / "blobs").mkdir()
        (tmp_path / "blobs" / "key").write_bytes(b"key")
        (folder / "config.json").symlink_to("../../blobs/key")
        with pytest.raises(IntegrityFailure):
            listing(folder)

    def test_a_snapshot_s_other_links(self, tmp_path):
        """The cache's own blobs and nothing else."""
        snapshot = tmp_path / "m" / "snapshots" / "f00"
        snapshot.mkdir(parents=True)
        (tmp_path / "secret").write_bytes(b"key")
        (snapshot / "config.json").symlink_to(tmp_path / "secret")
        with pytest.raises(IntegrityFailure):
            listing(snapshot)

    def test_the_folder_itself(self, folder, tmp_path):
        """May be a link: the user named it."""
        link = tmp_path / "link"
        link.symlink_to(folder)
        assert len(listing(link).files) == 2

    @pytest.mark.parametrize("target", ["sub", "..", "/"])
    def test_to_a_folder(self, folder, target):
        """Is not followed, and not passed over: its files would be missing."""
        (folder / "sub" / "more").symlink_to(folder / target)
        with pytest.raises(IntegrityFailure) as caught:
            listing(folder)
        assert (caught.value.message, caught.value.hint) == (
            f"{folder / 'sub' / 'more'} is a link to the folder {(folder / target).resolve()}",
            "copy the folder, or leave it out with --exclude sub/more",
        )

    @pytest.mark.parametrize("exclude", ["sub/more", "sub/more/*", "more", "*more*"])
    def test_to_a_folder_that_is_left_out(self, folder, exclude):
        """By its name or its path, or by all that is in it."""
        (folder / "sub" / "more").symlink_to("/")
        found = FolderSource(folder).listing(Selection(exclude=(exclude,)))
        assert [file.path for file in found.files] == ["config.json", "sub/w.safetensors"]

    def test_to_a_hidden_folder(self, folder):
        """Hidden ones are not looked into, whatever they are."""
        (folder / ".cache").symlink_to("/")
        assert len(listing(folder).files) == 2

    @pytest.mark.parametrize(
        "target", [pytest.param("nothing", id="dangling"), pytest.param("vocab.txt", id="to itself")]
    )
    def test_broken(self, folder, target):
        """Leads nowhere."""
        (folder / "vocab.txt").symlink_to(target)
        with pytest.raises(LocalFailure) as caught:
            listing(folder)
        assert (caught.value.message, caught.value.hint) == (
            f"{folder / 'vocab.txt'} is a link to nowhere",
            "leave it out with --exclude",
        )
