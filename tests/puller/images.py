"""Images for the puller's tests: layers as bytes, put into a fake registry or an OCI layout folder."""

import gzip
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.registry import FakeRegistry, digest_of

TAR = "application/vnd.oci.image.layer.v1.tar"
GZIP = TAR + "+gzip"
RAW = "application/vnd.cncf.model.weight.v1.raw"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
FILES = "io.github.kubectl-modelcar.files"
TITLE = "org.opencontainers.image.title"
REPOSITORY = "org/model"


@dataclass(frozen=True)
class Layer:
    """A layer's bytes with what its descriptor says of them."""

    data: bytes
    media_type: str = TAR
    annotations: dict[str, str] = field(default_factory=dict)
    size: int | None = None
    """What the descriptor says where that is not the truth."""
    digest: str | None = None

    def descriptor(self) -> dict[str, object]:
        """Return the descriptor as image-spec's JSON object."""
        size = len(self.data) if self.size is None else self.size
        digest = self.digest or digest_of(self.data)
        return {"mediaType": self.media_type, "digest": digest, "size": size, "annotations": self.annotations}


def tar(*members: tuple[str, bytes] | tarfile.TarInfo, format: int = tarfile.GNU_FORMAT) -> bytes:  # noqa: A002 (tarfile's name)
    """Return a tar of files (name and bytes) and of headers as given."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=format) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return raw.getvalue()


def header(name: str, kind: bytes, target: str = "", size: int = 0) -> tarfile.TarInfo:
    """Return the header of a member that is no plain file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def ours(files: dict[str, bytes], *, sha256: bool = False) -> Layer:
    """Return a layer as `push` makes it: a tar of model files, listed in the annotation."""
    listed = [
        {"path": path, "size": len(data)} | ({"sha256": digest_of(data)[7:]} if sha256 else {})
        for path, data in files.items()
    ]
    data = tar(*((f"models/{path}", data) for path, data in files.items()))
    return Layer(data, TAR, {FILES: json.dumps(listed)})


def zipped(layer: bytes) -> Layer:
    """Return the tar as a gzip layer, as podman pushes it."""
    return Layer(gzip.compress(layer, mtime=0), GZIP)


def manifest(*layers: Layer, media_type: str = MANIFEST) -> bytes:
    """Return the bytes of an image manifest of the layers."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    document = {"schemaVersion": 2, "mediaType": media_type, "config": config}
    return json.dumps(document | {"layers": [layer.descriptor() for layer in layers]}).encode()


def index(*entries: tuple[bytes, str | None]) -> bytes:
    """Return the bytes of an index of manifests, each with its platform "os/architecture[/variant]" or None."""
    manifests = []
    for raw, platform in entries:
        entry: dict[str, object] = {"mediaType": MANIFEST, "digest": digest_of(raw), "size": len(raw)}
        if platform:
            entry["platform"] = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        manifests.append(entry)
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()


def put(registry: FakeRegistry, *layers: Layer, tag: str = "v1") -> str:
    """Put an image into the registry's REPOSITORY and return its manifest's digest."""
    registry.add_blob(REPOSITORY, b"{}")
    for layer in layers:
        digest = registry.add_blob(REPOSITORY, layer.data)
        if layer.digest:
            registry.blobs[layer.digest] = registry.blobs.pop(digest)
            registry.repositories[REPOSITORY].add(layer.digest)
    return registry.add_manifest(REPOSITORY, manifest(*layers), MANIFEST, tag)


def put_layout(folder: Path, *images: tuple[str | None, tuple[Layer, ...]]) -> Path:
    """Write an OCI layout of images, each with its tag or None, and return the folder."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for tag, layers in images:
        raw = manifest(*layers)
        for data in (raw, b"{}", *(layer.data for layer in layers)):
            (blobs / digest_of(data)[7:]).write_bytes(data)
        entry: dict[str, object] = {"mediaType": MANIFEST, "digest": digest_of(raw), "size": len(raw)}
        entries.append(entry | ({"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}))
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Return a folder's files: path to bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
