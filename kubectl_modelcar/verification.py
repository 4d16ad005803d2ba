"""Verify an image where it is stored: what its manifest says against what is there, and who can read it."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NotFoundOrRefused
from kubectl_modelcar.image import Location, Verdict, consumers
from kubectl_modelcar.progress import Progress, Silent
from kubectl_modelcar.registry import annotation_problems, config_problems, image_facts, survey_problems
from kubectl_modelcar.stored import StoredImage

if TYPE_CHECKING:
    from kubectl_modelcar.chart import puller

_WRONG = (IntegrityFailure, NotFoundOrRefused, LocalFailure)  # what says something of the image, not of the way to it


_NO_PLATFORM = "unknown/unknown"  # what attestations carry in an index; no runtime takes it


class Stored(Protocol):
    """What a name stands for: one image, or an index of several."""

    @property
    def location(self) -> Location:
        """Where it is."""

    @property
    def digest(self) -> str:
        """Of the manifest or the index, verified."""

    @property
    def media_type(self) -> str:
        """Of the manifest or the index."""

    @property
    def entries(self) -> "tuple[puller.Descriptor, ...] | None":
        """The index's entries; None for an image."""

    def open(self, digest: str) -> StoredImage:
        """Read the manifest of one of the images."""


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """One image, what is wrong with it, and who can read it; `platform` is the index's word, None without an index."""

    digest: str
    platform: str | None
    blobs: Mapping[str, int]
    """The size in bytes, as the manifest says it, of each blob by digest."""
    problems: tuple[str, ...]
    consumers: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was verified, and how: with `deep` every byte was read."""

    location: Location
    digest: str
    media_type: str
    deep: bool
    images: tuple[VerifiedImage, ...]
    seconds: float

    @property
    def reference(self) -> str:
        """The image by digest."""
        return f"{self.location.name}@{self.digest}"

    @property
    def problems(self) -> tuple[str, ...]:
        """All that is wrong, each a sentence, once; an index without images is."""
        found = [problem for image in self.images for problem in image.problems]
        return tuple(dict.fromkeys(found if self.images else [f"the index {self.digest} names no image"]))

    @property
    def blobs(self) -> Mapping[str, int]:
        """The size in bytes of every blob by digest; images of an index share some."""
        return {digest: size for image in self.images for digest, size in image.blobs.items()}


def verify(stored: Stored, *, deep: bool = False, jobs: int = 4, progress: Progress | None = None) -> Verification:
    """Check that all blobs are there, at their sizes, and agree with manifest and config; with `deep`, every byte.

    Nothing is written, and memory does not grow with the image. Everything that is wrong is in the result.

    Raises NetworkGaveUp and NotAuthorised when it cannot be told.
    """
    started = time.monotonic()
    check = _Check(stored, jobs, progress or Silent(), deep=deep)
    images = [check.entry(entry) for entry in stored.entries] if stored.entries is not None else [check.image()]
    return Verification(
        stored.location, stored.digest, stored.media_type, deep, tuple(images), time.monotonic() - started
    )


@dataclass
class _Check:
    """A verification under way; what images of an index share is looked at once."""

    stored: Stored
    jobs: int
    progress: Progress
    deep: bool
    missing: dict[tuple[str, int], str] = field(default_factory=dict)
    """What is wrong with a blob, "" for nothing, by digest and size."""
    surveys: "dict[object, puller.Survey]" = field(default_factory=dict)

    def entry(self, entry: "puller.Descriptor") -> VerifiedImage:
        """Verify an image of an index."""
        named = entry.platform or {}
        platform = "/".join(filter(None, (named.get(part) for part in ("os", "architecture", "variant"))))
        try:
            found = self.image(entry.digest, platform or None)
        except _WRONG as error:
            return VerifiedImage(entry.digest, platform or None, {}, (error.message,), ())
        size = found.blobs.get(entry.digest)
        if size == entry.size:
            return found
        wrong = f"the manifest {entry.digest} has {size} bytes; the index says {entry.size}"
        if size is None:  # the image was found one floor down
            wrong = f"{entry.digest} is an index in an index, which not every consumer follows"
        return VerifiedImage(entry.digest, found.platform, found.blobs, (wrong, *found.problems), found.consumers)

    def image(self, digest: str = "", platform: str | None = None) -> VerifiedImage:
        """Verify an image: blobs, config, annotations, and with `deep` the bytes of its layers."""
        image = self.stored.open(digest or self.stored.digest)
        manifest = image.manifest
        problems = self._blobs(image)
        config: Mapping[str, Any] = {}
        if not self.missing[_claim(manifest.config)]:
            try:
                config = image.config()
                problems += config_problems(manifest, config)
            except _WRONG as error:
                problems.append(error.message)
        problems += annotation_problems(manifest)
        surveys = self._surveys(image) if self.deep else None
        for layer, survey in surveys or ():
            problems += survey_problems(manifest, config, layer, survey)
        facts = image_facts(manifest, config, surveys=surveys)
        if not problems:
            problems += self._conflicts(image) if image.knows_files() else []
            if facts.contents.model is False and platform != _NO_PLATFORM:
                problems.append(f"no model in {self.stored.location}: no file below models/ and no titled layer")
        blobs = {blob.digest: blob.size for blob in (manifest.config, *manifest.layers)}
        verdicts = () if platform == _NO_PLATFORM else consumers(facts)
        return VerifiedImage(
            manifest.digest, platform, {manifest.digest: len(manifest.raw), **blobs}, _once(problems), verdicts
        )

    def _blobs(self, image: StoredImage) -> list[str]:
        blobs = {_claim(blob): blob for blob in (image.manifest.config, *image.manifest.layers)}
        asked = {claim: blob for claim, blob in blobs.items() if claim not in self.missing}
        with ThreadPoolExecutor(self.jobs, "blob") as pool, ExitStack() as failing:
            failing.callback(pool.shutdown, wait=False, cancel_futures=True)
            failing.callback(image.stop)  # what is silent is not waited for
            asking = {pool.submit(_lack, image, blob): claim for claim, blob in asked.items()}
            self.missing.update({asking[done]: done.result() for done in as_completed(asking)})
            failing.pop_all()
        return [self.missing[claim] for claim in blobs if self.missing[claim]]

    def _surveys(self, image: StoredImage) -> "list[tuple[puller.Descriptor, puller.Survey]]":
        layers = [layer for layer in image.manifest.layers if not self.missing[_claim(layer)]]
        unread = {_key(layer): layer for layer in layers if _key(layer) not in self.surveys}
        found = image.survey(list(unread.values()), jobs=self.jobs, progress=self.progress)
        self.surveys.update(zip(unread, found, strict=True))
        return [(layer, self.surveys[_key(layer)]) for layer in layers]

    def _conflicts(self, image: StoredImage) -> list[str]:
        """Return what keeps the layers' files from lying in one folder."""
        try:
            image.files()
        except _WRONG as error:
            return [error.message]
        return []


def _claim(blob: "puller.Descriptor") -> tuple[str, int]:
    return blob.digest, blob.size


def _key(layer: "puller.Descriptor") -> object:
    """Return what a layer's survey depends on: two files of the same bytes are two layers with one digest."""
    return layer.digest, layer.media_type, tuple(sorted(layer.annotations.items()))


def _lack(image: StoredImage, blob: "puller.Descriptor") -> str:
    try:
        size = image.blob_size(blob)
    except _WRONG as error:
        return error.message
    wrong = size not in (None, blob.size)
    return f"the blob {blob.digest} has {size} bytes; its manifest says {blob.size}" if wrong else ""


def _once(problems: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(problems))
