"""Images of others, for tests of the command line."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from tests.fakes.registry import FakeRegistry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def plain_image(registry: FakeRegistry, files: Mapping[str, bytes], **annotations: str) -> str:
    """Put an image with one compressed layer into the registry and return its name."""
    archived = io.BytesIO()
    with tarfile.open(fileobj=archived, mode="w") as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    config = {"os": "linux", "architecture": "arm64", "config": {"Labels": {}}, "rootfs": {"type": "layers"}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _blob(registry, "application/vnd.oci.image.config.v1+json", json.dumps(config).encode()),
        "layers": [_blob(registry, GZIP, gzip.compress(archived.getvalue()))],
        "annotations": annotations,
    }
    registry.add_manifest("org/plain", json.dumps(manifest).encode(), MANIFEST, "1")
    return f"{registry.host}/org/plain:1"


def _blob(registry: FakeRegistry, media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": registry.add_blob("org/plain", data), "size": len(data)}
