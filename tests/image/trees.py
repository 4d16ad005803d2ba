"""Trees of files as layers: what the image tests and others build their expectations from."""

from collections.abc import Mapping

from kubectl_modelcar.image import LayerPlan, ModelFile, plan_layers

SMALL_TREE: Mapping[str, bytes] = {
    "config.json": b'{"architectures":["LlamaForCausalLM"]}\n',
    "sub-x/a.txt": b"1" * 512,
    "sub/deep/tokenizer.model": b"x" * 700,
    "größe-模型.txt": b"",
    "z" * 120 + "/" + "n" * 150 + ".txt": b"long",
}
"""A tree with what is hard about tar: long names, other alphabets, an empty file, a file of whole blocks."""


def plan_of(tree: Mapping[str, bytes]) -> LayerPlan:
    """Return the one layer that the tree's files make; they must be small."""
    (plan,) = plan_layers([ModelFile(path, len(data)) for path, data in tree.items()])
    return plan


def tar_of(tree: Mapping[str, bytes]) -> bytes:
    """Return that layer's bytes."""
    return b"".join(tree[part.path] if isinstance(part, ModelFile) else part for part in plan_of(tree).parts())
