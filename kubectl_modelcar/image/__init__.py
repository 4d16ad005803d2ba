"""Images as values: references, digests, deterministic layers, manifests. Pure: nothing here reads or sends."""

from kubectl_modelcar.image.content import Chunk, Content, Held
from kubectl_modelcar.image.digest import DIGEST_PATTERN, RunningDigest, digest_of
from kubectl_modelcar.image.layer import LARGE_FILE, MAX_LAYERS, RECIPE, ROOT, LayerPlan, ModelFile, plan_layers
from kubectl_modelcar.image.manifest import (
    CONFIG_TYPE,
    CREATED,
    FILES_ANNOTATION,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    RECIPE_ANNOTATION,
    BaseImage,
    Descriptor,
    Document,
    Platform,
    image_config,
    image_manifest,
    layer_descriptor,
)
from kubectl_modelcar.image.reference import DEFAULT_TAG, ImageReference, LayoutReference, Location, parse_location

__all__ = [
    "CONFIG_TYPE",
    "CREATED",
    "DEFAULT_TAG",
    "DIGEST_PATTERN",
    "FILES_ANNOTATION",
    "INDEX_TYPE",
    "LARGE_FILE",
    "LAYER_TYPE",
    "MANIFEST_TYPE",
    "MAX_LAYERS",
    "RECIPE",
    "RECIPE_ANNOTATION",
    "ROOT",
    "BaseImage",
    "Chunk",
    "Content",
    "Descriptor",
    "Document",
    "Held",
    "ImageReference",
    "LayerPlan",
    "LayoutReference",
    "Location",
    "ModelFile",
    "Platform",
    "RunningDigest",
    "digest_of",
    "image_config",
    "image_manifest",
    "layer_descriptor",
    "parse_location",
    "plan_layers",
]
