"""Tests of a model as an artifact of CNCF ModelPack."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import (
    FILES_ANNOTATION,
    Descriptor,
    Held,
    LayoutReference,
    ModelFile,
    RawLayer,
    artifact_config,
    artifact_manifest,
    digest_of,
    layer_descriptor,
    plan_artifact,
)
from kubectl_modelcar.registry import LayoutTarget, RegistryAccess, open_image

CREATED = "2026-01-02T03:04:05Z"
TITLE, FILEPATH = "org.opencontainers.image.title", "org.cncf.model.filepath"
SCHEMA = Path(__file__).parent / "model_spec_config_schema.json"
"""schema/config-schema.json of github.com/modelpack/model-spec at d78bf3231b4f26196c4a955e1007ccc47e19a77c."""
FACTS = {
    "org.opencontainers.image.source": "https://huggingface.co/ibm/granite",
    "org.opencontainers.image.revision": "c" * 40,
    "org.opencontainers.image.licenses": "apache-2.0",
}
MODEL = {
    "model_type": "granite",
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "awq"},
    "architectures": ["GraniteForCausalLM"],
}
TREE = {
    "LICENSE": b"Apache",
    "config.json": b"{}",
    "copy of config.json": b"{}",
    "generation.py": b"pass",
    "model-00001.safetensors": b"weights",
    "none.txt": b"",
    "one/deep/model.safetensors": b"other weights",
    "same bytes, other kind.md": b"{}",
}


def described(tree):
    """Return the tree's layers as a manifest has them."""
    plans = plan_artifact([ModelFile(path, len(data)) for path, data in tree.items()])
    return [layer_descriptor(plan, digest_of(tree[plan.file.path])) for plan in plans]


def publish(folder, tree, **config):
    """Put the tree as an artifact into a layout, under the tag 1."""
    target, layers = LayoutTarget(LayoutReference(folder)), described(tree)
    for data in {*tree.values()}:
        target.upload(Held("a file", data), digest_of(data))
    document = artifact_config(layers, created=CREATED, **config)
    target.upload(Held("config", document.data))
    target.put_manifest(artifact_manifest(document, layers, {}), "1")


class TestRawLayer:
    """A file is a layer."""

    def test_bytes(self):
        """Are those of the file and nothing else, so the file's sha256 is the layer's digest."""
        file = ModelFile("sub/w.safetensors", 7, "a" * 64)
        layer = RawLayer(file)
        assert (list(layer.parts()), layer.size, layer.digest, layer.name, layer.files) == (
            [file],
            7,
            "sha256:" + "a" * 64,
            "sub/w.safetensors",
            (file,),
        )

    def test_digest_of_small_files(self):
        """The Hub tells it of files in LFS alone."""
        assert RawLayer(ModelFile("config.json", 2, git="b" * 40)).digest is None

    @pytest.mark.parametrize(
        ("path", "size", "kind"),
        [
            ("model-00001-of-00002.safetensors", 1, "weight"),
            ("granite.Q4_K_M.gguf", 1, "weight"),
            ("pytorch_model.bin", 1, "weight"),
            ("config.json", 1, "weight.config"),
            ("model.safetensors.index.json", 1, "weight.config"),
            ("sub/tokenizer.model", 1, "weight.config"),
            ("tokenizer.model.v3", 1, "weight.config"),
            ("vocab.txt", 1, "weight.config"),
            ("merges.txt", 1, "weight.config"),
            ("chat_template.jinja", 1, "weight.config"),
            ("README.md", 1, "doc"),
            ("LICENSE", 1, "doc"),
            ("Notice", 1, "doc"),
            ("USE_POLICY.txt", 1, "doc"),
            ("modeling_granite.py", 1, "code"),
            ("unheard.of", 128_000_000, "code"),
            ("unheard.of", 128_000_001, "weight"),
        ],
    )
    def test_kinds(self, path, size, kind):
        """By name, as modctl tells them; what nobody knows is a weight if it is large."""
        assert RawLayer(ModelFile(path, size)).media_type == f"application/vnd.cncf.model.{kind}.v1.raw"


class TestPlan:
    """Every file is a layer."""

    def test_sorted_and_without_limit(self):
        """No overlay mounts these: there may be more than an image has layers."""
        plans = plan_artifact([ModelFile(f"{n:05}.safetensors", 1) for n in reversed(range(1000))])
        assert [plan.name for plan in plans] == [f"{n:05}.safetensors" for n in range(1000)]

    def test_too_many_for_a_manifest(self):
        """Is said before anything is sent."""
        files = [ModelFile(f"{n:06}.json", 1) for n in range(20_000)]
        with pytest.raises(InvalidInput) as caught:
            plan_artifact(files)
        assert caught.value.message.startswith("20000 files need a manifest of ")
        assert caught.value.hint == "leave files out with --exclude"


class TestDescriptor:
    """What the manifest says of a file."""

    def test_both_names(self):
        """The title for `oras pull`, the filepath for `modctl` and CRI-O; and what a push remembers."""
        layer = layer_descriptor(RawLayer(ModelFile("sub/a.json", 2, git="b" * 40)), "sha256:" + "a" * 64)
        assert layer == Descriptor(
            "application/vnd.cncf.model.weight.config.v1.raw",
            "sha256:" + "a" * 64,
            2,
            {
                TITLE: "sub/a.json",
                FILEPATH: "sub/a.json",
                FILES_ANNOTATION: f'[{{"path":"sub/a.json","size":2,"sha256":"{"a" * 64}","git":"{"b" * 40}"}}]',
            },
        )


