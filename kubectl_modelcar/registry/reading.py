"""Images that are there already: in a registry or in an OCI layout folder, read by the puller's own code."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import (
    IntegrityFailure,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import (
    ImageReference,
    LayoutReference,
    Location,
)
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.registry.access import RegistryAccess, repository_path
from kubectl_modelcar.registry.credentials import find_credential
from kubectl_modelcar.registry.translation import our_errors

_CHUNK = 1 << 20  # bytes
_MAX_CONFIG = 8 << 20  # bytes; real ones have kilobytes
_NAMED = 2  # parts that name a platform: operating system and architecture
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image whose manifest has been read and verified."""

    location: Location
    manifest: "puller.Manifest"
    source: "puller.Source"
    needs_credentials: bool = False

    def files(self) -> "Sequence[puller.File]":
        """Return the model's files: path, size in bytes, layer, sha256 where the image remembers it."""
        with our_errors():
            return puller.list_files(self.source, self.manifest)

    def read_file(self, path: str) -> bytes:
        """Return one file of the model whole, `config.json` for example.

        Raises NotFoundOrRefused when the image has no such file.
        """
        with our_errors():
            return puller.read_file(self.source, self.manifest, path)

    def config(self) -> Mapping[str, Any]:
        """Return the image's config document, verified; empty where an artifact has none.

        Raises IntegrityFailure for one that is too large or no JSON object.
        """
        if self.manifest.config.size > _MAX_CONFIG:
            raise IntegrityFailure(
                f"the config of {self.location} has {self.manifest.config.size} bytes", "ask whoever made the image"
            )
        try:
            config = json.loads(b"".join(map(bytes, self.chunks(self.manifest.config))) or b"{}")
        except (ValueError, RecursionError):
            config = None
        if not isinstance(config, dict):
            raise IntegrityFailure(f"the config of {self.location} is no JSON object", "ask whoever made the image")
        return config

    def chunks(self, blob: "puller.Descriptor") -> Iterator[memoryview]:
        """Yield the bytes of a blob of the image, each chunk valid until the next is asked for.

        Raises IntegrityFailure at the end if they are not what the descriptor says.
        """
        buffer, seen = memoryview(bytearray(_CHUNK)), hashlib.sha256()
        with our_errors(), closing(self.source.open(blob)) as body:
            while count := body.readinto(buffer):
                seen.update(buffer[:count])
                yield buffer[:count]
        if f"sha256:{seen.hexdigest()}" != blob.digest:
            raise IntegrityFailure(
                f"a blob of {self.location} is not what its digest {blob.digest} says",
                "push the image again, or ask whoever made it",
            )

    def knows_files(self) -> bool:
        """Tell whether `files` needs a few bytes at most: the manifest says what there is, or each layer is a file."""
        return puller.lists_cheaply(self.manifest)

    def blob_size(self, blob: "puller.Descriptor") -> int | None:
        """Return how many bytes of a blob are there, None where a registry does not say.

        Raises NotFoundOrRefused, or in a layout LocalFailure, when it is not there.
        """
        with our_errors():
            return self.source.blob_size(blob)

    def stop(self) -> None:
        """End at once, and for good, what other threads wait for."""
        self.source.stop()

    def survey(
        self, layers: "Sequence[puller.Descriptor]", *, jobs: int, progress: Progress
    ) -> "Sequence[puller.Survey]":
        """Read every byte of `layers`, write nothing, and return what they are; what is wrong with them is in there."""
        with our_errors():
            return puller.survey(self.source, layers, jobs=jobs, watch=progress)

    def require_platform(self, platform: str) -> None:
        """Assert that the image is for OS/ARCH[/VARIANT], as far as its config says what it is for.

        Raises NotFoundOrRefused.
        """
        config = self.config()
        found = [config.get(name) for name in ("os", "architecture", "variant")]
        parts = [part for part in found if isinstance(part, str) and part]
        if len(parts) >= _NAMED and not fits("/".join(parts), platform):
            raise NotFoundOrRefused(
                f"{self.location} is for {'/'.join(parts)}, not for {platform}", "leave out --platform to take it"
            )

    def unpack(self, folder: Path, *, jobs: int, progress: Progress) -> "Sequence[puller.File]":
        """Write the model's files into `folder`, verified, all or nothing."""
        with our_errors():
            return puller.unpack(self.source, self.manifest, folder, jobs=jobs, watch=progress)


