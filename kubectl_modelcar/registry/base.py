"""The image below the model: the one that this package carries, any other, or none."""

import atexit
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from kubectl_modelcar.errors import IntegrityFailure, InvalidInput
from kubectl_modelcar.image import (
    LAYER_TYPE,
    BaseImage,
    Content,
    Descriptor,
    Held,
    ImageReference,
    LayoutReference,
    Platform,
    parse_location,
)
from kubectl_modelcar.registry.access import RegistryAccess
from kubectl_modelcar.registry.reading import OpenImage, fits, open_image
from kubectl_modelcar.registry.repository import OpenRepository

EMBEDDED, NONE = "embedded", "none"
# Ours is a manifest of OCI's; the bytes are the same (image-spec, media-types.md, "Compatibility Matrix").
_OCI_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar": LAYER_TYPE,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{LAYER_TYPE}+gzip",
}


@dataclass(frozen=True, slots=True)
class OpenBase:
    """A base image and where its layers can be had."""

    image: BaseImage
    source: OpenImage | None = None

    def content(self, layer: Descriptor) -> Content:
        """Return the bytes of one of its layers, verified while they are read."""
        if self.source is None:
            return Held("no base image", b"")
        return OpenRepository(self.source.location, self.source.source).content(layer, "base image")


def open_base(text: str, access: RegistryAccess, platform: Platform) -> OpenBase:
    """Return the base image that `text` names: "embedded", "none", or a reference.

    Embedded is the PyPI package modelcar-base-image, a multi-arch OCI layout of 1.3 MB an architecture whose one
    program does what a KServe sidecar has to do; no registry is asked for it. It holds no `sh`, which upstream KServe's
    default sidecar runs: that one wants a base such as ubi-micro.
    """
    if text == NONE:
        return OpenBase(BaseImage())
    if text == EMBEDDED:
        carried = open_image(LayoutReference(_embedded()), access, platform=str(platform.normal))
        return _described(carried, "modelcar-base-image", platform)
    location = parse_location(text)
    name = location.name if isinstance(location, ImageReference) else None  # a folder's path is this machine's
    return _described(open_image(location, access, platform=str(platform.normal)), name, platform)


def _embedded() -> Path:
    """Return the folder of the layout, which out of a zip is a copy: layers are read as long as the program runs."""
    kept = ExitStack()
    atexit.register(kept.close)
    return Path(kept.enter_context(as_file(files("modelcar_base_image") / "embedded_oci_layout")))


def _described(opened: OpenImage, name: str | None, platform: Platform) -> OpenBase:
    config = opened.config()
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(opened.manifest.layers):
        raise IntegrityFailure(
            f"base {opened.location} is no container image: its config does not name its layers",
            "use an image that a container runtime can run, or --base none",
        )
    variant = config.get("variant")
    found = Platform(str(config.get("os")), str(config.get("architecture")), str(variant) if variant else None)
    if not fits(str(found.normal), str(platform.normal)):
        raise InvalidInput(f"base {opened.location} is for {found}, not for {platform}", f"add --platform {found}")
    layers = tuple(
        Descriptor(_OCI_TYPES.get(layer.media_type, layer.media_type), layer.digest, layer.size)
        for layer in opened.manifest.layers
    )
    return OpenBase(BaseImage(config, layers, name, opened.manifest.digest), opened)
