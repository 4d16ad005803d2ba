"""Where a model's bytes come from: a repository of the Hugging Face Hub, or a folder."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kubectl_modelcar.errors import IntegrityFailure, InvalidInput, NotFoundOrRefused
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source.folder import FolderSource
from kubectl_modelcar.source.model import Listing, Origin
from kubectl_modelcar.source.safetensors import check_header
from kubectl_modelcar.source.selection import DEFAULT_PATTERNS, Selection, check_patterns, check_shards
from kubectl_modelcar.source.unsafe import HEAD, danger

if TYPE_CHECKING:
    from kubectl_modelcar.source.hub import HubSource
    from kubectl_modelcar.source.spool import SpooledSource

__all__ = [
    "DEFAULT_PATTERNS",
    "FolderSource",
    "Listing",
    "Origin",
    "Selection",
    "check_content",
    "check_patterns",
    "check_shards",
    "open_source",
]

_HUB_PREFIX = "hf://"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB = re.compile(rf"(?P<repository>{_NAME}(?:/{_NAME})?)(?:@(?P<revision>[^@\s]+))?")
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # git-lfs docs/spec.md
_HINT = "write it as ORG/NAME[@REVISION] for the Hub, or as ./FOLDER or /FOLDER"


def open_source(
    text: str, *, revision: str | None = None, spool: bool = False
) -> "FolderSource | HubSource | SpooledSource":
    """Return the source that SOURCE names; nothing is read yet. `spool` puts large files of the Hub on the disk first.

    Raises InvalidInput for text that is neither a folder nor a repository, or has two revisions.
    """
    if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
        if revision or spool:
            option = f"--revision {revision}" if revision else "--spool"
            raise InvalidInput(f"{option} makes no sense for the folder {text!r}", _HINT)
        return FolderSource(Path(text).expanduser())
    match = _HUB.fullmatch(text.removeprefix(_HUB_PREFIX))
    if not match or (not text.startswith(_HUB_PREFIX) and "/" not in match["repository"]):
        there = f"for the folder that is here write ./{text}" if text and Path(text).exists() else _HINT
        raise InvalidInput(f"source {text!r} is neither a folder nor a repository of the Hub", there)
    if revision and match["revision"] and revision != match["revision"]:
        raise InvalidInput(
            f"two revisions were given: {match['revision']} and --revision {revision}", "keep one of them"
        )

    _check_endpoint()
    from kubectl_modelcar.source.hub import HubModel, HubSource  # noqa: PLC0415  # 0.3 s that a folder need not wait for

    hub = HubSource(HubModel(match["repository"], match["revision"] or revision or "main"))
    if not spool:
        return hub
    from kubectl_modelcar.source.spool import SpooledSource  # noqa: PLC0415

    return SpooledSource(hub)


def _check_endpoint() -> None:
    """Refuse an HF_ENDPOINT that is no URL: the Hub's client ends on its import then, with a part of it in the error.

    An @ behind the host is one of a password with a slash before it, which would be taken for a path, and shown.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in endpoint.partition(parts.netloc)[2]:
        raise InvalidInput(
            "HF_ENDPOINT is no URL", "write it as https://HOST[:PORT], with %2F for a slash in a password and so on"
        )


def check_content(file: ModelFile, read: Callable[[int, int], bytes], *, allow_unsafe: bool = False) -> None:
    """Check what `file` holds, not what it is called; `read(offset, length)` returns bytes of it.

    Raises NotFoundOrRefused for a format that can run code when it is loaded (unless allowed), IntegrityFailure for a
    safetensors file whose header does not fit it.
    """
    head = read(0, min(HEAD, file.size))
    if head.startswith(_LFS_POINTER):
        raise IntegrityFailure(
            f"{file.path} is a Git LFS pointer and not the file itself", "run: git lfs pull, in the repository's folder"
        )
    found = None if allow_unsafe else danger(file.path, head)
    if found:
        raise NotFoundOrRefused(
            f"{file.path} is {found}: loading it can run code",
            "leave it out with --exclude, or accept it with --allow-unsafe",
        )
    if file.path.endswith(".safetensors"):
        check_header(file.path, file.size, read)
