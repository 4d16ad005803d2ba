"""Copy an image as it is: source → blobs → manifests → tags, byte for byte."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Protocol, Self

from kubectl_modelcar.errors import InvalidInput, NotFoundOrRefused
from kubectl_modelcar.image import (
    TITLE,
    Chunk,
    Content,
    Descriptor,
    Document,
    ImageReference,
    Location,
    remembered_files,
)
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.registry import BlobsMissing

_ROUNDS = 2  # of sending again what a registry lost between its blobs and its manifest
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

    @property
    def location(self) -> Location:
        """The image's name there."""

    def root(self) -> Manifest:
        """Return the image, or the index, that is to be copied."""

    def manifest(self, reference: str) -> Manifest:
        """Return a manifest by its digest, verified."""

    def content(self, blob: Descriptor, name: str) -> Content:
        """Return a blob's bytes, verified while they are read."""

    def stop(self) -> None:
        """End every transfer under way, at once; called when a copy fails."""


class ImageTarget(Protocol):
    """Where an image goes. Everything but `prepare` and `put_manifest` is called from several threads."""

    def prepare(self) -> None:
        """Prove that we may push, before anything is read."""

    def has_blob(self, digest: str) -> bool:
        """Tell whether the blob is there."""

    def mount(self, digest: str, repository: str) -> bool:
        """Take the blob from another repository of the same registry; tell whether that worked."""

    def upload(self, content: Content, digest: str | None = None) -> str:
        """Send a blob and return its digest."""

    def put_manifest(self, document: Document, tag: str | None) -> str:
        """Publish a manifest under a tag, or by its digest alone; return the digest that is read there afterwards."""

    def stop(self) -> None:
        """End every upload under way, at once; called when a copy fails."""


@dataclass(frozen=True, slots=True)
class CopiedBlob:
    """A blob as it stands at the target; `sent` is False when the target, or a neighbour of it, had it already."""

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

    `location` is the target's, for the result. An index comes with all its images; within a registry blobs are mounted.
    Tags come last: until every blob and manifest is there, nothing is published. Raises ModelcarError.
    """
    if not tags:
        raise InvalidInput(f"cannot copy to {location}: no tag is given", "name one: HOST/REPO:TAG")
    started, progress = time.monotonic(), progress or Silent()
    manifests = _children_first(source, source.root())
    named = _named([blob for manifest in manifests for blob in manifest.blobs])
    target.prepare()
    sent: set[str] = set()
    for left in reversed(range(1 + _ROUNDS)):
        with _Copier(source, target, _neighbour(source.location, location), jobs, progress) as copier:
            sent |= copier.send(named)
        try:
            _publish([manifest.document for manifest in manifests], target, location, tags, progress)
            break
        except BlobsMissing:
            if not left:
                raise
    blobs = tuple(CopiedBlob(blob, name, blob.digest in sent) for blob, name in named)
    digests = tuple(manifest.document.digest for manifest in manifests)
    return CopyResult(location, digests, blobs, time.monotonic() - started)


def _publish(
    documents: Sequence[Document], target: ImageTarget, location: Location, tags: Sequence[str], progress: Progress
) -> None:
    *children, root = documents
    for child in children:
        target.put_manifest(child, None)
    for tag in tags:
        there = target.put_manifest(root, tag)
        if there != root.digest:
            ours = f"{location.name}@{root.digest}"
            progress.warn(f"{location.name}:{tag} names {there} by now: somebody else pushed; ours is {ours}")


def _neighbour(source: Location, target: Location) -> str | None:
    """Return the source's repository where blobs can be mounted from it: in the target's own registry."""
    if not isinstance(source, ImageReference) or not isinstance(target, ImageReference):
        return None
    return source.repository if source.registry == target.registry and source.name != target.name else None


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


class _Copier:
    """Sends blobs in parallel and stops them all as soon as one fails."""

    def __init__(
        self, source: ImageSource, target: ImageTarget, neighbour: str | None, jobs: int, progress: Progress
    ) -> None:
        self._source, self._target, self._neighbour, self._progress = source, target, neighbour, progress
        self._pool = ThreadPoolExecutor(jobs)
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stopped.set()
            self._target.stop()
            self._source.stop()
        self._pool.shutdown(cancel_futures=True)

    def send(self, blobs: Sequence[tuple[Descriptor, str]]) -> set[str]:
        """Send what the target does not have, and return the digests of that."""
        futures = {self._pool.submit(self._send, blob, name): blob.digest for blob, name in blobs}
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            if error := future.exception():
                raise error
        return {digest for future, digest in futures.items() if future.result()}

    def _send(self, blob: Descriptor, name: str) -> bool:
        self._progress.begin(name, blob.size)
        sent = not self._target.has_blob(blob.digest) and not self._mounted(blob)
        if sent:
            content = _Watched(self._source.content(blob, name), self._progress, self._stopped)
            self._target.upload(content, blob.digest)
        self._progress.end(name, "sent" if sent else "exists")
        return sent

    def _mounted(self, blob: Descriptor) -> bool:
        return self._neighbour is not None and self._target.mount(blob.digest, self._neighbour)


class _Watched:
    """Content whose way is told to whoever watches, and that ends when the copy has failed."""

    def __init__(self, inner: Content, progress: Progress, stopped: threading.Event) -> None:
        self._inner, self._progress, self._stopped = inner, progress, stopped
        self._position = 0

    @property
    def name(self) -> str:
        """What to call it when talking to people."""
        return self._inner.name

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self._inner.size

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes from `start` on."""
        if start != self._position:
            self._progress.begin(self.name, self.size)
            self._progress.advance(self.name, start)
            self._position = start
        for chunk in self._inner.chunks(start):
            if self._stopped.is_set():
                raise _Stopped
            yield chunk
            self._position += len(chunk)
            self._progress.advance(self.name, len(chunk))


class _Stopped(Exception):
    """Ends a worker whose work is no longer wanted."""
