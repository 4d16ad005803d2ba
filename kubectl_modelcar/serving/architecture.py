"""What a model's `config.json` says about its shape, as transformers names it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_modelcar.errors import IntegrityFailure

__all__ = ["Architecture"]

_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len", "n_ctx")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_HIDDEN = ("hidden_size", "n_embd", "d_model")
_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
"""Where multimodal models keep the language model's part."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a model; None where its config does not say."""

    kind: str
    """The class in transformers, such as LlamaForCausalLM; else the model_type."""
    layers: int | None
    heads: int | None
    """Attention heads; tensor parallelism must divide them."""
    kv_heads: int | None
    head_size: int | None
    context: int | None
    """Longest sequence in tokens that the model was made for."""

    @classmethod
    def from_config(cls, config_json: bytes) -> "Architecture":
        """Read the bytes of `config.json`.

        Raises IntegrityFailure when they are no JSON object.
        """
        try:
            config = json.loads(config_json)
        except (ValueError, RecursionError) as error:
            raise IntegrityFailure("the model's config.json is no JSON", "push the model again") from error
        if not isinstance(config, dict):
            raise IntegrityFailure("the model's config.json is no JSON object", "push the model again")
        text = _language_part(config)
        heads, hidden = _number(text, _HEADS), _number(text, _HIDDEN)
        return cls(
            kind=_kind(config),
            layers=_number(text, _LAYERS),
            heads=heads,
            kv_heads=_number(text, ("num_key_value_heads",)) or heads,
            head_size=_number(text, ("head_dim",)) or (hidden // heads if hidden and heads else None),
            context=_number(text, _CONTEXT),
        )


def _language_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the mapping that has the layers: the config itself, or the nested one (two levels: Qwen Omni)."""
    if _number(config, _LAYERS) is not None:
        return config
    for name in _NESTED:
        nested = config.get(name)
        if isinstance(nested, dict):
            return _language_part(nested)
    return config


def _kind(config: Mapping[str, Any]) -> str:
    named = config.get("architectures")
    if isinstance(named, list) and named and isinstance(named[0], str):
        return named[0]
    model_type = config.get("model_type")
    return model_type if isinstance(model_type, str) else "unknown"


def _number(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
