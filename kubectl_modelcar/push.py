"""Push a model as an image: source → layers → target."""

import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, Self

from kubectl_modelcar.errors import IntegrityFailure, InvalidInput
from kubectl_modelcar.image import (
    CREATED,
    FILES_ANNOTATION,
    MAX_LAYERS,
    BaseImage,
    Descriptor,
    Document,
    LayerPlan,
    Location,
    ModelFile,
    Platform,
    digest_of,
    image_config,
    image_manifest,
    layer_descriptor,
    plan_layers,
)
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.source import Listing, Selection, check_content, check_patterns, check_shards

EPOCH = "1970-01-01T00:00:00Z"
_WEIGHTS = (".safetensors", ".gguf")
_NAMED = 3  # of the files that are left out
HELD = 32 * 2**20  # bytes; a small layer up to here is made in memory, so that its digest is known before it is sent

Chunk = memoryview | bytes


class ModelSource(Protocol):
    """Where a model's files come from. `chunks` and `read` are called from several threads."""

    @property
    def rereadable(self) -> bool:
        """Whether reading a file twice costs next to nothing."""

    def listing(self, selection: Selection) -> Listing:
        """Return the selected files."""

    def chunks(self, file: ModelFile) -> Iterator[Chunk]:
        """Yield the bytes of a file, each chunk valid until the next is asked for."""

    def read(self, file: ModelFile, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of a file from `offset`."""

    def stop(self) -> None:
        """End every wait at once; called when a push fails."""


class ImageTarget(Protocol):
    """Where an image goes. Everything but `prepare` is called from several threads."""

    def prepare(self) -> None:
        """Prove that we may push, before anything is read."""

    def has_blob(self, digest: str) -> bool:
        """Tell whether the blob is there."""

    def upload(self, name: str, size: int, chunks: Callable[[], Iterator[Chunk]], digest: str | None = None) -> str:
        """Send a blob and return its digest."""

    def stop(self) -> None:
        """End every upload under way, at once; called when a push fails."""

    def put_manifest(self, manifest: Document) -> None:
        """Publish the manifest under the target's tag."""


class Base(Protocol):
    """The image below the model."""

    @property
    def image(self) -> BaseImage:
        """Its config and layers."""

    def chunks(self, layer: Descriptor) -> Iterator[memoryview]:
        """Yield the bytes of one of its layers."""


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What is not the source and not the target. `created` is RFC 3339 and wins over the commit's date."""

    selection: Selection = field(default_factory=Selection)
    jobs: int = 4
    allow_unsafe: bool = False
    platform: Platform = field(default_factory=Platform)
    created: str | None = None


@dataclass(frozen=True, slots=True)
class PushedLayer:
    """A layer as it stands in the image; `sent` is False when the target had it already."""

    descriptor: Descriptor
    files: tuple[ModelFile, ...]
    sent: bool


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was published. Bytes and seconds are of this push alone."""

    location: Location
    digest: str
    layers: tuple[PushedLayer, ...]
    listing: Listing
    seconds: float

    @property
    def reference(self) -> str:
        """The image by digest: HOST/REPO@sha256:..."""
        return f"{self.location.name}@{self.digest}"

    @property
    def sent_bytes(self) -> int:
        """Bytes of layers that went over the wire."""
        return sum(layer.descriptor.size for layer in self.layers if layer.sent)


def push(  # noqa: PLR0913  the five parts that meet here, and who watches
    source: ModelSource,
    target: ImageTarget,
    location: Location,
    base: Base,
    options: PushOptions,
    *,
    before: Callable[[], Sequence[Descriptor]] = tuple,
    progress: Progress | None = None,
) -> PushResult:
    """Publish the selected files of `source` at `target` and return what was published.

    `before` gives the layers of the image that has the tag now; what they remember saves reading and sending.
    Raises ModelcarError; nothing is published then.
    """
    if location.digest:
        raise InvalidInput(f"cannot push to {location}: a digest is what a push gives", "name a tag: HOST/REPO:TAG")
    check_patterns(options.selection)
    started = time.monotonic()
    listing = source.listing(options.selection)
    _say(listing, progress or Silent())
    target.prepare()
    _check(source, listing, options)
    plans = plan_layers(listing.files, room=MAX_LAYERS - len(base.image.layers))
    with _Sender(source, target, before(), progress or Silent(), options.jobs) as sender:
        below = sender.copy(base)
        layers = sender.send(plans)
    manifest = _publish(target, base.image, [layer.descriptor for layer in layers], listing, options)
    return PushResult(location, manifest.digest, (*below, *layers), listing, time.monotonic() - started)


def _say(listing: Listing, progress: Progress) -> None:
    """Tell what is easily overlooked: files that stay behind, and a model without weights."""
    visible = [path for path in listing.left_out if not path.startswith(".") and "/." not in path]
    if visible:
        more = f" and {len(visible) - _NAMED} more" if len(visible) > _NAMED else ""
        progress.stage("left out", "done", f"{', '.join(visible[:_NAMED])}{more} (--include takes them)")
    if not any(file.path.endswith(_WEIGHTS) for file in listing.files):
        progress.warn(f"{listing.origin.text} has no {' or '.join(_WEIGHTS)} file among those that are taken")


def _check(source: ModelSource, listing: Listing, options: PushOptions) -> None:
    files = {file.path: file for file in listing.files}
    check_shards(list(files), lambda path: source.read(files[path], 0, files[path].size), where=listing.origin.text)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda file: _check_file(source, file, allow_unsafe=options.allow_unsafe), listing.files))


def _check_file(source: ModelSource, file: ModelFile, *, allow_unsafe: bool) -> None:
    check_content(file, lambda offset, length: source.read(file, offset, length), allow_unsafe=allow_unsafe)


def _publish(
    target: ImageTarget, base: BaseImage, layers: Sequence[Descriptor], listing: Listing, options: PushOptions
) -> Document:
    created = options.created or listing.origin.created or EPOCH
    config = image_config(base, layers, platform=options.platform, created=created)
    manifest = image_manifest(config, base, layers, {CREATED: created, **listing.origin.annotations(), **_below(base)})
    if not target.has_blob(config.digest):
        target.upload("the image's config", len(config.data), lambda: iter([config.data]), config.digest)
    target.put_manifest(manifest)
    return manifest


def _below(base: BaseImage) -> Mapping[str, str]:
    known = {"org.opencontainers.image.base.name": base.name, "org.opencontainers.image.base.digest": base.digest}
    return {key: value for key, value in known.items() if value}


class _Sender:
    """Sends layers in parallel and stops them all as soon as one fails."""

    def __init__(
        self, source: ModelSource, target: ImageTarget, before: Sequence[Descriptor], progress: Progress, jobs: int
    ) -> None:
        self._source, self._target, self._progress = source, target, progress
        self._before = {layer.annotations.get(FILES_ANNOTATION): layer for layer in before}
        self._sizes = {layer.size for layer in before}
        self._seen_before = False
        self._pool = ThreadPoolExecutor(jobs)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop.set()
        if kind is not None:
            self._source.stop()
            self._target.stop()
        self._pool.shutdown(cancel_futures=True)

    def copy(self, base: Base) -> list[PushedLayer]:
        """Send the base's layers that are not there."""
        return [self._copy(base, layer) for layer in base.image.layers]

    def send(self, plans: Sequence[LayerPlan]) -> list[PushedLayer]:
        """Send the layers, in parallel, and return them in their order.

        The small layer goes first, alone: if the target has it, it probably has the rest, and files that can be read
        twice are then digested before anything of them is sent.
        """
        held = [self._send_held(plan) for plan in plans[:1] if plan.size <= HELD]
        self._seen_before = any(not layer.sent for layer in held)
        futures = [self._pool.submit(self._send, plan) for plan in plans[len(held) :]]
        return held + _all_or_first_error(futures)

    def _copy(self, base: Base, layer: Descriptor) -> PushedLayer:
        name = "base image"
        self._progress.begin(name, layer.size)
        sent = not self._target.has_blob(layer.digest)
        if sent:
            self._upload(name, layer.size, lambda: base.chunks(layer), layer.digest)
        self._progress.end(name, "sent" if sent else "exists")
        return PushedLayer(layer, (), sent)

    def _send_held(self, plan: LayerPlan) -> PushedLayer:
        self._progress.begin(plan.name, plan.size)
        data = b"".join(bytes(chunk) for chunk in layer_chunks(plan, self._source))
        digest = digest_of(data)
        sent = not self._target.has_blob(digest)
        if sent:
            self._upload(plan.name, len(data), lambda: iter([data]), digest)
        self._progress.end(plan.name, "sent" if sent else "exists")
        return PushedLayer(layer_descriptor(plan, digest), plan.files, sent)

    def _send(self, plan: LayerPlan) -> PushedLayer:
        self._progress.begin(plan.name, plan.size)
        digest = self._digest_beforehand(plan)
        sent = digest is None or not self._target.has_blob(digest)
        if digest is None or sent:
            digest = self._upload(plan.name, plan.size, partial(layer_chunks, plan, self._source), digest)
        self._progress.end(plan.name, "sent" if sent else "exists")
        return PushedLayer(layer_descriptor(plan, digest), plan.files, sent)

    def _digest_beforehand(self, plan: LayerPlan) -> str | None:
        """Return the layer's digest where that is cheaper than sending it in vain."""
        if all(file.sha256 for file in plan.files):
            # The Hub's own sha256 of every file, and a layer of the same recipe that says it holds just these.
            same = self._before.get(layer_descriptor(plan, "").annotations[FILES_ANNOTATION])
            return same.digest if same and same.size == plan.size else None
        if self._source.rereadable and (self._seen_before or plan.size in self._sizes):
            seen = hashlib.sha256()
            for chunk in layer_chunks(plan, self._source):
                self._check_stop()
                seen.update(chunk)
            return f"sha256:{seen.hexdigest()}"
        return None

    def _upload(self, name: str, size: int, chunks: Callable[[], Iterator[Chunk]], digest: str | None) -> str:
        attempts = itertools.count()

        def counted() -> Iterator[Chunk]:
            if next(attempts):
                self._progress.begin(name, size)  # the blob starts from its first byte again
            for chunk in chunks():
                self._check_stop()
                yield chunk
                self._progress.advance(name, len(chunk))

        return self._target.upload(name, size, counted, digest)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped


class _Stopped(Exception):
    """Ends a worker whose work is no longer wanted."""


def layer_chunks(plan: LayerPlan, source: ModelSource) -> Iterator[Chunk]:
    """Yield the layer's tar, reading each file once and checking it against the sha256 that its origin promised."""
    for part in plan.parts():
        if not isinstance(part, ModelFile):
            yield part
            continue
        seen, done = hashlib.sha256(), 0
        for chunk in source.chunks(part):
            done += len(chunk)
            if part.sha256:
                seen.update(chunk)
            yield chunk
        if done != part.size or part.sha256 not in (None, seen.hexdigest()):
            raise IntegrityFailure(
                f"{part.path} is not what its origin promised: {done} bytes of {part.size}"
                + (f", sha256 {seen.hexdigest()} where {part.sha256} was expected" if part.sha256 else ""),
                "nothing was published; try again, and report it to the repository's owner if it stays so",
            )


def _all_or_first_error(futures: Sequence[Future[PushedLayer]]) -> list[PushedLayer]:
    done, _ = wait(futures, return_when=FIRST_EXCEPTION)
    for future in done:
        if error := future.exception():
            raise error
    return [future.result() for future in futures]
