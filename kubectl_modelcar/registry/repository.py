"""Images as they are, byte for byte: manifests, indexes and blobs of a repository or of an OCI layout folder."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, NotFoundOrRefused
from kubectl_modelcar.image import (
    DIGEST_PATTERN,
    INDEX_TYPE,
    MANIFEST_TYPE,
    MOST_MANIFEST,
    Chunk,
    Content,
    Descriptor,
    Document,
    LayoutReference,
    Location,
    RunningDigest,
)
from kubectl_modelcar.registry.translation import our_errors

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest as it is stored, verified, with what it names: blobs, or the manifests of an index."""

    document: Document
    blobs: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()


class BlobContent:
    """A blob of a repository, verified against its digest while it is read; for one thread."""

    def __init__(self, repository: "OpenRepository", blob: Descriptor, name: str) -> None:
        self._repository, self._blob, self.name = repository, blob, name
        self._seen = RunningDigest()

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self._blob.size

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes from `start` on, each chunk valid until the next is asked for.

        Raises IntegrityFailure at the end if they are not what the digest says. Each byte is digested once, when it
        passes first: whoever asks again for some of them has the digest to check the whole by.
        """
        buffer, position = memoryview(bytearray(_CHUNK)), min(start, self._seen.position)
        with our_errors(), self._repository.opened(self._blob, position) as body:
            while count := body.readinto(buffer):
                self._seen.update(buffer[max(self._seen.position - position, 0) : count])
                wanted = buffer[max(start - position, 0) : count]
                position += count
                if wanted:
                    yield wanted
        if position != self._blob.size or self._seen.digest != self._blob.digest:
            raise IntegrityFailure(
                f"{self.name} in {self._repository.location.name} is not what its digest {self._blob.digest} says",
                "nothing was published; push it there again, or ask whoever made it",
            )


class OpenRepository:
    """Where images are read from as they are. Safe for several threads."""

    def __init__(self, location: Location, source: "puller.Source") -> None:
        self.location, self._source = location, source
        self._bodies: set[puller.Body] = set()
        self._lock = threading.Lock()

    def root(self) -> StoredManifest:
        """Return what the location names: an image, or an index of several.

        Raises NotFoundOrRefused, and InvalidInput for a layout of several images when no tag says which.
        """
        return self.manifest(self.location.target)

    def manifest(self, reference: str) -> StoredManifest:
        """Return the manifest that a tag or a digest names."""
        with our_errors():
            raw, media_type = self._source.manifest(reference)
            what = f"the manifest {reference or 'index.json'} of {self.location.name}"
            data = _parse(raw, what)
            document = Document(_media_type(data, media_type, what), raw)
            if DIGEST_PATTERN.fullmatch(reference) and document.digest != reference:
                raise IntegrityFailure(f"{what} has other bytes: their digest is {document.digest}", _ASK)
            if "manifests" in data:
                return StoredManifest(document, manifests=_descriptors(data["manifests"], what))
            layers = _descriptors(data.get("layers"), what)
            return StoredManifest(document, blobs=(*_descriptors([data.get("config")], what), *layers))

    def content(self, blob: Descriptor, name: str) -> Content:
        """Return a blob's bytes; `name` is for people."""
        return BlobContent(self, blob, name)

    def stop(self) -> None:
        """End every transfer under way, at once; to be called from another thread."""
        with self._lock:
            bodies = list(self._bodies)
        for body in bodies:
            body.close()

    @contextmanager
    def opened(self, blob: Descriptor, start: int) -> "Iterator[puller.Body]":
        """Yield the blob's bytes from `start` on."""
        wanted = puller.Descriptor(blob.media_type, blob.digest, blob.size)
        with closing(self._source.open(wanted, start)) as body:
            with self._lock:
                self._bodies.add(body)
            try:
                yield body
            finally:
                with self._lock:
                    self._bodies.discard(body)


def open_layout(location: LayoutReference) -> OpenRepository:
    """Return where the image that `location` names can be read from as it is; nothing is read yet."""
    return OpenRepository(location, puller.Layout(location.folder))


_ASK = "push it there again, or ask whoever made it"


def _parse(raw: bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(raw) if len(raw) <= MOST_MANIFEST else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise IntegrityFailure(f"{what} is no JSON object of at most {MOST_MANIFEST} bytes", _ASK)
    return data


def _media_type(data: Mapping[str, Any], content_type: str, what: str) -> str:
    """Return the document's type; its own word counts, a Content-Type may be lost on the way."""
    if "manifests" in data and "layers" in data:  # CVE-2021-41190
        raise IntegrityFailure(f"{what} is an index and an image at once", _ASK)
    if "manifests" not in data and "layers" not in data:
        raise NotFoundOrRefused(f"{what} is neither an image nor an index", "push it again with a current tool")
    said = data.get("mediaType") or content_type.partition(";")[0].strip()
    return str(said or (INDEX_TYPE if "manifests" in data else MANIFEST_TYPE))


def _descriptors(entries: object, what: str) -> tuple[Descriptor, ...]:
    if not isinstance(entries, list):
        raise IntegrityFailure(f"{what} has no list of descriptors", _ASK)
    parsed = [puller.Descriptor.from_json(entry) for entry in entries]
    return tuple(Descriptor(one.media_type, one.digest, one.size, one.annotations) for one in parsed)
