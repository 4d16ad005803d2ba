"""Copy an image as it is: source → blobs → manifests → tags, byte for byte."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kubectl_modelcar.errors import InvalidInput, NotFoundOrRefused
from kubectl_modelcar.image import (
    TITLE,
    Content,
    Descriptor,
    Document,
    Location,
    ModelFile,
    remembered_files,
)
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.registry import limit_warnings
from kubectl_modelcar.sending import ImageTarget, Transfers, publish, until_nothing_is_lost

_MOST_MANIFESTS = 200  # of one index and the indexes in it, all held in memory; real ones have a dozen


class Manifest(Protocol):
    """A manifest, and the blobs or the further manifests that it names."""

    @property
    def document(self) -> Document:
        """Its bytes."""

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """An image's config and layers."""

    @property
    def manifests(self) -> tuple[Descriptor, ...]:
        """An index's images."""


class ImageSource(Protocol):
    """Where an image is read from. `content` and `stop` are called from several threads."""

    def root(self) -> Manifest:
        """Return the image, or the index, that is to be copied."""

    def manifest(self, reference: str) -> Manifest:
        """Return a manifest by its digest, verified."""

    def content(self, blob: Descriptor, name: str) -> Content:
        """Return a blob's bytes, verified while they are read."""

    def stop(self) -> None:
        """End every transfer under way, at once; called when a copy fails."""


@dataclass(frozen=True, slots=True)
class CopiedBlob:
    """A blob as it stands at the target; `sent` is False when the target had it already."""

    descriptor: Descriptor
    name: str
    sent: bool


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What was copied. Bytes and seconds are of this copy alone; `manifests` are digests, the published one last."""

    location: Location
    manifests: tuple[str, ...]
    blobs: tuple[CopiedBlob, ...]
    seconds: float

    @property
    def digest(self) -> str:
        """The digest of what was published: an image's, or an index's."""
        return self.manifests[-1]

    @property
    def reference(self) -> str:
        """The image by digest: HOST/REPO@sha256:..."""
        return f"{self.location.name}@{self.digest}"

    @property
    def sent_bytes(self) -> int:
        """Bytes of blobs that went over the wire."""
        return sum(blob.descriptor.size for blob in self.blobs if blob.sent)


def copy(  # noqa: PLR0913  the parts that meet here, how, and who watches
    source: ImageSource,
    target: ImageTarget,
    location: Location,
    tags: Sequence[str],
    *,
    jobs: int = 4,
    progress: Progress | None = None,
) -> CopyResult:
    """Publish the image of `source` at `target` under each of `tags`: the same bytes, so the same digest.

    `location` is the target's, for the result. An index comes with all its images. Tags come last: until every blob and
    manifest is there, nothing is published. Raises ModelcarError.
    """
    if not tags:
        raise InvalidInput(f"cannot copy to {location}: no tag is given", "name one: HOST/REPO:TAG")
    started, progress = time.monotonic(), progress or Silent()
    manifests = _children_first(source, source.root())
    named = _named([blob for manifest in manifests for blob in manifest.blobs])
    for text in limit_warnings(location, [_Copied(name, blob.size) for blob, name in named]):
        progress.warn(text)
    target.prepare()
    sent: set[str] = set()
    documents = [manifest.document for manifest in manifests]
    with Transfers(source.stop, target.stop, progress=progress, jobs=jobs) as transfers:
        copier = _Copier(source, target, transfers, progress)

        def send_and_publish() -> None:
            sent.update(copier.send(named))
            publish(target, documents, location, tags, progress)

        until_nothing_is_lost(send_and_publish, doubt=lambda: None)  # each blob is asked for anew
    blobs = tuple(CopiedBlob(blob, name, blob.digest in sent) for blob, name in named)
    digests = tuple(manifest.document.digest for manifest in manifests)
    return CopyResult(location, digests, blobs, time.monotonic() - started)


def _children_first(source: ImageSource, root: Manifest) -> list[Manifest]:
    """Return all manifests, each after those that it names, as registries want them: the root is the last."""
    done: dict[str, Manifest] = {}
    open_ones: list[tuple[Manifest, list[Descriptor]]] = [(root, list(root.manifests))]
    asked = {root.document.digest}
    while open_ones:
        manifest, waiting = open_ones[-1]
        if not waiting:
            done[manifest.document.digest] = manifest
            open_ones.pop()
            continue
        entry = waiting.pop(0)
        if entry.digest in asked:
            continue
        if len(asked) >= _MOST_MANIFESTS:
            raise NotFoundOrRefused(
                f"the index {root.document.digest} names more than {_MOST_MANIFESTS} manifests",
                "copy the images that you need by their digests",
            )
        asked.add(entry.digest)
        child = source.manifest(entry.digest)
        open_ones.append((child, list(child.manifests)))
    return list(done.values())


def _named(blobs: Sequence[Descriptor]) -> list[tuple[Descriptor, str]]:
    """Return each blob once, with a name that no other has: progress tells transfers apart by it."""
    different = {blob.digest: blob for blob in blobs}
    named: dict[str, Descriptor] = {}
    for blob in different.values():
        name = _name(blob)
        named[f"{name} ({_short(blob)})" if name in named else name] = blob
    return [(blob, name) for name, blob in named.items()]


def _name(blob: Descriptor) -> str:
    files = remembered_files(blob.annotations)
    if files:
        return files[0].path + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    return blob.annotations.get(TITLE) or _short(blob)


def _short(blob: Descriptor) -> str:
    return blob.digest[: len("sha256:") + 12]  # as docker and podman shorten ids


@dataclass(frozen=True, slots=True)
class _Copied:
    """A blob as a layer that is sent as it is: no file can be left out of it."""

    name: str
    size: int
    files: tuple[ModelFile, ...] = ()


class _Copier:
    """Brings blobs to a target."""

    def __init__(self, source: ImageSource, target: ImageTarget, transfers: Transfers, progress: Progress) -> None:
        self._source, self._target = source, target
        self._transfers, self._progress = transfers, progress

    def send(self, blobs: Sequence[tuple[Descriptor, str]]) -> set[str]:
        """Send what the target does not have, and return the digests of that."""
        sent = self._transfers.run(self._send, blobs)
        return {blob.digest for (blob, _), was_sent in zip(blobs, sent, strict=True) if was_sent}

    def _send(self, named: tuple[Descriptor, str]) -> bool:
        blob, name = named
        self._progress.begin(name, blob.size)
        sent = not self._target.has_blob(blob.digest)
        if sent:
            self._target.upload(self._transfers.watched(self._source.content(blob, name)), blob.digest)
        self._progress.end(name, "sent" if sent else "exists")
        return sent
