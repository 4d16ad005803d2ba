"""Image manifests and configs, made once as bytes (OCI image-spec 1.1: manifest.md, config.md, annotations.md)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_modelcar.image.digest import digest_of
from kubectl_modelcar.image.layer import RECIPE, LayerPlan, ModelFile

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

_OURS = "io.github.kubectl-modelcar."
FILES_ANNOTATION = _OURS + "files"
RECIPE_ANNOTATION = _OURS + "recipe"
CREATED = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a manifest says of a blob: media type, digest, size in bytes, annotations."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the descriptor as image-spec's JSON object."""
        data: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return data | ({"annotations": dict(self.annotations)} if self.annotations else {})


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and an architecture, as Go names them."""

    os: str = "linux"
    architecture: str = "amd64"

    def __str__(self) -> str:
        """Return OS/ARCHITECTURE."""
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """The image below the model: its config as JSON and its layers. The default is `scratch`."""

    config: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[Descriptor, ...] = ()
    name: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document as the bytes that are sent, with their digest."""

    media_type: str
    data: bytes

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return digest_of(self.data)

    @property
    def descriptor(self) -> Descriptor:
        """The document's descriptor."""
        return Descriptor(self.media_type, self.digest, len(self.data))


def layer_descriptor(plan: LayerPlan, digest: str) -> Descriptor:
    """Describe a model layer, remembering which files at which sizes are in it.

    No `org.opencontainers.image.title`: `oras pull` would write the tar under the model file's name.
    """
    return Descriptor(LAYER_TYPE, digest, plan.size, {FILES_ANNOTATION: _compact([_remember(f) for f in plan.files])})


def image_config(base: BaseImage, layers: Sequence[Descriptor], *, platform: Platform, created: str) -> Document:
    """Make the config: the base's own, plus one diff id and one history entry a model layer.

    `created` is RFC 3339. A model layer is uncompressed, so its diff id is its digest.
    """
    rootfs = base.config.get("rootfs", {})
    history = [
        {"created": created, "created_by": f"kubectl-modelcar recipe {RECIPE}", "comment": "model files"}
        for _ in layers
    ]
    config = {
        **base.config,
        "created": created,
        "os": platform.os,
        "architecture": platform.architecture,
        "config": dict(base.config.get("config") or {}),
        "rootfs": {"type": "layers", "diff_ids": [*rootfs.get("diff_ids", []), *(layer.digest for layer in layers)]},
        "history": [*(base.config.get("history") or []), *history],
    }
    return Document(CONFIG_TYPE, _compact(config).encode())


def image_manifest(
    config: Document, base: BaseImage, layers: Sequence[Descriptor], annotations: Mapping[str, str]
) -> Document:
    """Make the manifest of a plain image: an `artifactType` would make CRI-O 1.33 call it an artifact."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor.to_json(),
        "layers": [layer.to_json() for layer in (*base.layers, *layers)],
        "annotations": dict(sorted({**annotations, RECIPE_ANNOTATION: RECIPE}.items())),
    }
    return Document(MANIFEST_TYPE, _compact(manifest).encode())


def _remember(file: ModelFile) -> dict[str, str | int]:
    known: dict[str, str | int] = {"path": file.path, "size": file.size}
    return known | ({"sha256": file.sha256} if file.sha256 else {})


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
