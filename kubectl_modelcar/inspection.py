"""Say what an image holds: files, layers, origin, base, platform, and who can read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.image import CREATED, FILES_ANNOTATION, Location, Verdict, consumers
from kubectl_modelcar.registry import image_facts
from kubectl_modelcar.stored import StoredImage


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """A file of the model: its size in bytes and the digest of the layer that holds it."""

    path: str
    size: int
    layer: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    """A layer as the manifest has it: size in bytes on the wire, and whether model files are in it."""

    digest: str
    media_type: str
    size: int
    model: bool


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of an image without downloading its weights. Absent facts are None."""

    location: Location
    digest: str
    media_type: str
    platform: str | None
    created: str | None
    source: str | None
    revision: str | None
    licence: str | None
    base: str | None
    files: tuple[InspectedFile, ...]
    layers: tuple[InspectedLayer, ...]
    consumers: tuple[Verdict, ...]

    @property
    def reference(self) -> str:
        """The image by digest."""
        return f"{self.location.name}@{self.digest}"

    @property
    def size(self) -> int:
        """Bytes of the model's files."""
        return sum(file.size for file in self.files)


def inspect(image: StoredImage) -> Inspection:
    """Look into `image`.

    Nothing but manifest and config is read of an image that remembers its files. Of another's layers the tar headers
    are read, which means all of a layer that is compressed.

    Raises NotFoundOrRefused for an image that holds no model.
    """
    manifest = image.manifest
    listed = image.files()
    files = tuple(InspectedFile(file.path, file.size, file.layer.digest, file.sha256) for file in listed)
    if not files:
        raise NotFoundOrRefused(
            f"no model in {image.location}: no file below models/ and no titled layer",
            "images for models hold them below models/ (KServe's modelcar), artifacts name each layer's file",
        )
    holding = {file.layer for file in files}
    config = image.config()
    facts, notes = _texts(config), {**_labels(config), **manifest.annotations}
    return Inspection(
        location=image.location,
        digest=manifest.digest,
        media_type=manifest.media_type,
        platform=f"{facts['os']}/{facts['architecture']}" if {"os", "architecture"} <= set(facts) else None,
        created=notes.get(CREATED) or facts.get("created"),
        source=notes.get("org.opencontainers.image.source"),
        revision=notes.get("org.opencontainers.image.revision"),
        licence=notes.get("org.opencontainers.image.licenses"),
        base=_base(notes, remembers=any(FILES_ANNOTATION in layer.annotations for layer in manifest.layers)),
        files=files,
        layers=tuple(
            InspectedLayer(layer.digest, layer.media_type, layer.size, layer.digest in holding)
            for layer in manifest.layers
        ),
        consumers=consumers(image_facts(manifest, config, files=listed)),
    )


def _labels(config: Mapping[str, Any]) -> Mapping[str, str]:
    run = config.get("config")
    return _texts(run.get("Labels")) if isinstance(run, dict) else {}


def _texts(data: object) -> Mapping[str, str]:
    """Return what is text of a JSON object that may be anything."""
    pairs = data.items() if isinstance(data, Mapping) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _base(notes: Mapping[str, str], *, remembers: bool) -> str | None:
    name, digest = notes.get("org.opencontainers.image.base.name"), notes.get("org.opencontainers.image.base.digest")
    if digest:
        return f"{name}@{digest}" if name else digest
    return "none" if remembers else None
