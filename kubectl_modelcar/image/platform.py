"""Platforms: an operating system, an architecture and perhaps a variant, as Go and image-spec name them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_modelcar.errors import InvalidInput

_PART = re.compile(r"[a-z0-9][a-z0-9_.-]*")
# What `uname -m` says, by Go's name for it (GOARCH; the first two are what people type).
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armv7l": "arm/v7"}
_LEAST, _MOST = 2, 3  # parts


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and an architecture, as Go names them; `variant` is for example arm64's "v8"."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str | None = None

    def __str__(self) -> str:
        """Return OS/ARCHITECTURE[/VARIANT]."""
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")

    @property
    def normal(self) -> "Platform":
        """The platform without a variant that goes without saying: arm64 is v8 (containerd, platforms.Normalize)."""
        implied = (self.architecture, self.variant) == ("arm64", "v8")
        return Platform(self.os, self.architecture) if implied else self

    def to_json(self) -> dict[str, str]:
        """Return the platform as image-spec's JSON object (image-index.md)."""
        data = {"architecture": self.architecture, "os": self.os}
        return data | ({"variant": self.variant} if self.variant else {})


def parse_platform(text: str) -> Platform:
    """Parse OS/ARCHITECTURE[/VARIANT] as it is typed.

    Raises InvalidInput; for a name of `uname` with Go's name for it.
    """
    parts = text.split("/")
    if not _LEAST <= len(parts) <= _MOST or not all(map(_PART.fullmatch, parts)):
        raise InvalidInput(
            f"platform {text!r} is not OS/ARCHITECTURE[/VARIANT]", "for example linux/amd64 or linux/arm64"
        )
    if parts[1] in _GO_NAMES:
        raise InvalidInput(
            f"platform {text!r}: images call {parts[1]} by another name", f"write {parts[0]}/{_GO_NAMES[parts[1]]}"
        )
    return Platform(*parts)


def require_different(platforms: Sequence[Platform]) -> None:
    """Raise InvalidInput for a platform that is named twice: a runtime would take any of its two images."""
    names = sorted(str(platform.normal) for platform in platforms)
    if len(set(names)) < len(names):
        raise InvalidInput(f"the platforms {', '.join(names)} are not all different", "name each --platform once")
