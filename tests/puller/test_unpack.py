"""To a folder of the user's own."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import Fault, digest_of
from tests.puller.images import ours, put, tree
from tests.puller.volumes import CONFIG, FIRST, MODEL, SECOND, blobs, model


@pytest.fixture
def image(registry) -> str:
    """Put a model of three layers into the registry; return its digest."""
    return put(registry, CONFIG, FIRST, SECOND)


class TestUnpack:
    """To a folder of the user's own."""

    def test_a_new_folder_holds_the_model_alone(self, image, source, tmp_path):
        """No marks, no hidden files; the files come back, sorted."""
        files = puller.unpack(source(), puller.resolve(source(), image), tmp_path / "new/model")
        assert tree(tmp_path / "new/model") == MODEL
        assert [file.path for file in files] == sorted(MODEL)

    def test_a_fresh_ext4_volume_counts_as_empty(self, image, source, tmp_path):
        """It has lost+found."""
        (tmp_path / "lost+found").mkdir()
        puller.unpack(source(), puller.resolve(source(), image), tmp_path)
        assert model(tmp_path) == MODEL

    def test_a_folder_with_something_in_it_is_refused(self, image, source, tmp_path):
        """Files of two models would mix."""
        (tmp_path / "mine").write_text("")
        with pytest.raises(puller.PullError) as caught:
            puller.unpack(source(), puller.resolve(source(), image), tmp_path)
        assert caught.value.message == f"unpacking to {tmp_path}: the folder is not empty"
        assert (caught.value.exit_code, tree(tmp_path)) == (7, {"mine": b""})

    def test_an_interrupted_unpack_goes_on(self, image, registry, source, tmp_path):
        """With the layers that are missing; nothing has its name before."""
        registry.faults.append(Fault(path=digest_of(SECOND.data), status=404))
        found = puller.resolve(source(), image)
        with pytest.raises(puller.PullError):
            puller.unpack(source(), found, tmp_path, jobs=1)
        assert [path.name for path in tmp_path.iterdir()] == [f".partial-{image[7:]}"]
        registry.log.clear()
        puller.unpack(source(), found, tmp_path)
        assert (tree(tmp_path), blobs(registry)) == (MODEL, ["second"])

    def test_an_unpack_killed_while_it_moved_files_goes_on(self, image, registry, source, tmp_path):
        """Some have their names already."""
        fault = Fault(path=digest_of(SECOND.data), status=404)
        registry.faults.append(fault)
        found = puller.resolve(source(), image)
        with pytest.raises(puller.PullError):
            puller.unpack(source(), found, tmp_path, jobs=1)
        (tmp_path / f".partial-{image[7:]}/.layers/0/config.json").rename(tmp_path / "config.json")
        registry.log.clear()
        puller.unpack(source(), found, tmp_path)
        assert (tree(tmp_path), blobs(registry)) == (MODEL, ["second"])

    def test_nothing_is_synced_for_a_user_s_folder(self, image, source, tmp_path, monkeypatch):
        """A pod's volume outlives its node's crash; a user's command does not wait for the disk."""
        monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("synced"))
        puller.unpack(source(), puller.resolve(source(), image), tmp_path)

    def test_two_unpacks_into_one_folder(self, registry, source, tmp_path):
        """The second is told so, and the first is not disturbed."""
        image = put(registry, ours({"config.json": b"x" * 1000}))
        registry.faults.append(Fault("GET", "/blobs/", trickle=0.001))
        resolved = puller.resolve(source(), image)
        with ThreadPoolExecutor() as pool:
            first = pool.submit(puller.unpack, source(), resolved, tmp_path / "m")
            while not list(tmp_path.glob("m/.partial-*")):
                time.sleep(0.01)
            with pytest.raises(puller.PullError) as caught:
                puller.unpack(source(), resolved, tmp_path / "m")
            first.result()
        assert (caught.value.exit_code, caught.value.message) == (
            7,
            f"unpacking to {tmp_path / 'm'}: another pull is writing there",
        )
        assert tree(tmp_path / "m") == {"config.json": b"x" * 1000}
