"""Where an image's manifest, its config and its bytes do not agree, in sentences. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import (
    FILES_ANNOTATION,
    LAYER_TYPE,
    RECIPE,
    RECIPE_ANNOTATION,
    TAR_TYPES,
    LayerPlan,
    ModelFile,
)

_TAR = ".tar"  # in the media type of every layer that is one: image-spec's, Docker's, ModelPack's


def config_problems(manifest: "puller.Manifest", config: Mapping[str, Any]) -> list[str]:
    """Say where the config's diff ids are not those of the layers, as far as that is known without reading them."""
    diff_ids = _diff_ids(config)
    if diff_ids is None:
        return []
    layers = _numbered(manifest, config)
    if len(diff_ids) != len(layers):
        return [f"the config {manifest.config.digest} names {len(diff_ids)} layers, the manifest {len(layers)}"]
    return [
        _other_diff_id(layer, diff_id, layer.digest)
        for layer, diff_id in zip(layers, diff_ids, strict=True)
        if (layer.media_type in TAR_TYPES or _TAR not in layer.media_type) and diff_id != layer.digest
    ]


def annotation_problems(manifest: "puller.Manifest") -> list[str]:
    """Say where a layer remembers files that cannot be in it."""
    problems = []
    for layer in manifest.layers:
        if FILES_ANNOTATION not in layer.annotations:
            continue
        try:
            files = puller.listed_files(layer) or ()
        except puller.PullError as error:
            problems.append(error.message)
            continue
        problems += _misfits(layer, files, recipe=manifest.annotations.get(RECIPE_ANNOTATION))
    return problems


def survey_problems(
    manifest: "puller.Manifest", config: Mapping[str, Any], layer: "puller.Descriptor", survey: "puller.Survey"
) -> list[str]:
    """Say where a layer's bytes are not what descriptor, config and annotation say, and what must not be in it.

    What a base image's layers hold is its own affair: no consumer looks for the model there.
    """
    problems = [survey.damage] if survey.damage else []
    diff_ids, layers = _diff_ids(config) or (), _numbered(manifest, config)
    for numbered, diff_id in zip(layers, diff_ids, strict=False):
        if numbered == layer and survey.diff_id not in (None, diff_id):
            problems.append(_other_diff_id(layer, diff_id, survey.diff_id))
    if survey.damage or layer not in puller.model_layers(manifest):
        return problems
    return [*problems, *survey.problems, *_other_files(layer, survey.files)]


def _diff_ids(config: Mapping[str, Any]) -> Sequence[object] | None:
    """Return the diff ids of a container image's config or of ModelPack's (model-spec docs/config.md)."""
    for name, key in (("rootfs", "diff_ids"), ("modelfs", "diffIds")):
        section = config.get(name)
        found = section.get(key) if isinstance(section, dict) else None
        if isinstance(found, list):
            return found
    return None


def _numbered(manifest: "puller.Manifest", config: Mapping[str, Any]) -> "list[puller.Descriptor]":
    """Return the layers that diff ids are of: in an image the tars (containerd core/unpack/unpacker.go), else all."""
    image = isinstance(config.get("rootfs"), dict)
    return [layer for layer in manifest.layers if not image or _TAR in layer.media_type]


def _other_diff_id(layer: "puller.Descriptor", said: object, found: str | None) -> str:
    return f"the layer {layer.digest} has the diff id {found}; the config says {said}"


def _misfits(layer: "puller.Descriptor", files: "Sequence[puller.File]", *, recipe: str | None) -> Iterator[str]:
    paths = [file.path for file in files]
    twice = sorted({path for path in paths if paths.count(path) > 1}) if len(set(paths)) < len(paths) else []
    if twice:
        yield f"the layer {layer.digest} is said to hold {', '.join(twice)} twice"
    elif _TAR not in layer.media_type:
        if [(file.size, file.sha256 or layer.digest[7:]) for file in files] != [(layer.size, layer.digest[7:])]:
            yield f"the layer {layer.digest} is one file of {layer.size} bytes, and is said to hold another"
    elif layer.media_type == LAYER_TYPE and recipe == RECIPE:
        size = LayerPlan(tuple(ModelFile(file.path, file.size) for file in files)).size
        if size != layer.size:
            yield f"the layer {layer.digest} has {layer.size} bytes; the files it is said to hold make {size}"
    elif layer.media_type == LAYER_TYPE and sum(file.size for file in files) > layer.size:
        yield f"the layer {layer.digest} has {layer.size} bytes, fewer than the files that it is said to hold"


def _other_files(layer: "puller.Descriptor", found: "Sequence[puller.File]") -> Iterator[str]:
    """Compare what a layer holds with what its annotation says; one that cannot be read was told of before."""
    try:
        listed = puller.listed_files(layer)
    except puller.PullError:
        return
    if listed is None:
        return
    said, there = ({file.path: file for file in files} for files in (listed, found))
    for path in sorted(said.keys() | there.keys()):
        a, b = said.get(path), there.get(path)
        if a is None or b is None:
            yield f"{path} is {'not ' * (b is None)}in the layer {layer.digest}; its manifest says otherwise"
        elif a.size != b.size:
            yield f"{path} has {b.size} bytes; its manifest says {a.size}"
        elif a.sha256 not in (None, b.sha256):
            yield f"{path} has the sha256 {b.sha256}; its manifest says {a.sha256}"