class TestConfig:
    """The config that ModelPack requires."""

    def test_all_that_is_known(self):
        """Name, origin and licence from the image's annotations, the technical part from config.json."""
        config = artifact_config(described(TREE), created=CREATED, facts=FACTS, model=MODEL)
        assert json.loads(config.data) == {
            "descriptor": {
                "createdAt": CREATED,
                "family": "granite",
                "name": "granite",
                "sourceURL": "https://huggingface.co/ibm/granite",
                "revision": "c" * 40,
                "licenses": ["apache-2.0"],
            },
            "config": {"format": "safetensors", "precision": "bfloat16", "quantization": "awq"},
            "modelfs": {"type": "layers", "diffIds": [digest_of(TREE[path]) for path in sorted(TREE)]},
        }
        assert config.media_type == "application/vnd.cncf.model.config.v1+json"

    @pytest.mark.parametrize(
        ("facts", "model"),
        [
            pytest.param(FACTS, MODEL, id="all"),
            pytest.param({}, {}, id="a folder without a config.json"),
            pytest.param({}, {"dtype": "auto", "model_type": 7, "quantization_config": []}, id="nothing that is known"),
        ],
    )
    def test_fits_the_schema_of_the_spec(self, facts, model):
        """The project's own JSON schema takes it."""
        config = artifact_config(described(TREE), created=CREATED, facts=facts, model=model)
        schema = json.loads(SCHEMA.read_text())
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(config.data))) == []

    @pytest.mark.parametrize("family", ["a\x1b[2J", "a\nb", 7, None, ["a"]])
    def test_family_that_is_no_plain_text(self, family):
        """Is left out: a model's config.json is anybody's."""
        config = artifact_config([], created=CREATED, model={"model_type": family})
        assert json.loads(config.data)["descriptor"] == {"createdAt": CREATED}

    @pytest.mark.parametrize(
        ("paths", "known"),
        [
            pytest.param(["a.gguf", "README.md"], {"format": "gguf"}, id="one"),
            pytest.param(["a.gguf", "b.safetensors"], {}, id="two"),
            pytest.param(["a.json"], {}, id="none"),
        ],
    )
    def test_format(self, paths, known):
        """Is said when all weights have the same."""
        config = artifact_config(described(dict.fromkeys(paths, b"")), created=CREATED)
        assert json.loads(config.data)["config"] == known

    @pytest.mark.parametrize("name", ["auto", "float8_e4m3fn", "float", 7, None])
    def test_precision_that_the_spec_does_not_have(self, name):
        """Is left out."""
        config = artifact_config([], created=CREATED, model={"dtype": name})
        assert json.loads(config.data)["config"] == {}


class TestManifest:
    """The manifest of an artifact."""

    def test_golden_bytes(self):
        """Types as the spec has them, keys in their order, annotations sorted: the same on any machine."""
        layers = described({"a.json": b"{}"})
        config = artifact_config(layers, created=CREATED)
        digest = digest_of(b"{}")
        assert artifact_manifest(config, layers, {"b": "2", "a": "1"}).data.decode() == (
            '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
            '"artifactType":"application/vnd.cncf.model.manifest.v1+json",'
            f'"config":{{"mediaType":"application/vnd.cncf.model.config.v1+json","digest":"{config.digest}",'
            f'"size":{len(config.data)}}},'
            f'"layers":[{{"mediaType":"application/vnd.cncf.model.weight.config.v1.raw","digest":"{digest}","size":2,'
            f'"annotations":{{"{TITLE}":"a.json","{FILEPATH}":"a.json",'
            f'"{FILES_ANNOTATION}":"[{{\\"path\\":\\"a.json\\",\\"size\\":2,\\"sha256\\":\\"{digest[7:]}\\"}}]"}}}}],'
            '"annotations":{"a":"1","b":"2","io.github.kubectl-modelcar.recipe":"1"}}'
        )


class TestReaders:
    """Who pulls it gets the model's folder."""

    @staticmethod
    def files(folder):
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def test_oras(self, real_tool, tmp_path):
        """Stock `oras pull`: folders, empty files, and files of the same bytes."""
        publish(tmp_path / "layout", TREE)
        done = subprocess.run(
            [real_tool("oras"), "pull", "--oci-layout", f"{tmp_path}/layout:1", "-o", tmp_path / "model"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, self.files(tmp_path / "model")) == (0, TREE), done.stderr

    def test_puller(self, tmp_path):
        """Our own puller, and every file's sha256 is known from the manifest alone."""
        publish(tmp_path / "layout", TREE)
        image = open_image(LayoutReference(tmp_path / "layout", "1"), RegistryAccess())
        assert {file.path: file.sha256 for file in image.files()} == {
            path: digest_of(data)[7:] for path, data in TREE.items()
        }
        for path, data in TREE.items():
            assert image.read_file(path) == data
