"""What decides who can read an image, gathered from its manifest, its config and what is known of its bytes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import FILEPATH, FILES_ANNOTATION, TITLE, Contents, ImageFacts

_BASE_NAME = "org.opencontainers.image.base.name"  # image-spec annotations.md
_EMBEDDED_BASE = "modelcar-base-image"  # its one program is no `sh`


def image_facts(
    manifest: "puller.Manifest",
    config: Mapping[str, Any],
    *,
    files: "Sequence[puller.File] | None" = None,
    surveys: "Sequence[tuple[puller.Descriptor, puller.Survey]] | None" = None,
) -> ImageFacts:
    """Return the facts of an image.

    `files` are its model files where they were listed, `surveys` are of all its layers where their bytes were read.
    """
    contents = _by_manifest(manifest)
    if files is not None:
        contents = replace(contents, model=bool(files), raw=_are_raw(files))
    if surveys is not None:
        contents = _by_bytes(manifest, surveys)
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    return ImageFacts(
        manifest.config.media_type,
        _artifact_type(manifest),
        manifest.layers,
        len(diff_ids) if isinstance(diff_ids, list) else None,
        contents,
    )


def _by_manifest(manifest: "puller.Manifest") -> Contents:
    """Return what the manifest alone tells: of layers that list their files, and of files with a name and no tar."""
    layers = puller.model_layers(manifest)
    listed = [layer for layer in layers if FILES_ANNOTATION in layer.annotations]
    raw = [layer for layer in layers if ".tar" not in layer.media_type and {TITLE, FILEPATH} & set(layer.annotations)]
    no_sh = len(listed) == len(manifest.layers) or manifest.annotations.get(_BASE_NAME) == _EMBEDDED_BASE
    known = bool(listed or raw) or None
    return Contents(
        model=known if layers else False,
        raw=len(raw) == len(layers) if known and len({*map(id, listed), *map(id, raw)}) == len(layers) else None,
        plain=True if listed and not raw else None,  # `push` made them
        sh=False if no_sh else None,
    )


def _by_bytes(manifest: "puller.Manifest", surveys: "Sequence[tuple[puller.Descriptor, puller.Survey]]") -> Contents:
    model_layers = puller.model_layers(manifest)
    holding = [survey for layer, survey in surveys if layer in model_layers and survey.files]
    files = [file for survey in holding for file in survey.files]
    return Contents(
        model=bool(files),
        raw=_are_raw(files),
        plain=all(survey.plain for survey in holding),
        sh=any(survey.shell for _, survey in surveys),
    )


def _are_raw(files: "Sequence[puller.File]") -> bool:
    """Tell whether each file is its layer, byte for byte."""
    return bool(files) and all(f"sha256:{file.sha256}" == file.layer.digest for file in files)


def _artifact_type(manifest: "puller.Manifest") -> str | None:
    try:
        found = json.loads(manifest.raw or b"{}").get("artifactType")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) and found else None
