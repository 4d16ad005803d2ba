"""Turn a Hugging Face folder of a Llama-shaped model into the GGUF file that llama.cpp loads."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.llm.layout import gguf_name, rows_as_pairs
from tests.llm.safetensors_file import Tensor, open_tensors


class Model:
    """A model folder: its configuration, its tokenizer, and its weight files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = self._read("config.json")
        architectures = self.config.get("architectures")
        if architectures != ["LlamaForCausalLM"]:
            raise ValueError(f"Model architectures {architectures} are not supported for now.")
        self.tokenizer = self._read("tokenizer.json")
        self.tokenizer_config = self._read("tokenizer_config.json")

    def _read(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / name).read_text("utf-8"))
        return content

    def weight_files(self) -> list[Path]:
        """Return the files with weights; `FileNotFoundError` names those of the index that are not there."""
        if not (self.folder / "model.safetensors.index.json").exists():
            files = sorted(self.folder.glob("*.safetensors"))
            if not files:
                raise FileNotFoundError(f"Cannot find any model weights with `{self.folder}`")
            return files
        named = sorted(set(self._read("model.safetensors.index.json")["weight_map"].values()))
        missing = {name for name in named if not (self.folder / name).exists()}
        if missing:
            raise FileNotFoundError(f"Weight files referenced in index but missing: {missing}")
        return [self.folder / name for name in named]

    def heads(self, name: str) -> int:
        """Return how many heads the rows of a tensor belong to; 0 for all but q and k."""
        if name.endswith("self_attn.q_proj.weight"):
            return int(self.config["num_attention_heads"])
        if name.endswith("self_attn.k_proj.weight"):
            return int(self.config["num_key_value_heads"])
        return 0


def write_gguf(model: Model, file: Path) -> None:
    """Write `model` as GGUF with F16 matrices, one tensor in memory at a time.

    Not a quantised type: llama.cpp then also rounds the activations to eight bits, and a model of this size no longer
    knows the capital of France. Progress goes to stderr in vLLM's words.
    """
    writer = gguf.GGUFWriter(file, "llama")
    _add_shape(writer, model)
    _add_tokenizer(writer, model)
    files = model.weight_files()
    tensors = [list(open_tensors(each)) for each in files]
    for tensor in (each for shard in tensors for each in shard):
        kind = _stored_as(tensor)
        size = int(np.prod(tensor.shape)) * kind.itemsize
        writer.add_tensor_info(gguf_name(tensor.name), tensor.shape, kind, size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, shard in enumerate(tensors):
        _progress(number, len(files))
        for values in _converted(model, shard):
            writer.write_tensor_data(values)
    _progress(len(files), len(files))
    writer.close()


def _stored_as(tensor: Tensor) -> Any:
    return np.dtype(np.float32 if len(tensor.shape) == 1 else np.float16)


def _converted(model: Model, tensors: list[Tensor]) -> Iterator[Any]:
    for tensor in tensors:
        values = tensor.read()
        heads = model.heads(tensor.name)
        yield (rows_as_pairs(values, heads) if heads else values).astype(_stored_as(tensor))


def _progress(done: int, total: int) -> None:
    percent = 100 * done // total
    sys.stderr.write(f"Loading safetensors checkpoint shards: {percent:3}% Completed | {done}/{total}\n")
    sys.stderr.flush()


def _add_shape(writer: Any, model: Model) -> None:
    config = model.config
    writer.add_name(model.folder.name)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    # transformers 5 moved it into rope_parameters
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)


def _add_tokenizer(writer: Any, model: Model) -> None:
    added, pairs = model.tokenizer["added_tokens"], model.tokenizer["model"]
    special = {token["id"] for token in added}
    tokens = {number: token for token, number in pairs["vocab"].items()} | {
        each["id"]: each["content"] for each in added
    }
    numbers = range(model.config["vocab_size"])
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([tokens.get(number, f"[unused{number}]") for number in numbers])
    writer.add_token_types([control if number in special else normal for number in numbers])
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in pairs["merges"]])
    writer.add_bos_token_id(model.config["bos_token_id"])
    writer.add_eos_token_id(model.config["eos_token_id"])
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(model.tokenizer_config["chat_template"])
