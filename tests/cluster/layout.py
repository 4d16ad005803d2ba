"""Write an image as an OCI layout on disk, from layers that are plain tar files.

Not with the program's own image code: what the tests stand on must not be what they test.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CONFIG = "application/vnd.oci.image.config.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class Layer:
    """A tar file that goes into images, with what is slow to find out about it."""

    file: Path
    digest: str
    size: int
    """Bytes."""

    @classmethod
    def of(cls, file: Path) -> "Layer":
        """Hash a tar file."""
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(file, f"sha256:{digest}", file.stat().st_size)


def write_layout(folder: Path, layers: Iterable[Layer], config: Mapping[str, Any], architecture: str) -> None:
    """Write an image with `layers`, lowest first, and `config` (Entrypoint, Env, User, ...) into an empty `folder`."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    stacked = list(layers)
    for layer in stacked:
        _link(layer.file, blobs / layer.digest.removeprefix("sha256:"))
    about = {
        "architecture": architecture,
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in stacked]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _write(blobs, about, _CONFIG),
        "layers": [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size} for layer in stacked],
    }
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [_write(blobs, manifest, _MANIFEST)]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def _write(blobs: Path, content: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _link(source: Path, target: Path) -> None:
    """Give a big file a second name; across file systems that cannot be, a symbolic link does."""
    try:
        os.link(source, target)
    except OSError:
        target.symlink_to(source)
