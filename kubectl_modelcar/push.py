"""Push a model as an image: source → layers → target."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import (
    CREATED,
    DEFAULT_TAG,
    MAX_LAYERS,
    UNSAFE_ANNOTATION,
    BaseImage,
    Descriptor,
    Document,
    Held,
    Location,
    ModelFile,
    PlannedLayer,
    Platform,
    artifact_config,
    artifact_manifest,
    image_config,
    image_manifest,
    index_manifest,
    manifest_size,
    plan_artifact,
    plan_layers,
    require_different,
    require_small_manifest,
)
from kubectl_modelcar.memory import Memory
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.registry import limit_warnings
from kubectl_modelcar.sending import (
    Base,
    ImageTarget,
    Known,
    ModelSource,
    PushedLayer,
    Sender,
    Transfers,
    publish,
    until_nothing_is_lost,
)
from kubectl_modelcar.source import Listing, Selection, check_content, check_patterns, check_shards

EPOCH = "1970-01-01T00:00:00Z"
_WEIGHTS = (".safetensors", ".gguf")
_NAMED = 3  # of the files that are left out

Format = Literal["image", "artifact"]


@dataclass(frozen=True, slots=True)
class PushOptions:
    """What is not the source and not the target.

    `created` is RFC 3339 and wins over the commit's date. `tags` are further ones, beside the location's. Several
    platforms make an index.
    """

    selection: Selection = field(default_factory=Selection)
    format: Format = "image"
    platforms: tuple[Platform, ...] = (Platform(),)
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: str | None = None
    jobs: int = 4
    allow_unsafe: bool = False


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What would be pushed, before anything is."""

    location: Location
    tags: tuple[str, ...]
    listing: Listing
    layers: tuple[PlannedLayer, ...]

    @property
    def size(self) -> int:
        """Bytes of the model's layers."""
        return sum(layer.size for layer in self.layers)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was published. Bytes and seconds are of this push alone."""

    location: Location
    tags: tuple[str, ...]
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


def plan_push(
    source: ModelSource,
    location: Location,
    bases: Sequence[Base],
    options: PushOptions,
    *,
    progress: Progress | None = None,
) -> PushPlan:
    """Say what a push of `source` to `location` would make: files, layers and tags; nothing is asked of the target.

    Raises ModelcarError for what can be told to be wrong already.
    """
    progress = progress or Silent()
    tags = tags_of(location, options.tags)
    check_patterns(options.selection)
    require_different(options.platforms)
    listing = source.listing(options.selection)
    if options.format == "artifact":
        layers: tuple[PlannedLayer, ...] = plan_artifact(listing.files)
    else:
        layers = plan_layers(listing.files, room=MAX_LAYERS - max(len(base.image.layers) for base in bases))
        require_small_manifest(layers)
    _say(listing, progress)
    for text in limit_warnings(location, layers, manifest_size(layers)):
        progress.warn(text)
    return PushPlan(location, tags, listing, layers)


def push(  # noqa: PLR0913  the five parts that meet here, what is known of them, and who watches
    source: ModelSource,
    target: ImageTarget,
    location: Location,
    bases: Sequence[Base],
    options: PushOptions,
    *,
    images: Iterable[Sequence[Descriptor]] = (),
    memory: Memory,
    progress: Progress | None = None,
) -> PushResult:
    """Publish the selected files of `source` at `target` and return what was published.

    `bases` are the images below the model, one a platform (an artifact has none). `images` gives the layers of images
    that are there, lazily: what they and `memory` know saves reading and sending. Raises ModelcarError; nothing is
    published then.
    """
    started, progress = time.monotonic(), progress or Silent()
    plan = plan_push(source, location, bases, options, progress=progress)
    target.prepare()
    known = Known(source, memory, images, accepts="unsafe" if options.allow_unsafe else "")
    with closing(memory), Transfers(source.stop, target.stop, progress=progress, jobs=options.jobs) as transfers:
        sender = Sender(source, target, location, known=known, memory=memory, transfers=transfers, progress=progress)
        unread = sender.find(plan.layers)
        _check(source, plan, options, known=known, unread=unread, transfers=transfers)
        layers, document = _Publication(source, target, bases, plan, options, progress).publish(sender)
    return PushResult(location, plan.tags, document.digest, layers, plan.listing, time.monotonic() - started)


def tags_of(location: Location, more: Sequence[str]) -> tuple[str, ...]:
    """Return the tags to publish under: the location's own, or `latest` where none is named at all, and `more`.

    Raises InvalidInput for a location with a digest.
    """
    if location.digest:
        raise InvalidInput(f"cannot push to {location}: a digest is what a push gives", "name a tag: HOST/REPO:TAG")
    own = (location.tag,) if location.tag else ()
    return tuple(dict.fromkeys((*own, *more))) or (DEFAULT_TAG,)


def _check(  # noqa: PLR0913  what is checked, by whom, and what is known of it
    source: ModelSource,
    plan: PushPlan,
    options: PushOptions,
    *,
    known: Known,
    unread: Sequence[PlannedLayer],
    transfers: Transfers,
) -> None:
    """Check what is in the files that are going to be read, and that no shard is missing.

    What was pushed before was checked then. Raises IntegrityFailure, NotFoundOrRefused.
    """
    if not unread and known.were_checked(plan.layers):
        return
    files = {file.path: file for file in plan.listing.files}
    where = plan.listing.origin.text
    check_shards(list(files), lambda path: source.read(files[path], 0, files[path].size), where=where)

    def check(file: ModelFile) -> None:
        check_content(file, lambda offset, length: source.read(file, offset, length), allow_unsafe=options.allow_unsafe)

    transfers.run(check, [file for layer in unread for file in layer.files])
    known.note_checked(plan.layers)


def _say(listing: Listing, progress: Progress) -> None:
    """Tell what is easily overlooked: files that stay behind, and a model without weights."""
    visible = [path for path in listing.left_out if not path.startswith(".") and "/." not in path]
    if visible:
        more = f" and {len(visible) - _NAMED} more" if len(visible) > _NAMED else ""
        progress.stage("left out", "done", f"{', '.join(visible[:_NAMED])}{more} (--include takes them)")
    if not any(file.path.endswith(_WEIGHTS) for file in listing.files):
        progress.warn(f"{listing.origin.text} has no {' or '.join(_WEIGHTS)} file among those that are taken")


@dataclass(frozen=True, slots=True)
class _Publication:
    """An image on its way: what its manifests are made of, and where they go."""

    source: ModelSource
    target: ImageTarget
    bases: Sequence[Base]
    plan: PushPlan
    options: PushOptions
    progress: Progress

    def publish(self, sender: Sender) -> tuple[tuple[PushedLayer, ...], Document]:
        """Send all layers, then the manifests; return the layers and the document that has the tags."""
        return until_nothing_is_lost(lambda: self._send_and_put(sender), doubt=sender.doubt)

    def _send_and_put(self, sender: Sender) -> tuple[tuple[PushedLayer, ...], Document]:
        below = [layer for base in self.bases for layer in sender.copy(base)]
        layers = sender.send(self.plan.layers)
        configs, manifests = self._documents([layer.descriptor for layer in layers])
        self._put(configs, manifests)
        return (*below, *layers), manifests[-1]

    def _put(self, configs: Sequence[Document], manifests: Sequence[Document]) -> None:
        for config in configs:
            if not self.target.has_blob(config.digest):
                self.target.upload(Held("the image's config", config.data), config.digest)
        publish(self.target, manifests, self.plan.location, self.plan.tags, self.progress)

    def _documents(self, layers: Sequence[Descriptor]) -> tuple[list[Document], list[Document]]:
        """Return the configs, and the manifests in the order in which they go: what is tagged is the last."""
        origin, options = self.plan.listing.origin, self.options
        created = options.created or origin.created or EPOCH
        unsafe = {UNSAFE_ANNOTATION: "allowed"} if options.allow_unsafe else {}
        facts = {CREATED: created, **origin.annotations(), **unsafe, **options.annotations}
        if options.format == "artifact":
            model = _model_config(self.source, self.plan)
            config = artifact_config(layers, created=created, facts=facts, model=model)
            return [config], [artifact_manifest(config, layers, facts)]
        labels = {**origin.annotations(), **options.labels}
        configs, manifests = [], []
        for base, platform in zip(self.bases, options.platforms, strict=True):
            configs.append(image_config(base.image, layers, platform=platform, created=created, labels=labels))
            manifests.append(image_manifest(configs[-1], base.image, layers, {**facts, **_below(base.image)}))
        if len(manifests) > 1:
            manifests.append(index_manifest(list(zip(manifests, options.platforms, strict=True)), facts))
        return configs, manifests


def _below(base: BaseImage) -> Mapping[str, str]:
    known = {"org.opencontainers.image.base.name": base.name, "org.opencontainers.image.base.digest": base.digest}
    return {key: value for key, value in known.items() if value}


def _model_config(source: ModelSource, plan: PushPlan) -> Mapping[str, Any]:
    """Return the model's own `config.json`; nothing where there is none that can be read."""
    file = next((file for file in plan.listing.files if file.path == "config.json"), None)
    try:
        found = json.loads(source.read(file, 0, file.size)) if file else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
