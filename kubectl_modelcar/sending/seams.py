"""What a push needs of a source, a target and a base image."""

from collections.abc import Iterator
from typing import Protocol

from kubectl_modelcar.image import BaseImage, Chunk, Content, Descriptor, Document, ModelFile
from kubectl_modelcar.source import Listing, Selection


class ModelSource(Protocol):
    """Where a model's files come from. Everything but `listing` is called from several threads."""

    @property
    def rereadable(self) -> bool:
        """Whether reading a file twice costs next to nothing."""

    def listing(self, selection: Selection) -> Listing:
        """Return the selected files."""

    def stamp(self, file: ModelFile) -> str | None:
        """Return what is another text whenever the file's bytes are others; None when nothing tells."""

    def chunks(self, file: ModelFile, start: int = 0) -> Iterator[Chunk]:
        """Yield the bytes of a file from `start` on, each chunk valid until the next is asked for."""

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

    def mount(self, digest: str, repository: str) -> bool:
        """Let another repository of the same registry lend the blob; tell whether it did."""

    def upload(self, content: Content, digest: str | None = None) -> str:
        """Send a blob and return its digest."""

    def put_manifest(self, document: Document, tag: str | None) -> str:
        """Publish a manifest under a tag, or by its digest alone; return the digest that is read there afterwards."""

    def stop(self) -> None:
        """End every upload under way, at once; called when a push fails."""


class Base(Protocol):
    """The image below the model."""

    @property
    def image(self) -> BaseImage:
        """Its config and layers."""

    def content(self, layer: Descriptor) -> Content:
        """Return the bytes of one of its layers."""