@dataclass(frozen=True, slots=True)
class StoredImages:
    """What a name stands for: one image, or with `entries` an index of several."""

    location: Location
    digest: str
    media_type: str
    entries: "tuple[puller.Descriptor, ...] | None"
    source: "puller.Source"

    def open(self, digest: str) -> OpenImage:
        """Read the manifest of one of the images.

        Raises NotFoundOrRefused and IntegrityFailure when it is not there, or not what its digest says.
        """
        with our_errors():
            return OpenImage(self.location, puller.resolve(self.source, digest), self.source)


def open_images(location: Location, access: RegistryAccess) -> StoredImages:
    """Read what `location` names, without following an index."""
    if isinstance(location, LayoutReference):
        layout = puller.Layout(location.folder)
        with our_errors():
            return StoredImages(location, *puller.entries_of(layout, location.target), layout)
    (digest, media_type, entries), registry, _ = _reach(
        location, access, lambda source: puller.entries_of(source, location.target)
    )
    return StoredImages(location, digest, media_type, entries, registry)


def open_image(location: Location, access: RegistryAccess, *, platform: str = "linux/amd64") -> OpenImage:
    """Read the manifest that `location` names; an index is followed to `platform`.

    Without credentials first where a registry lets anybody read, so that `needs_credentials` tells the truth.
    """

    def resolve(source: "puller.Source", target: str) -> "puller.Manifest":
        return puller.resolve(source, target, platform)

    if isinstance(location, LayoutReference):
        layout = puller.Layout(location.folder)
        with our_errors():
            return OpenImage(location, resolve(layout, location.target), layout)
    manifest, registry, needs_credentials = _reach(location, access, lambda source: resolve(source, location.target))
    return OpenImage(location, manifest, registry, needs_credentials)


def _reach(
    location: ImageReference, access: RegistryAccess, read: "Callable[[puller.Registry], _Found]"
) -> "tuple[_Found, puller.Registry, bool]":
    """Return what `read` finds, where it did, and whether that took credentials."""
    try:
        # Once: a registry that limits the nameless (HTTP 429) has more patience with whom it knows.
        return _read(location, access, None, read, patience=puller.Patience(attempts=1))
    except (NotAuthorised, NotFoundOrRefused, NetworkGaveUp, IntegrityFailure) as error:
        # Some hide what one may not read behind a 404, a token service the nameless behind a page for people.
        credential = find_credential(location, access.authfile)
        if credential is None and not isinstance(error, NetworkGaveUp):
            raise
        tried = isinstance(error, NetworkGaveUp)  # that was one of the attempts that are made in all
        patience = puller.Patience(attempts=puller.Patience().attempts - 1) if tried else None
        return _read(location, access, credential, read, patience=patience)


def _read(
    reference: ImageReference,
    access: RegistryAccess,
    credential: "puller.Credential | None",
    read: "Callable[[puller.Registry], _Found]",
    *,
    patience: "puller.Patience | None" = None,
) -> "tuple[_Found, puller.Registry, bool]":
    with our_errors():
        registry = puller.Registry(
            access.origin(reference),
            repository_path(reference),
            credential,
            context=access.ssl_context(),
            patience=patience,
        )
        found = read(registry)
    registry.session.patience = puller.Patience()  # what is read from now on is worth several attempts
    return found, registry, credential is not None


def fits(found: str, platform: str) -> bool:
    """Tell whether an image for `found` is one for `platform`; a variant counts where both name one."""
    return found == platform or found.startswith(f"{platform}/") or platform.startswith(f"{found}/")
