"""Images that are there already: in a registry or in an OCI layout folder, read by the puller's own code."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import (
    IntegrityFailure,
    LocalFailure,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import (
    DEFAULT_TAG,
    RECIPE,
    RECIPE_ANNOTATION,
    Descriptor,
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
            raise IntegrityFailure(f"a blob of {self.location} is not what its digest {blob.digest} says")

    def unpack(self, folder: Path, *, jobs: int, progress: Progress) -> "Sequence[puller.File]":
        """Write the model's files into `folder`, verified, all or nothing."""
        with our_errors():
            return puller.unpack(self.source, self.manifest, folder, jobs=jobs, watch=progress)


def open_image(location: Location, access: RegistryAccess, *, platform: str = "linux/amd64") -> OpenImage:
    """Read the manifest that `location` names; an index is followed to `platform`.

    Without credentials first where a registry lets anybody read, so that `needs_credentials` tells the truth.
    """
    if isinstance(location, LayoutReference):
        source = puller.Layout(location.folder)
        with our_errors():
            return OpenImage(location, _resolve_in_layout(source, location, platform), source)
    try:
        # Once: a registry that limits the nameless (HTTP 429) has more patience with whom it knows.
        return _open(location, access, None, platform, patience=puller.Patience(attempts=1))
    except (NotAuthorised, NotFoundOrRefused, NetworkGaveUp) as error:  # some hide what one may not read behind a 404
        credential = find_credential(location, access.authfile)
        if credential is None and not isinstance(error, NetworkGaveUp):
            raise
        return _open(location, access, credential, platform)


def remembered_layers(location: Location, access: RegistryAccess) -> tuple[Descriptor, ...]:
    """Return the layers of the image that is there now, if we made it by the recipe of today; else none."""
    try:
        manifest = open_image(location, access).manifest
    except (NotAuthorised, NotFoundOrRefused, IntegrityFailure, LocalFailure):
        return ()
    if manifest.annotations.get(RECIPE_ANNOTATION) != RECIPE:
        return ()
    return tuple(Descriptor(layer.media_type, layer.digest, layer.size, layer.annotations) for layer in manifest.layers)


def _resolve_in_layout(source: "puller.Layout", location: LayoutReference, platform: str) -> "puller.Manifest":
    """Return the tagged image; without a tag the one that a push without a tag makes, else the only one there is."""
    if location.tag is None:
        with suppress(puller.PullError):
            return puller.resolve(source, DEFAULT_TAG, platform)
    return puller.resolve(source, location.target, platform)


def _open(
    reference: ImageReference,
    access: RegistryAccess,
    credential: "puller.Credential | None",
    platform: str,
    *,
    patience: "puller.Patience | None" = None,
) -> OpenImage:
    with our_errors():
        registry = puller.Registry(
            access.origin(reference),
            repository_path(reference),
            credential,
            context=access.ssl_context(),
            patience=patience,
        )
        manifest = puller.resolve(registry, reference.target, platform)
    registry.patience = puller.Patience()  # what is read from now on is worth several attempts
    return OpenImage(reference, manifest, registry, needs_credentials=credential is not None)
