"""Tests of what serving reads from a model image."""

import json
from types import SimpleNamespace

import pytest

from kubectl_modelcar.errors import IntegrityFailure, NotFoundOrRefused
from kubectl_modelcar.serving import Architecture, ModelFacts, describe_model

DIGEST = "sha256:" + "1" * 64


def image(**contents):
    """Return an image with these files; a name's two underscores are its dot."""
    files = {name.replace("__", "."): text for name, text in contents.items()}
    return SimpleNamespace(
        manifest=SimpleNamespace(digest=DIGEST),
        files=lambda: [SimpleNamespace(path=path, size=len(text)) for path, text in files.items()],
        read_file=lambda path: files[path].encode(),
    )


class TestDescribeModel:
    """From files to facts."""

    def test_sizes_and_shape(self):
        """Weights are counted apart from everything else."""
        config = json.dumps({"model_type": "x", "num_attention_heads": 8})
        model = image(config__json=config, a__safetensors="x" * 10, b__gguf="x" * 5, tokenizer__json="x" * 3)
        assert describe_model(model, reference="quay.io/me/m", tag="1") == ModelFacts(
            "quay.io/me/m", DIGEST, "1", len(config) + 18, 15, Architecture("x", None, 8, 8, None, None)
        )

    def test_mistral(self):
        """A params.json says that there is a model, though not in words that we read."""
        facts = describe_model(image(params__json="{}", consolidated__safetensors="x"), reference="r/m", tag="")
        assert (facts.architecture, facts.weight_bytes) == (None, 1)

    def test_no_config(self):
        """An image without either is no modelcar."""
        with pytest.raises(NotFoundOrRefused) as caught:
            describe_model(image(a__safetensors="x"), reference="r/m", tag="")
        assert caught.value.message == "r/m is no modelcar: it holds no model with a config.json"

    def test_damaged_config(self):
        """A config that is no JSON."""
        with pytest.raises(IntegrityFailure):
            describe_model(image(config__json="{"), reference="r/m", tag="")
