"""What a source gives: a model's files, where they come from, and their bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubectl_modelcar.image import ModelFile

CHUNK = 1 << 20
"""Bytes read at a time: large enough that Python's share of the work vanishes, small enough for many jobs."""

MOST = 64 * 2**20 + 1
"""Bytes that a source's `read` returns at most, whatever is asked for: a byte more than any index that is known."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from, as the image will tell.

    `repository` and `revision` are the Hub's (None for a folder), `revision` a full commit; `created` is the commit's
    date in RFC 3339 (None: a folder's, or not told by a mirror); `licence` is what the model card declares.
    """

    text: str
    repository: str | None = None
    revision: str | None = None
    created: str | None = None
    licence: str | None = None

    def annotations(self) -> Mapping[str, str]:
        """Return the image-spec annotations that say so. A folder's path is this machine's and stays out."""
        known = {
            "org.opencontainers.image.source": self.repository and f"https://huggingface.co/{self.repository}",
            "org.opencontainers.image.revision": self.revision,
            "org.opencontainers.image.licenses": self.licence,
        }
        return {key: value for key, value in known.items() if value}


@dataclass(frozen=True, slots=True)
class Listing:
    """The selected files of a model, sorted by path, and their origin."""

    origin: Origin
    files: tuple[ModelFile, ...]
    left_out: tuple[str, ...] = field(default=())
