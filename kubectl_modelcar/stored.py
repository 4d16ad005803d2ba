"""What the commands that read need of an image that is stored somewhere: to pull it, to look into it, to verify it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kubectl_modelcar.image import Location
from kubectl_modelcar.progress import Progress

if TYPE_CHECKING:
    from kubectl_modelcar.chart import puller


class StoredImage(Protocol):
    """An image in a registry or an OCI layout folder."""

    @property
    def location(self) -> Location:
        """Where it is."""

    @property
    def manifest(self) -> "puller.Manifest":
        """Its manifest, verified."""

    def config(self) -> Mapping[str, Any]:
        """Return the image's config document; empty where an artifact has none."""

    def knows_files(self) -> bool:
        """Tell whether `files` needs a few bytes at most."""

    def files(self) -> "Sequence[puller.File]":
        """Return the model's files."""

    def blob_size(self, blob: "puller.Descriptor") -> int | None:
        """Return how many bytes of a blob are there, None where that is not said."""

    def survey(
        self, layers: "Sequence[puller.Descriptor]", *, jobs: int, progress: Progress
    ) -> "Sequence[puller.Survey]":
        """Read every byte of `layers` and return what they are."""

    def unpack(self, folder: Path, *, jobs: int, progress: Progress) -> "Sequence[puller.File]":
        """Write the model's files into `folder`, verified, all or nothing."""

    def stop(self) -> None:
        """End at once, and for good, what other threads wait for."""
