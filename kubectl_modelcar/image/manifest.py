"""Manifests, configs and indexes, made once as bytes (image-spec 1.1: manifest.md, config.md, image-index.md)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image.annotations import FACTS, FILES_ANNOTATION, RECIPE_ANNOTATION, compact, remember
from kubectl_modelcar.image.digest import digest_of
from kubectl_modelcar.image.layer import RECIPE, ROOT, PlannedLayer
from kubectl_modelcar.image.platform import Platform, require_different

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

MOST_MANIFEST = 4 * 2**20  # bytes; distribution-spec 1.1, "Pushing Manifests": what every registry should take
_AROUND = 16 * 2**10  # bytes; room for a manifest's config, base layers and annotations
_ANY_DIGEST = "sha256:" + "0" * 64


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


def layer_descriptor(plan: PlannedLayer, digest: str, sha256: Mapping[str, str] | None = None) -> Descriptor:
    """Describe a model layer, remembering which files at which sizes are in it.

    `sha256` (hex, by path) is what became known of its files since they were listed.
    """
    known = {**plan.sha256_from(digest), **(sha256 or {})}
    remembered = {FILES_ANNOTATION: remember(plan.files, known)}
    return Descriptor(plan.media_type, digest, plan.size, {**plan.annotations, **remembered})


def manifest_size(plans: Sequence[PlannedLayer]) -> int:
    """Return about how many bytes the manifest of these layers will have, at most: before anything is sent."""
    described = (
        layer_descriptor(plan, plan.digest or _ANY_DIGEST, {file.path: _ANY_DIGEST[7:] for file in plan.files})
        for plan in plans
    )
    return _AROUND + sum(len(compact(layer.to_json()).encode()) + 1 for layer in described)


def require_small_manifest(plans: Sequence[PlannedLayer]) -> None:
    """Raise InvalidInput when the manifest would be larger than registries, and our puller, take."""
    size = manifest_size(plans)
    if size > MOST_MANIFEST:
        files = sum(len(plan.files) for plan in plans)
        raise InvalidInput(
            f"{files} files need a manifest of {size} bytes; registries take {MOST_MANIFEST}",
            "leave files out with --exclude",
        )


def image_config(
    base: BaseImage,
    layers: Sequence[Descriptor],
    *,
    platform: Platform,
    created: str,
    labels: Mapping[str, str] | None = None,
) -> Document:
    """Make the config: the base's own, plus `labels`, one diff id and one history entry a model layer.

    `created` is RFC 3339. A model layer is uncompressed, so its diff id is its digest. The base's user stays, root or
    not: the model's files are readable for everybody, and whoever mounts them needs no more.
    """
    rootfs = base.config.get("rootfs", {})
    history = [
        {"created": created, "created_by": f"kubectl-modelcar recipe {RECIPE}", "comment": "model files"}
        for _ in layers
    ]
    config = {
        **base.config,
        "created": created,
        **platform.to_json(),
        "config": _run_config(base, labels or {}),
        "rootfs": {"type": "layers", "diff_ids": [*rootfs.get("diff_ids", []), *(layer.digest for layer in layers)]},
        "history": [*(base.config.get("history") or []), *history],
    }
    return Document(CONFIG_TYPE, compact(config).encode())


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
    return Document(MANIFEST_TYPE, compact(manifest).encode())


def index_manifest(
    manifests: Sequence[tuple[Document, Platform]], annotations: Mapping[str, str] | None = None
) -> Document:
    """Make the index of one image a platform, sorted by platform.

    Raises InvalidInput for two images of one platform, of which a runtime would take any.
    """
    require_different([platform for _, platform in manifests])
    ordered = sorted(manifests, key=lambda entry: str(entry[1]))
    index: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [
            document.descriptor.to_json() | {"platform": platform.to_json()} for document, platform in ordered
        ],
    }
    if annotations:
        index["annotations"] = dict(sorted(annotations.items()))
    return Document(INDEX_TYPE, compact(index).encode())


def _run_config(base: BaseImage, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return what a runtime goes by: all that the base says, less what is not true of the image on top of it."""
    kept = dict(base.config.get("config") or {})
    # `org.opencontainers.image.version` and the like of a base tell of the base; unless dropped they name our version.
    known = {key: value for key, value in (kept.pop("Labels", None) or {}).items() if not key.startswith(FACTS)}
    if known or labels:
        kept["Labels"] = dict(sorted({**known, **labels}.items()))
    # Where an image declares a volume, runtimes put an empty or copied folder: over the model, or beside it.
    volumes = kept.pop("Volumes", None) or {}
    if others := {path: value for path, value in volumes.items() if not _meets_the_model(path)}:
        kept["Volumes"] = others
    return kept


def _meets_the_model(path: str) -> bool:
    model, volume = PurePosixPath("/", ROOT), PurePosixPath("/", path)
    return volume.is_relative_to(model) or model.is_relative_to(volume)
