"""Kubernetes objects as this program uses them: their JSON, and the few verbs that are needed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "CLAIMS",
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "EVENTS",
    "PODS",
    "REPLICA_SETS",
    "ROUTES",
    "ROUTE_API",
    "SECRETS",
    "SERVICES",
    "Json",
    "Kind",
    "Objects",
    "condition",
    "name_of",
]

Json = Mapping[str, Any]
"""An object as the API server gives it."""

ROUTE_API = "route.openshift.io/v1"


@dataclass(frozen=True, slots=True)
class Kind:
    """A namespaced kind of object."""

    api: str
    """Group and version, `v1` or `apps/v1`."""
    plural: str

    @property
    def prefix(self) -> str:
        """The path below which the API server has this group."""
        return f"/apis/{self.api}" if "/" in self.api else f"/api/{self.api}"


CLAIMS = Kind("v1", "persistentvolumeclaims")
CONFIG_MAPS = Kind("v1", "configmaps")
DEPLOYMENTS = Kind("apps/v1", "deployments")
EVENTS = Kind("v1", "events")
PODS = Kind("v1", "pods")
REPLICA_SETS = Kind("apps/v1", "replicasets")
ROUTES = Kind(ROUTE_API, "routes")
SECRETS = Kind("v1", "secrets")
SERVICES = Kind("v1", "services")


class Objects(Protocol):
    """Objects of one namespace. All methods raise NotAuthorised, NetworkGaveUp and ClusterFailure."""

    @property
    def namespace(self) -> str:
        """The namespace."""

    def get(self, kind: Kind, name: str) -> Json | None:
        """Return an object, or None where there is none of that name."""

    def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None
    ) -> Sequence[Json]:
        """Return the objects that have all these labels and field values."""

    def create(self, kind: Kind, body: Json) -> Json:
        """Make an object. Raises NotFoundOrRefused where the namespace is missing."""

    def merge(self, kind: Kind, name: str, body: Json) -> Json:
        """Change the fields of an object that `body` has (RFC 7396)."""

    def delete(self, kind: Kind, name: str) -> bool:
        """Delete an object; tell whether there was one."""

    def offers(self, api: str) -> bool:
        """Tell whether the cluster has an API group and version, such as `route.openshift.io/v1`."""

    def log(self, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """Return the last lines of a container's log; empty where it has none (yet)."""


def name_of(body: Json) -> str:
    """Return an object's name."""
    return str(body["metadata"]["name"])


def condition(body: Json, kind: str) -> Json | None:
    """Return the condition of that type from an object's status, or None."""
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((found for found in conditions if found.get("type") == kind), None)
