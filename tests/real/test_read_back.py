"""The real model, pushed to a real registry, is read back byte for byte by the tools that others use."""

import hashlib
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.models import extract_as_kserve, tree

pytestmark = [pytest.mark.real, pytest.mark.model]

REPOSITORY = "models/smollm2"


@dataclass(frozen=True)
class Pushed:
    """The image: its name by tag, its name without one, and what `push -o json` said."""

    image: str
    name: str
    said: dict

    @property
    def layers(self):
        return self.said["layers"]


@pytest.fixture(scope="module")
def pushed(plain, smollm2, modelcar, tmp_path_factory):
    """Push the model once for all tests here."""
    name = f"{plain.host}/{REPOSITORY}"
    done = modelcar(tmp_path_factory.mktemp("home"), "push", smollm2, f"{name}:1", "--plain-http", "-q", "-o", "json")
    assert (done.code, done.err) == (0, "")
    return Pushed(f"{name}:1", name, json.loads(done.out))


@pytest.fixture(scope="module")
def blobs(pushed, oras, tmp_path_factory) -> Path:
    """Fetch the image's layers with `oras blob fetch`; return their folder, files named by digest."""
    folder = tmp_path_factory.mktemp("blobs")
    for layer in pushed.layers:
        blob = f"{pushed.name}@{layer['digest']}"
        oras("blob", "fetch", "--plain-http", "--no-tty", "--output", folder / layer["digest"], blob)
    return folder


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class TestRealModel:
    """SmolLM2-135M-Instruct."""

    def test_every_shard_is_a_layer(self, pushed, smollm2):
        """The small files share the first one; base below."""
        files = [[file["path"] for file in layer["files"]] for layer in pushed.layers]
        shards = sorted(path.name for path in smollm2.glob("*.safetensors"))
        small = sorted(path.name for path in smollm2.iterdir() if path.suffix != ".safetensors")
        assert files == [[], small, *([shard] for shard in shards)]

    def test_manifest(self, pushed, crane, oras):
        """The bytes that crane and oras read have the digest that was printed."""
        by_crane, by_oras = crane("manifest", pushed.image), oras("manifest", "fetch", "--plain-http", pushed.image)
        assert by_crane == by_oras
        assert f"sha256:{hashlib.sha256(by_crane).hexdigest()}" == pushed.said["digest"]

    def test_reference(self, pushed, crane):
        """What was printed names the image in the registry."""
        assert crane("digest", pushed.said["reference"]).decode().strip() == pushed.said["digest"]
        assert crane("digest", pushed.image).decode().strip() == pushed.said["digest"]

    def test_oras_reads_every_blob(self, pushed, blobs):
        """Digest and size are those that `push` said."""
        found = [
            (digest_of(blobs / layer["digest"]), (blobs / layer["digest"]).stat().st_size) for layer in pushed.layers
        ]
        assert found == [(layer["digest"], layer["bytes"]) for layer in pushed.layers]

    def test_crane_reads_the_same_blobs(self, pushed, blobs, crane):
        """Byte for byte."""
        same = [crane("blob", f"{pushed.name}@{one.name}") == one.read_bytes() for one in sorted(blobs.iterdir())]
        assert same == [True] * len(pushed.layers)

    def test_crane_exports_the_file_system(self, pushed, crane, smollm2, tmp_path):
        """Base and layers as a container would see them (`crane validate` takes gzip layers alone)."""
        crane("export", pushed.image, tmp_path / "export.tar")
        with tarfile.open(tmp_path / "export.tar") as archive:
            sizes = {member.name: member.size for member in archive if member.name.startswith("models/")}
        assert sizes == {f"models/{path.name}": path.stat().st_size for path in smollm2.iterdir()}

    def test_kserve_extracts_the_same_files(self, pushed, blobs, crane, smollm2, tmp_path):
        """Every file of the folder, and nothing else."""
        extract_as_kserve(
            json.loads(crane("manifest", pushed.image)), lambda digest: (blobs / digest).open("rb"), tmp_path
        )
        assert sorted(tree(tmp_path)) == sorted(path.name for path in smollm2.iterdir())
        same = {path.name: digest_of(path) == digest_of(tmp_path / path.name) for path in smollm2.iterdir()}
        assert same == dict.fromkeys(same, True)

    def test_our_pull_gives_the_same_files(self, pushed, modelcar, smollm2, tmp_path):
        """Every file of the folder, and nothing else."""
        done = modelcar(tmp_path / "home", "pull", pushed.said["reference"], tmp_path / "m", "--plain-http", "-q")
        assert (done.code, done.out, done.err) == (0, f"{tmp_path / 'm'}\n", "")
        assert {path.name: digest_of(path) for path in (tmp_path / "m").iterdir()} == {
            path.name: digest_of(path) for path in smollm2.iterdir()
        }
