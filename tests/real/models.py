"""Model folders for the tests on real parts, and what becomes of them."""

import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tests.source.weights import index, weights

SHARDS = tuple(f"model-0000{number}-of-00002.safetensors" for number in (1, 2))
MODEL: Mapping[str, bytes] = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}\n',
    "model.safetensors.index.json": index(*SHARDS),
    **{shard: weights(300_000, seed) for seed, shard in enumerate(SHARDS)},
    "papers/LICENSE": b"Apache-2.0\n",
    "tokenizer.json": b'{"version": "1.0"}\n',
}
"""A small model of two shards and files of the usual kinds."""

KSERVE_TYPES = {"application/vnd.oci.image.layer.v1.tar": "r|", "application/vnd.oci.image.layer.v1.tar+gzip": "r|gz"}


def write(folder: Path, files: Mapping[str, bytes] = MODEL) -> Path:
    """Write files below `folder` and return it."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files below `folder` with their bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sparse_weights(path: Path, size: int) -> Path:
    """Write a good safetensors file with `size` bytes of tensor that take no room on the disk."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    return path


def extract_as_kserve(manifest: Mapping[str, Any], open_blob: Callable[[str], BinaryIO], folder: Path) -> None:
    """Write the model as KServe's `oci+fetch://` does (kserve_storage.py, `_download_oci`).

    Each layer is streamed into tarfile; members outside `models/` and layers of other types are skipped.
    """
    for layer in manifest["layers"]:
        mode = KSERVE_TYPES.get(layer["mediaType"])
        if mode is None:
            continue
        with open_blob(layer["digest"]) as blob, tarfile.open(fileobj=blob, mode=mode) as archive:
            for member in archive:
                if not member.name.startswith("models/") or not member.isfile():
                    continue
                path = folder / member.name.removeprefix("models/")
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.extractfile(member) as data, path.open("wb") as file:
                    shutil.copyfileobj(data, file)
