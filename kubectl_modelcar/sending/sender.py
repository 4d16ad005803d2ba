"""Sending layers in parallel, each at most once; they all stop as soon as one fails."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from kubectl_modelcar.image import (
    Content,
    Descriptor,
    Held,
    ImageReference,
    Location,
    ModelFile,
    PlannedLayer,
    RawLayer,
    digest_of,
    layer_descriptor,
)
from kubectl_modelcar.memory import KnownLayer, Memory
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.sending.known import Known
from kubectl_modelcar.sending.seams import Base, ImageTarget, ModelSource
from kubectl_modelcar.sending.stream import LayerStream, WrongBytes
from kubectl_modelcar.sending.transfers import Transfers

HELD = 32 * 2**20  # bytes; the small layer up to here is made in memory, so that its digest is known before it is sent
SMALL = 2**20  # bytes; so are raw files up to here, of which many are made at once
_LENDERS = 2  # repositories that are asked to lend a blob

_T = TypeVar("_T")
Outcome = Literal["sent", "exists", "mounted"]


@dataclass(frozen=True, slots=True)
class PushedLayer:
    """A layer as it stands in the image: sent, there already, or lent by another repository of the registry."""

    descriptor: Descriptor
    files: tuple[ModelFile, ...]
    outcome: Outcome

    @property
    def sent(self) -> bool:
        """Whether its bytes went over the wire."""
        return self.outcome == "sent"


class Sender:
    """Brings layers to a target. `copy`, `find` and `send` are called by one thread."""

    def __init__(  # noqa: PLR0913  the parts that meet where bytes move
        self,
        source: ModelSource,
        target: ImageTarget,
        location: Location,
        *,
        known: Known,
        memory: Memory,
        transfers: Transfers,
        progress: Progress,
    ) -> None:
        self._source, self._target, self._location = source, target, location
        self._known, self._memory = known, memory
        self._transfers, self._progress = transfers, progress
        self._layers: dict[PlannedLayer, KnownLayer] = {}
        self._had: dict[str, Outcome] = {}
        self._sent: set[tuple[str, str]] = set()  # name and digest: of equal files one is sent
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        self._likely: set[PlannedLayer] = set()
        self._seen_before = False

    def find(self, plans: Sequence[PlannedLayer]) -> list[PlannedLayer]:
        """Look for the layers that need not be made, and return the others: their files will be read."""
        found = {plan: known for plan in plans if (known := self._known.find(plan))}
        outcomes = self._transfers.run(lambda known: self._look(known.digest), list(found.values()))
        there = {plan for plan, outcome in zip(found, outcomes, strict=True) if outcome}
        self._layers = {plan: known for plan, known in found.items() if plan in there}  # the others are made anew
        missing = [plan for plan in plans if plan not in there]
        self._likely = {plan for plan in missing if self._source.rereadable and self._known.resembles(plan)}
        return missing

    def copy(self, base: Base) -> list[PushedLayer]:
        """Send the base's layers that are not there."""
        return [self._copy(base, layer) for layer in base.image.layers]

    def send(self, plans: Sequence[PlannedLayer]) -> list[PushedLayer]:
        """Send the layers, in parallel, and return them in their order.

        A small layer goes first, alone: if the target has it, it probably has the rest, and files that can be read
        twice are then digested before anything of them is sent.
        """
        first = [self._send(plan, held=True) for plan in plans[:1] if plan.size <= HELD]
        self._seen_before = self._seen_before or any(not layer.sent for layer in first)
        return first + self._transfers.run(self._send, plans[len(first) :])

    def doubt(self) -> None:
        """Ask the target again for every blob that it was known to hold: some got lost."""
        self._had.clear()

    def _copy(self, base: Base, layer: Descriptor) -> PushedLayer:
        content = base.content(layer)
        self._progress.begin(content.name, layer.size)
        with self._alone(layer.digest):
            outcome = self._look(layer.digest, base.image.name)
            if outcome is None:
                self._upload(content, layer.digest)
        return self._done(content.name, layer, (), outcome)

    def _send(self, plan: PlannedLayer, *, held: bool = False) -> PushedLayer:
        self._progress.begin(plan.name, plan.size)
        key = self._known.key(plan)  # before a byte is read: a file that changes from now on has another
        stream = LayerStream(plan, self._source)
        known = self._layers.get(plan)
        held = held or (isinstance(plan, RawLayer) and plan.size <= SMALL)
        content, layer = (stream, known) if known else self._made(plan, stream, held=held)
        with self._alone(layer.digest if layer else plan.name):
            outcome = self._look(layer.digest) if layer else None
            if layer is None or outcome is None:
                sure = plan.digest if layer is None or known else layer.digest
                layer = KnownLayer(self._upload(content, sure), plan.size, stream.sha256)
                self._had[layer.digest] = "exists"
        self._layers[plan] = layer
        if key:
            self._memory.learn(key, layer)
        return self._done(plan.name, layer_descriptor(plan, layer.digest, layer.sha256), plan.files, outcome)

    def _made(self, plan: PlannedLayer, stream: LayerStream, *, held: bool) -> tuple[Content, KnownLayer | None]:
        """Return what to send of the layer, and its digest where knowing it is cheaper than sending it in vain."""
        if plan.digest:
            return stream, KnownLayer(plan.digest, plan.size, plan.sha256_from(plan.digest))
        if held:
            data = _twice(lambda: b"".join(map(bytes, stream.chunks())))
            return Held(plan.name, data), KnownLayer(digest_of(data), len(data), stream.sha256)
        if plan in self._likely or (self._source.rereadable and self._seen_before):
            running = hashlib.sha256()
            for chunk in stream.chunks():
                self._transfers.check()
                running.update(chunk)
            return stream, KnownLayer(f"sha256:{running.hexdigest()}", plan.size, stream.sha256)
        return stream, None

    def _look(self, digest: str, lender: str | None = None) -> Outcome | None:
        """Tell how the target has the blob, None when it has to be sent."""
        if digest not in self._had:
            if self._target.has_blob(digest):
                self._had[digest] = "exists"
            elif any(self._target.mount(digest, repository) for repository in self._lenders(digest, lender)):
                self._had[digest] = "mounted"
        return self._had.get(digest)

    def _lenders(self, digest: str, lender: str | None) -> list[str]:
        """Return the registry's other repositories that should hold the blob, the surest first."""
        if not isinstance(self._location, ImageReference):
            return []
        registry, slash, repository = (lender or "").partition("/")
        named = [repository] if slash and registry == self._location.registry else []
        found = dict.fromkeys([*named, *self._memory.places(self._location.registry, digest)])
        return [place for place in found if place != self._location.repository][:_LENDERS]

    def _upload(self, content: Content, digest: str | None) -> str:
        watched = self._transfers.watched(content)
        return _twice(lambda: self._target.upload(watched, digest))

    def _done(self, name: str, layer: Descriptor, files: tuple[ModelFile, ...], outcome: Outcome | None) -> PushedLayer:
        if isinstance(self._location, ImageReference):
            self._memory.saw(self._location.registry, layer.digest, self._location.repository)
        if outcome is None:
            self._sent.add((name, layer.digest))
        self._progress.end(name, outcome or "sent")
        return PushedLayer(layer, files, "sent" if (name, layer.digest) in self._sent else outcome or "sent")

    def _alone(self, digest: str) -> threading.Lock:
        """Return what keeps two threads from sending the same blob at once."""
        with self._lock:
            return self._locks[digest]


def _twice(attempt: Callable[[], _T]) -> _T:
    """Return what `attempt` returns; once more where bytes were wrong: a cache on the way may have had a bad copy."""
    try:
        return attempt()
    except WrongBytes:
        return attempt()
