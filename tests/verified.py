"""Images that can lie, and how they are verified: what the tests of verifying share."""

import gzip
import hashlib
import json
from dataclasses import dataclass, field

from kubectl_modelcar.image import CONFIG_TYPE, MANIFEST_TYPE, RECIPE_ANNOTATION, digest_of, parse_location
from kubectl_modelcar.registry import RegistryAccess, open_images
from kubectl_modelcar.verification import verify
from tests.image.trees import tar_of
from tests.puller.images import FILES, TAR, Layer

TREE = {"config.json": b'{"a":1}', "sub/w.safetensors": b"w" * 5000}
MODELPACK = "application/vnd.cncf.model.config.v1+json"
ACCESS = RegistryAccess(plain_http=True)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def layer(tree, **changes) -> Layer:
    """Return a layer as push makes it; `changes` replace what its annotation says of a file's size or sha256."""
    listed = [{"path": path, "size": len(data), "sha256": sha256(data), "git": "0" * 40} for path, data in tree.items()]
    for entry in listed:
        entry.update(changes.get(entry["path"], {}))
    return Layer(tar_of(tree), TAR, {FILES: json.dumps(listed)})


@dataclass
class Image:
    """An image to be put into a registry, and what of it is to be a lie."""

    layers: tuple[Layer, ...]
    diff_ids: list[str] | None = None
    config: dict = field(default_factory=dict)
    config_type: str = CONFIG_TYPE
    annotations: dict[str, str] = field(default_factory=lambda: {RECIPE_ANNOTATION: "1"})
    artifact_type: str | None = None

    def put(self, registry, tag="1") -> str:
        """Put it there and return its digest."""
        ids = [digest_of(uncompressed(one)) for one in self.layers] if self.diff_ids is None else self.diff_ids
        rootfs = {"rootfs": {"type": "layers", "diff_ids": ids}} if self.config_type == CONFIG_TYPE else {}
        config = json.dumps({**rootfs, **self.config}).encode()
        registry.add_blob("org/m", config)
        for one in self.layers:
            registry.add_blob("org/m", one.data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            **({"artifactType": self.artifact_type} if self.artifact_type else {}),
            "config": {"mediaType": self.config_type, "digest": digest_of(config), "size": len(config)},
            "layers": [one.descriptor() for one in self.layers],
            "annotations": self.annotations,
        }
        return registry.add_manifest("org/m", json.dumps(manifest).encode(), MANIFEST_TYPE, tag)


def uncompressed(one: Layer) -> bytes:
    return gzip.decompress(one.data) if one.data[:2] == b"\x1f\x8b" else one.data


def verified(registry, *, deep, text="org/m:1", **options):
    return verify(open_images(parse_location(f"{registry.host}/{text}"), ACCESS), deep=deep, **options)
