"""How far a release is, stage by stage."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_modelcar.cluster import (
    NoWayThere,
    ProxyingObjects,
    Reached,
    Releases,
    Stage,
    read_snapshot,
    stages_of,
    wait_for_release,
)
from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.progress import Progress

__all__ = ["Status", "status"]


@dataclass(frozen=True, slots=True)
class Status:
    """A release at one moment."""

    name: str
    namespace: str
    stages: Sequence[Stage]
    reached: Reached | None
    """Where it answers; None while it does not, or where no way leads to it."""

    @property
    def is_ready(self) -> bool:
        """Whether every stage is done."""
        return all(stage.state == "done" for stage in self.stages)


def status(name: str, cluster: ProxyingObjects, progress: Progress, *, watch_for: float | None = None) -> Status:
    """Look at a release once, or for up to `watch_for` seconds until it is ready.

    Raises NotFoundOrRefused where there is none, and what waiting raises.
    """
    snapshot = read_snapshot(cluster, name)
    if snapshot.deployment is None:
        raise NotFoundOrRefused(
            f"there is no release {name} in namespace {cluster.namespace}",
            "check -n, or make one: kubectl modelcar install NAME IMAGE",
        )
    stages = stages_of(snapshot)
    if watch_for is not None:
        stages = tuple(wait_for_release(cluster, name, progress=progress, timeout=watch_for))
    ready = all(stage.state == "done" for stage in stages)
    return Status(name, cluster.namespace, stages, _reached(name, cluster) if ready else None)


def _reached(name: str, cluster: ProxyingObjects) -> Reached | None:
    try:
        return Releases(cluster).reach(name)
    except NoWayThere:
        return None  # an API key without a Route: it is ready, and a forwarded port leads to it
