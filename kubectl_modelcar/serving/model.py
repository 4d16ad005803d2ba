"""What serving has to know of a model image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.serving.architecture import Architecture

__all__ = ["ModelFacts", "ModelImage", "describe_model"]

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")
_CONFIGS = ("config.json", "params.json")
"""What vLLM reads a model's shape from: Hugging Face's file, or Mistral's."""


class ImageFile(Protocol):
    """A file of a model image."""

    @property
    def path(self) -> str:
        """Its path below the model's folder."""

    @property
    def size(self) -> int:
        """Its bytes."""


class Manifest(Protocol):
    """The manifest of an image."""

    @property
    def digest(self) -> str:
        """Its digest."""


class ModelImage(Protocol):
    """A model image that can be read."""

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""

    @property
    def needs_credentials(self) -> bool:
        """Whether nobody may read it without logging in."""

    def files(self) -> Sequence[ImageFile]:
        """Return the model's files."""

    def read_file(self, path: str) -> bytes:
        """Return one of them."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model image, as far as serving it depends on it."""

    reference: str
    """HOST/REPO."""
    digest: str
    tag: str
    total_bytes: int
    weight_bytes: int
    architecture: Architecture | None
    """None where the model has no `config.json` that says it."""


def describe_model(image: ModelImage, *, reference: str, tag: str) -> ModelFacts:
    """Read from the image `reference` (HOST/REPO) what serving depends on.

    Raises NotFoundOrRefused for an image that is no modelcar, IntegrityFailure for a damaged config.
    """
    files = {file.path: file.size for file in image.files()}
    config = next((path for path in _CONFIGS if path in files), None)
    if config is None:
        raise NotFoundOrRefused(
            f"{reference} is no modelcar: it holds no model with a config.json",
            "look inside: kubectl modelcar inspect IMAGE",
        )
    return ModelFacts(
        reference=reference,
        digest=image.manifest.digest,
        tag=tag,
        total_bytes=sum(files.values()),
        weight_bytes=sum(size for path, size in files.items() if path.endswith(_WEIGHTS)),
        architecture=Architecture.from_config(image.read_file(config)) if config == "config.json" else None,
    )
