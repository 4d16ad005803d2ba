"""The two layouts of a Llama: Hugging Face's tensor names and rows, and llama.cpp's."""

import re
from typing import Any

_PARTS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_BACK = {gguf: hugging_face for hugging_face, gguf in _PARTS.items()}


def gguf_name(name: str) -> str:
    """Return llama.cpp's name for Hugging Face's; `ValueError` for a tensor that no Llama has."""
    match = re.fullmatch(r"(?:model\.layers\.(?P<layer>\d+)\.)?(?P<part>.+)\.(?P<kind>weight|bias)", name)
    if match is None or match["part"] not in _PARTS:
        raise ValueError(f"There is no module or parameter named '{name}' in LlamaForCausalLM")
    layer = f"blk.{match['layer']}." if match["layer"] else ""
    return f"{layer}{_PARTS[match['part']]}.{match['kind']}"


def hugging_face_name(name: str) -> str:
    """Return Hugging Face's name for llama.cpp's."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_BACK[parts[2]]}.{parts[3]}"
    return f"{_BACK[parts[0]]}.{parts[1]}"


# Rotary embedding turns pairs of rows of q and k. The original Llama and llama.cpp keep the two rows of a pair next to
# each other; Hugging Face keeps the first rows of all pairs, then the second ones, head by head.


def rows_as_pairs(weight: Any, heads: int) -> Any:
    """Return the rows of q or k in llama.cpp's order, from Hugging Face's."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def rows_as_halves(weight: Any, heads: int) -> Any:
    """Return the rows of q or k in Hugging Face's order, from llama.cpp's."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
