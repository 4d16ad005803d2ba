"""Tests of reading a model's shape."""

import json

import pytest

from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.serving import Architecture

GRANITE = {
    "architectures": ["GraniteForCausalLM"],
    "model_type": "granite",
    "num_hidden_layers": 40,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 2048,
    "max_position_embeddings": 131072,
}


class TestFromConfig:
    """The names that transformers' configs use."""

    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            pytest.param(GRANITE, Architecture("GraniteForCausalLM", 40, 32, 8, 64, 131072), id="plain"),
            pytest.param(
                {"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024},
                Architecture("gpt2", 12, 12, 12, 64, 1024),
                id="gpt2 names, no grouped heads",
            ),
            pytest.param(
                {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {**GRANITE, "head_dim": 256}},
                Architecture("Gemma3ForConditionalGeneration", 40, 32, 8, 256, 131072),
                id="nested, explicit head size",
            ),
            pytest.param(
                {"architectures": ["Qwen2_5OmniModel"], "thinker_config": {"text_config": GRANITE}},
                Architecture("Qwen2_5OmniModel", 40, 32, 8, 64, 131072),
                id="nested twice",
            ),
            pytest.param({}, Architecture("unknown", None, None, None, None, None), id="empty"),
            pytest.param(
                {"architectures": "x", "num_hidden_layers": "40", "num_attention_heads": True, "hidden_size": -1},
                Architecture("unknown", None, None, None, None, None),
                id="wrong types are not believed",
            ),
        ],
    )
    def test_fields(self, config, expected):
        """Each field is found, or None."""
        assert Architecture.from_config(json.dumps(config).encode()) == expected

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000],
        ids=["empty", "cut", "list", "null", "bytes", "deep"],
    )
    def test_no_config(self, content):
        """Broken files are an integrity failure and never a traceback."""
        with pytest.raises(IntegrityFailure):
            Architecture.from_config(content)
