"""A helm release: what is asked of helm, and what it says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kubectl_modelcar.errors import ClusterFailure, LocalFailure
from kubectl_modelcar.text import one_line

__all__ = ["Helm", "Overrides", "Release", "ReleaseRequest"]


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the user's own `-f` and `--set` say; they win over our values, the later over the earlier."""

    files: tuple[Path, ...] = ()
    sets: tuple[str, ...] = ()
    """As helm's `--set` takes them: `server.port=9000`."""

    def check(self) -> None:
        """Refuse files that cannot be read, before any helm says it in words of its own. Raises LocalFailure."""
        for file in self.files:
            try:
                file.read_bytes()
            except OSError as error:
                raise LocalFailure(f"cannot read the values file {file}: {error.strerror}", "check -f") from error


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """A release as it is to be."""

    name: str
    namespace: str
    chart: Path
    """The chart's folder."""
    values: Mapping[str, Any]
    overrides: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True, slots=True)
class Release:
    """A release as helm knows it."""

    name: str
    namespace: str
    revision: int
    status: str
    """helm's word: deployed, failed, pending-install, ..."""
    manifest: str = field(default="", repr=False)

    @classmethod
    def from_json(cls, output: str) -> "Release":
        """Read what helm prints with `-o json`, and lines before it that it should not print (helm 4.2 does).

        Raises ClusterFailure.
        """
        try:
            found = json.loads(output[output.index("{") :])
            return cls.from_mapping(found)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ClusterFailure(
                f"cannot understand what helm printed: {one_line(output[:200]) or 'nothing'}", "try a newer helm"
            ) from error

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> "Release":
        """Read helm's release object. Raises KeyError, TypeError, AttributeError and ValueError."""
        status = found["info"]["status"] if "info" in found else found["status"]
        revision = found["version"] if "version" in found else found["revision"]
        return cls(
            str(found["name"]),
            str(found.get("namespace") or ""),
            int(revision),
            str(status),
            str(found.get("manifest") or ""),
        )


class Helm(Protocol):
    """Helm, whichever way it is there. All methods raise ClusterFailure, NotAuthorised, NetworkGaveUp, InvalidInput."""

    def upgrade(self, request: ReleaseRequest) -> Release:
        """Install or upgrade the release."""

    def render(self, request: ReleaseRequest) -> str:
        """Return the manifests (YAML documents) without a cluster."""

    def dry_run(self, request: ReleaseRequest) -> str:
        """Return the manifests (YAML documents) after the API server has looked at them."""

    def uninstall(self, name: str, namespace: str) -> bool:
        """Remove a release; tell whether there was one."""
