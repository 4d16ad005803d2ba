"""An image in a folder."""

import json

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import digest_of
from tests.puller.images import manifest, ours, put_layout

MODEL = manifest(ours({"config.json": b"{}"}))
ARM = manifest(ours({"config.json": b"{ }"}))


class TestLayout:
    """An image in a folder."""

    def test_the_only_image_needs_no_name(self, tmp_path):
        """As `push` writes it."""
        layout = puller.Layout(put_layout(tmp_path, ("v1", (ours({"config.json": b"{}"}),))))
        assert puller.resolve(layout, "").digest == digest_of(MODEL)

    def test_a_tag_names_an_image(self, tmp_path):
        """The index says which."""
        images = (("v1", (ours({"a": b""}),)), ("v2", (ours({"config.json": b"{}"}),)))
        assert puller.resolve(puller.Layout(put_layout(tmp_path, *images)), "v2").digest == digest_of(MODEL)

    def test_a_digest_names_an_image(self, tmp_path):
        """It is the file's name."""
        layout = puller.Layout(put_layout(tmp_path, (None, (ours({"config.json": b"{}"}),))))
        assert puller.resolve(layout, digest_of(MODEL)).digest == digest_of(MODEL)

    @pytest.mark.parametrize("tags", [("v1", "v2"), (None, "v1"), ("v2", None), (None, None)])
    def test_several_tags_of_one_image_need_no_name(self, tmp_path, tags):
        """As `push --tag` writes it: there is nothing to choose."""
        layer = ours({"config.json": b"{}"})
        layout = put_layout(tmp_path, *((tag, (layer,)) for tag in tags))
        assert puller.resolve(puller.Layout(layout), "").digest == digest_of(MODEL)

    @pytest.mark.parametrize(
        ("tags", "hint"),
        [
            (("v2", "v1"), "say which: its tags are v1, v2"),
            (("v1", None), "say which: its tags are v1"),
            ((None, None), "name one by its digest: oci:FOLDER@sha256:..."),
        ],
    )
    def test_several_images_need_a_name(self, tmp_path, tags, hint):
        """The first one is as good as any other, and so none is taken."""
        images = [(tag, (ours({name: b""}),)) for tag, name in zip(tags, "ab", strict=True)]
        layout = puller.Layout(put_layout(tmp_path, *images))
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(layout, "")
        said = (caught.value.message, caught.value.hint, caught.value.exit_code)
        assert said == (f"oci:{tmp_path} holds 2 images", hint, 2)

    def test_the_default_tag_is_taken_before_others(self, tmp_path):
        """A push without a tag made it."""
        images = (("v1", (ours({"a": b""}),)), ("latest", (ours({"config.json": b"{}"}),)))
        assert puller.resolve(puller.Layout(put_layout(tmp_path, *images)), "").digest == digest_of(MODEL)

    def test_several_platforms_are_one_image(self, tmp_path):
        """Other tools write its index to index.json itself."""
        layout = put_layout(tmp_path, (None, (ours({"config.json": b"{}"}),)), (None, (ours({"config.json": b"{ }"}),)))
        path = layout / "index.json"
        document = json.loads(path.read_text())
        for entry, name in zip(document["manifests"], ("amd64", "arm64"), strict=True):
            entry["platform"] = {"os": "linux", "architecture": name}
        path.write_text(json.dumps(document))
        assert puller.resolve(puller.Layout(layout), "", "linux/arm64").digest == digest_of(ARM)

    def test_an_unknown_tag_is_refused(self, tmp_path):
        """The hint says which there are."""
        layout = puller.Layout(put_layout(tmp_path, ("v1", ()), ("v0", ())))
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(layout, "v3")
        said = (caught.value.message, caught.value.hint, caught.value.exit_code)
        assert said == (f"there is no v3 in oci:{tmp_path}", "its tags are v0, v1", 4)

    def test_an_empty_layout_is_refused(self, tmp_path):
        """It has no image at all."""
        with pytest.raises(puller.PullError, match="there is no manifest in oci:"):
            puller.resolve(puller.Layout(put_layout(tmp_path)), "")

    def test_a_folder_that_is_no_layout_is_refused(self, tmp_path):
        """The error names the folder and what is missing."""
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(puller.Layout(tmp_path), "")
        message = f"oci:{tmp_path} is no OCI image layout: index.json: No such file or directory"
        assert (caught.value.message, caught.value.exit_code) == (message, 4)

    def test_a_damaged_manifest_is_refused(self, tmp_path):
        """Its name is its digest."""
        layout = put_layout(tmp_path, ("v1", (ours({"config.json": b"{}"}),)))
        (layout / "blobs/sha256" / digest_of(MODEL)[7:]).write_bytes(ARM)
        with pytest.raises(puller.PullError, match="has other bytes"):
            puller.resolve(puller.Layout(layout), "v1")

    def test_a_missing_blob_is_named(self, tmp_path):
        """A copy may have been cut."""
        layer = ours({"config.json": b"{}"})
        layout = put_layout(tmp_path / "layout", ("v1", (layer,)))
        blob = layout / "blobs/sha256" / digest_of(layer.data)[7:]
        blob.unlink()
        source = puller.Layout(layout)
        with pytest.raises(puller.PullError) as caught:
            puller.unpack(source, puller.resolve(source, ""), tmp_path / "model")
        said = (caught.value.message, caught.value.hint, caught.value.exit_code)
        assert said == (f"reading {blob}: No such file or directory", "is the layout complete?", 7)
