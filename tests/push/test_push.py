"""Tests of pushing a model: from a source to a target."""

import json

import pytest

from kubectl_modelcar.errors import (
    InvalidInput,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import BaseImage, Platform, parse_location
from kubectl_modelcar.memory import Memory
from kubectl_modelcar.push import PushOptions, push
from kubectl_modelcar.registry import (
    OpenBase,
    open_base,
    open_image,
    open_target,
)
from kubectl_modelcar.source import FolderSource, Selection, open_source
from tests.push.pushing import ACCESS, FILES, NOTHING, SHARDS, SIZE, Counting, Recording, manifest_of, pulled, push_to


class TestPush:
    """A push that goes well."""

    def test_result(self, registry, folder):
        """The image by its digest, what its layers are, what was sent."""
        result = push_to(registry, folder)
        assert result.reference == f"{registry.host}/org/m@{registry.tags['org/m:1']}"
        assert [[file.path for file in layer.files] for layer in result.layers] == [
            ["config.json", "model.safetensors.index.json"],
            *([shard] for shard in SHARDS),
        ]
        assert all(layer.sent for layer in result.layers)
        assert result.sent_bytes == sum(layer["size"] for layer in manifest_of(registry)["layers"])

    def test_read_back(self, registry, folder, tmp_path):
        """Every byte, under its own name."""
        push_to(registry, folder)
        assert pulled(registry, tmp_path / "back") == FILES

    def test_each_byte_is_read_once(self, registry, folder):
        """The heads of the files besides."""
        source = Counting(FolderSource(folder))
        push_to(registry, source)
        assert (source.whole, source.parts < 30_000) == (SIZE, True)

    def test_manifest_comes_last(self, registry, folder):
        """Nobody sees an image that is not whole."""
        push_to(registry, folder)
        puts = [request.path for request in registry.requests("PUT")]
        assert puts.pop() == "/v2/org/m/manifests/1"
        assert all("/blobs/" in path for path in puts)

    def test_progress(self, registry, folder):
        """Each layer begins and ends once."""
        watcher = Recording()
        push_to(registry, folder, progress=watcher)
        names = ["config.json and 1 more", *SHARDS]
        assert sorted(name for what, name, _ in watcher.events if what == "begin") == names
        assert sorted(event[1:] for event in watcher.events if event[0] == "end") == [(name, "sent") for name in names]

    def test_jobs(self, registry, folder):
        """One at a time or all at once: the same image."""
        digests = {push_to(registry, folder, tag=str(jobs), jobs=jobs).digest for jobs in (1, 3, 16)}
        assert len(digests) == 1

    def test_files_left_out(self, registry, folder):
        """Are told."""
        (folder / "image.png").touch()
        assert push_to(registry, folder).listing.left_out == ("image.png",)

    def test_only_large_files(self, registry, folder, tmp_path):
        """Without a small layer."""
        selection = Selection(include=("*.safetensors",))
        assert len(push_to(registry, folder, selection=selection).layers) == 3
        assert sorted(pulled(registry, tmp_path / "back")) == SHARDS

    def test_to_a_layout(self, folder, tmp_path):
        """The same image as in a registry."""
        location = parse_location(f"oci:{tmp_path / 'layout'}:1")
        result = push(
            FolderSource(folder),
            open_target(location, ACCESS),
            location,
            [OpenBase(BaseImage())],
            PushOptions(),
            memory=Memory(NOTHING),
        )
        opened = open_image(location, ACCESS)
        assert (opened.manifest.digest, result.reference) == (
            result.digest,
            f"oci:{tmp_path / 'layout'}@{result.digest}",
        )


class TestOrigin:
    """Where the model comes from, as the image tells."""

    def test_folder(self, registry, folder):
        """Its path is this machine's; its date would make each push another image."""
        push_to(registry, folder)
        assert manifest_of(registry)["annotations"] == {
            "io.github.kubectl-modelcar.recipe": "1",
            "org.opencontainers.image.created": "1970-01-01T00:00:00Z",
        }
        assert str(folder) not in json.dumps([str(blob) for blob in registry.blobs.values()])

    def test_hub(self, registry, hub):
        """Repository, commit, licence, and the commit's own date."""
        commit = hub.commit("org/m", FILES)
        hub.repositories["org/m"].card = {"license": "mit"}
        push_to(registry, open_source("org/m"))
        assert manifest_of(registry)["annotations"] == {
            "io.github.kubectl-modelcar.recipe": "1",
            "org.opencontainers.image.created": "2025-06-01T12:00:00Z",
            "org.opencontainers.image.licenses": "mit",
            "org.opencontainers.image.revision": commit,
            "org.opencontainers.image.source": "https://huggingface.co/org/m",
        }

    def test_created(self, registry, hub):
        """SOURCE_DATE_EPOCH wins over the commit's date, in manifest and config."""
        hub.commit("org/m", FILES)
        push_to(registry, open_source("org/m"), created="2000-01-01T00:00:00Z")
        config = json.loads(registry.blobs[manifest_of(registry)["config"]["digest"]])
        assert manifest_of(registry)["annotations"]["org.opencontainers.image.created"] == "2000-01-01T00:00:00Z"
        assert {config["created"], *(entry["created"] for entry in config["history"])} == {"2000-01-01T00:00:00Z"}

    def test_the_same_layers_from_hub_and_folder(self, registry, hub, folder):
        """A layer is its files and nothing else."""
        hub.commit("org/m", FILES)
        digests = [
            [layer.descriptor.digest for layer in push_to(registry, source, tag=tag).layers]
            for tag, source in (("1", folder), ("2", open_source("org/m")))
        ]
        assert digests[0] == digests[1]


class TestBase:
    """The image below the model."""

    def test_is_copied(self, registry, folder):
        """Its layers lie below, its entry point stays, its name and digest are told."""
        base = open_base("embedded", ACCESS, Platform())
        result = push_to(registry, folder, base=base)
        manifest = manifest_of(registry)
        below = [layer.digest for layer in base.image.layers]
        assert [layer["digest"] for layer in manifest["layers"][: len(below)]] == below
        assert set(below) <= set(registry.blobs)
        assert manifest["annotations"]["org.opencontainers.image.base.digest"] == base.image.digest
        assert [layer.files for layer in result.layers[: len(below)]] == [()] * len(below)

    def test_is_not_copied_again(self, registry, folder):
        """What is there is there."""
        base = open_base("embedded", ACCESS, Platform())
        push_to(registry, folder, base=base)
        again = push_to(registry, folder, tag="2", base=base)
        assert [layer.sent for layer in again.layers] == [False] * len(again.layers)

    def test_platform(self, registry, folder):
        """Is the config's."""
        base = open_base("embedded", ACCESS, Platform("linux", "arm64"))
        push_to(registry, folder, base=base, platforms=(Platform("linux", "arm64"),))
        config = json.loads(registry.blobs[manifest_of(registry)["config"]["digest"]])
        assert (config["os"], config["architecture"]) == ("linux", "arm64")


class TestInput:
    """What cannot be meant."""

    def test_digest(self, registry, folder):
        """A digest is what a push gives."""
        digest = "sha256:" + "0" * 64
        location = parse_location(f"{registry.host}/org/m@{digest}")
        with pytest.raises(InvalidInput) as caught:
            push(
                FolderSource(folder),
                open_target(location, ACCESS),
                location,
                [OpenBase(BaseImage())],
                PushOptions(),
                memory=Memory(NOTHING),
            )
        assert (caught.value.message, caught.value.hint) == (
            f"cannot push to {registry.host}/org/m@{digest}: a digest is what a push gives",
            "name a tag: HOST/REPO:TAG",
        )
        assert registry.log == []

    def test_empty_pattern(self, registry, folder):
        """Is said before anything is asked."""
        with pytest.raises(InvalidInput):
            push_to(registry, folder, selection=Selection(include=("",)))
        assert registry.log == []

    def test_nothing_selected(self, registry, folder):
        """Nor is a registry asked for nothing."""
        with pytest.raises(NotFoundOrRefused):
            push_to(registry, folder, selection=Selection(include=("*.gguf",)))
        assert registry.log == []
