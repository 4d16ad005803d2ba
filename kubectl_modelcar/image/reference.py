"""Names of images: in a registry, or in an OCI layout folder.

Grammar: distribution-spec "Pulling manifests" (repository and tag), image-spec descriptor.md (digest).
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image.digest import DIGEST_PATTERN

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")
_LAYOUT_PREFIX = "oci:"
_MAX_PORT = 65535
_MAX_REPOSITORY = 255  # of host and repository together, in distribution: longer names get a bare 400

DEFAULT_TAG = "latest"
_HINT = "write it as HOST/REPO[:TAG] (for example quay.io/me/granite:1) or oci:FOLDER[:TAG]"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image in a registry; `tag` or `digest` may be absent, `digest` is canonical when both are there."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        """Return HOST/REPO[:TAG][@DIGEST]."""
        return (
            f"{self.registry}/{self.repository}"
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" if self.digest else "")
        )

    @property
    def name(self) -> str:
        """HOST/REPO, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or DEFAULT_TAG

    def at(self, digest: str) -> "ImageReference":
        """Return the same image pinned to `digest`, without its tag."""
        return replace(self, tag=None, digest=digest)


@dataclass(frozen=True, slots=True)
class LayoutReference:
    """An image in an OCI layout folder on this machine."""

    folder: Path
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        """Return oci:FOLDER[:TAG][@DIGEST]."""
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def name(self) -> str:
        """oci:FOLDER, without tag and digest."""
        return f"{_LAYOUT_PREFIX}{self.folder}"

    @property
    def target(self) -> str:
        """What to look for: the digest, else the tag; empty means the only image there is."""
        return self.digest or self.tag or ""


Location = ImageReference | LayoutReference


def parse_location(text: str) -> Location:
    """Parse IMAGE as it is typed.

    Raises InvalidInput naming every part that is wrong.
    """
    if "://" in text:
        raise InvalidInput(f"image {text!r} is no URL", _HINT)
    if text.startswith(_LAYOUT_PREFIX):
        return parse_layout(text)
    if text.startswith((".", "/", "~")):
        raise InvalidInput(f"image {text!r} does not name its registry", f"an OCI layout is written oci:{text}")
    rest, digest = _split(text, "@")
    host, slash, path = rest.partition("/")
    if not slash or not _names_a_host(host):
        raise InvalidInput(f"image {text!r} does not name its registry", _HINT)
    repository, tag = _split(path, ":")
    _refuse(
        text,
        None if _is_host(host) else f"host {host!r}",
        None if _is_repository(host, repository) else f"repository {repository!r}",
        *_tag_and_digest(tag, digest),
    )
    return ImageReference(host, repository, tag, digest)


def parse_tag(text: str) -> str:
    """Return the tag as it is typed, alone.

    Raises InvalidInput.
    """
    if not _TAG.fullmatch(text):
        raise InvalidInput(
            f"tag {text!r} is not valid", "a tag has letters, digits, '.', '_' and '-', at most 128 of them"
        )
    return text


def parse_layout(text: str) -> LayoutReference:
    """Parse oci:FOLDER[:TAG][@DIGEST] as it is typed.

    Raises InvalidInput naming every part that is wrong.
    """
    rest, digest = text.removeprefix(_LAYOUT_PREFIX), None
    if "@sha256:" in rest:
        rest, _, digest = rest.rpartition("@")
    folder, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # oci:/a:b/c has no tag
        folder, tag = rest, ""
    _refuse(
        text,
        None if folder else "the folder is missing",
        "the folder holds a NUL" if "\0" in folder else None,
        f"folder {folder!r} with a colon in its name" if ":" in PurePath(folder).name else None,
        *_tag_and_digest(tag if folder != rest else None, digest),
    )
    return LayoutReference(Path(folder), tag or None, digest)


def _tag_and_digest(tag: str | None, digest: str | None) -> tuple[str | None, str | None]:
    """Return what is wrong with each."""
    return (
        f"tag {tag!r}" if tag is not None and not _TAG.fullmatch(tag) else None,
        f"digest {digest!r}" if digest is not None and not DIGEST_PATTERN.fullmatch(digest) else None,
    )


def _refuse(text: str, *problems: str | None) -> None:
    if any(problems):
        raise InvalidInput(f"image {text!r} is not valid: {', '.join(filter(None, problems))}", _HINT)


def _split(text: str, mark: str) -> tuple[str, str | None]:
    head, found, tail = text.partition(mark)
    return head, tail if found else None


def _names_a_host(text: str) -> bool:
    """Tell a registry from the first part of a Docker Hub name, by docker's own rule."""
    return text == "localhost" or "." in text or ":" in text


def _is_host(text: str) -> bool:
    port = text.rpartition(":")[2]
    return bool(_HOST.fullmatch(text)) and (":" not in text or text.endswith("]") or 0 < int(port) <= _MAX_PORT)


def _is_repository(host: str, text: str) -> bool:
    return bool(_REPOSITORY.fullmatch(text)) and len(host) + 1 + len(text) <= _MAX_REPOSITORY
