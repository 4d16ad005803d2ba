"""Manifests, indexes, configs and layers: what an image says of itself."""

import json
import random
import stat
from pathlib import Path

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import ImageReference
from kubectl_modelcar.inspection import inspect
from kubectl_modelcar.registry import OpenImage
from tests.fakes.registry import digest_of
from tests.fuzz import archives
from tests.fuzz.canned import MemorySource
from tests.fuzz.documents import encoded, twisted
from tests.fuzz.scratch import scratch, walk
from tests.fuzz.trial import Target
from tests.puller.images import FILES, INDEX, MANIFEST, TAR, TITLE

_SOURCE = ImageReference("registry.example", "org/model", "v1")


def manifest(raw: bytes) -> None:
    """Resolve and inspect an image: its documents, parted by NUL, the first one tagged; no layer's bytes are there."""
    documents = raw.split(b"\0")
    source = MemorySource(documents, media_type=MANIFEST)
    for platform in ("linux/amd64", ""):
        found = puller.resolve(source, "v1", platform)
        assert digest_of(found.raw) == found.digest
    inspect(OpenImage(_SOURCE, found, source))


def documents(chance: random.Random) -> bytes:
    """Return an image, mostly, or an index of some; each is hostile in a few places, but linked by right digests."""
    config = encoded(twisted(chance, _CONFIG))
    layers = [
        _descriptor(
            b"x", TAR, {FILES: encoded(twisted(chance, [{"path": "a", "size": 1, "sha256": "0" * 64}])).decode()}
        ),
        _descriptor(config, TAR, {TITLE: "b"}),
    ]
    image = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers[: chance.randint(0, 2)],
        "annotations": {"org.opencontainers.image.created": "2026-11-24T00:00:00Z"},
    }
    parts = [encoded(twisted(chance, image)), config]
    if chance.random() < 1 / 3:
        platforms = (
            {"os": "linux", "architecture": "amd64"},
            {"os": "linux", "architecture": "arm64", "variant": "v8"},
            None,
        )
        entries = [_descriptor(parts[0], MANIFEST) | ({"platform": p} if p else {}) for p in platforms]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[chance.randint(0, 2) :]}
        parts.insert(0, encoded(twisted(chance, index)))
    return b"\0".join(parts)


_CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "created": "2026-11-24T00:00:00Z",
    "config": {"Labels": {"org.opencontainers.image.licenses": "MIT"}, "User": "1000"},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]},
    "history": [{"created_by": "x"}],
}


def _descriptor(data: bytes, media_type: str, annotations: dict[str, str] | None = None) -> dict[str, object]:
    said = {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
    return said | ({"annotations": annotations} if annotations else {})


def layers(raw: bytes) -> None:
    """Unpack: nothing outside the folder, only plain files and folders, each of its declared size, as listed."""
    document, blobs = archives.split(raw)
    source = MemorySource([document], [b"{}", *blobs])
    with scratch() as outside:
        try:
            _unpack(source, puller.resolve(source, "v1"), outside / "model")
        finally:
            names, entries = [path.name for path in outside.iterdir()], list(walk(outside))
    assert names in ([], ["model"])
    for path, mode in entries:
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
        assert stat.S_IMODE(mode) & 0o7022 == 0, path


def _unpack(source: MemorySource, found: puller.Manifest, folder: Path) -> None:
    try:
        files = puller.unpack(source, found, folder, jobs=1)
    except puller.PullError:
        assert all(path.name.startswith(".partial-") for path in (folder.iterdir() if folder.exists() else ()))
        raise
    written = {str(path.relative_to(folder)): path for path, mode in walk(folder) if stat.S_ISREG(mode)}
    declared = {file.path: file.size for file in files}
    assert {path: file.stat().st_size for path, file in written.items()} == declared
    assert {file.path: file.size for file in puller.list_files(source, found)} == declared
    for path in list(declared)[:2]:
        assert puller.read_file(source, found, path) == written[path].read_bytes()


TARGETS = (
    Target("manifest", manifest, documents, (b"\0", json.dumps(_CONFIG).encode(), b'"layers":', b'"manifests":')),
    Target(
        "layers",
        layers,
        archives.image,
        (b"ustar\0", bytes(512), b"models/", b".wh.", b"\x1f\x8b"),
        mend=archives.mended,
    ),
)
