"""What the cluster has of a release at one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubectl_modelcar.cluster.objects import (
    CLAIMS,
    DEPLOYMENTS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    ROUTE_API,
    ROUTES,
    Json,
    Objects,
    name_of,
)

__all__ = ["PULLER", "SERVER", "Container", "Snapshot", "labels_of", "read_snapshot", "routes_of"]

PULLER = "puller"
SERVER = "server"
"""The chart's names of the init container and of the container."""

_LOG_LINES = 120
_CRASH_LINES = 400
"""vLLM's tracebacks of three processes; the cause stands in the first of them."""
_REVISION = "deployment.kubernetes.io/revision"
_OVER = ("Failed", "Succeeded")


@dataclass(frozen=True, slots=True)
class Container:
    """A container's status, by the fields that matter here."""

    state: str
    """waiting, running, terminated; empty where nothing is known yet."""
    reason: str
    message: str
    restarts: int
    started: bool
    exit_code: int | None
    """Of the last time that it ended."""
    end_reason: str
    end_message: str
    """Why and with what last words it ended the last time."""

    @classmethod
    def of(cls, pod: Json, name: str) -> "Container":
        """Return the status of the container or init container `name`."""
        status: Mapping[str, Any] = pod.get("status") or {}
        statuses = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
        found: Json = next((one for one in statuses if one.get("name") == name), {})
        states: Mapping[str, Json] = found.get("state") or {}
        state, detail = next(iter(states.items()), ("", {}))
        ended = detail if state == "terminated" else (found.get("lastState") or {}).get("terminated") or {}
        return cls(
            state=state,
            reason=str(detail.get("reason") or ""),
            message=str(detail.get("message") or ""),
            restarts=int(found.get("restartCount") or 0),
            started=bool(found.get("started")),
            exit_code=ended.get("exitCode"),
            end_reason=str(ended.get("reason") or ""),
            end_message=str(ended.get("message") or ""),
        )

    @property
    def has_run(self) -> bool:
        """Whether it has been running at least once, so that its image is there."""
        return self.state in ("running", "terminated") or self.exit_code is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The objects of a release; pods are those of the newest revision that are not on their way out."""

    deployment: Json | None
    pods: Sequence[Json] = ()
    claim: Json | None = None
    routes: Sequence[Json] = ()
    events: Sequence[Json] = ()
    """Of the pods and the claim."""
    logs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(pod, container) to its last lines; only where they say something that the objects do not."""

    @property
    def claim_name(self) -> str | None:
        """The claim that the pods mount, None where they mount none."""
        volumes = _pod_spec(self.deployment or {}).get("volumes") or ()
        claims = (
            volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume
        )
        return next(claims, None)

    @property
    def replicas(self) -> int:
        """How many pods there should be."""
        return int((self.deployment or {}).get("spec", {}).get("replicas", 1))

    def events_of(self, body: Json) -> list[Json]:
        """Return an object's events, the newest last."""
        found = [event for event in self.events if event.get("involvedObject", {}).get("name") == name_of(body)]
        return sorted(found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def log(self, pod: Json, container: str) -> str:
        """Return the last lines of a container's log."""
        return self.logs.get((name_of(pod), container), "")


def labels_of(release: str) -> dict[str, str]:
    """Return the labels by which the chart marks the objects of a release."""
    return {"app.kubernetes.io/part-of": "modelcar", "app.kubernetes.io/instance": release}


def routes_of(objects: Objects, release: str) -> Sequence[Json]:
    """Return the Routes of a release; none where the cluster has no such thing.

    There a namespace's administrator who lists them is told 403 and not 404: the API server asks who may before it asks
    what is. Raises what `Objects` raises.
    """
    return objects.list(ROUTES, labels=labels_of(release)) if objects.offers(ROUTE_API) else ()


def read_snapshot(objects: Objects, release: str) -> Snapshot:
    """Look at everything that belongs to a release.

    Raises what `Objects` raises.
    """
    labels = labels_of(release)
    deployment = next(iter(objects.list(DEPLOYMENTS, labels=labels)), None)
    if deployment is None:
        return Snapshot(None)
    bare = Snapshot(deployment)
    claim = objects.get(CLAIMS, bare.claim_name) if bare.claim_name else None
    pods = _newest(deployment, objects.list(REPLICA_SETS, labels=labels), objects.list(PODS, labels=labels))
    return Snapshot(
        deployment,
        pods,
        claim,
        routes_of(objects, release),
        [event for body in _unsettled(pods, claim) for event in _events(objects, body)],
        {key: text for pod in pods for key, text in _logs(objects, pod).items()},
    )


def _newest(deployment: Json, replica_sets: Sequence[Json], pods: Sequence[Json]) -> list[Json]:
    revision = _annotation(deployment, _REVISION)
    owners = {each["metadata"]["uid"] for each in replica_sets if _annotation(each, _REVISION) == revision}
    return [
        pod
        for pod in pods
        if any(owner.get("uid") in owners for owner in pod["metadata"].get("ownerReferences") or ())
        and not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") not in _OVER
    ]


def _unsettled(pods: Sequence[Json], claim: Json | None) -> list[Json]:
    """Return the objects whose events can tell why nothing moves."""
    waiting = [pod for pod in pods if not Container.of(pod, PULLER).has_run]
    if claim is not None and (claim.get("status") or {}).get("phase") != "Bound":
        waiting.append(claim)
    return waiting


def _events(objects: Objects, body: Json) -> Sequence[Json]:
    return objects.list(EVENTS, fields={"involvedObject.name": name_of(body)})


def _logs(objects: Objects, pod: Json) -> dict[tuple[str, str], str]:
    puller, server, name = Container.of(pod, PULLER), Container.of(pod, SERVER), name_of(pod)
    logs = {}
    if puller.has_run and not server.started:
        logs[name, PULLER] = objects.log(name, PULLER, lines=_LOG_LINES)
    if server.has_run and not server.started:
        running = server.state == "running"
        lines = _LOG_LINES if running else _CRASH_LINES
        logs[name, SERVER] = objects.log(name, SERVER, lines=lines, previous=server.state == "waiting")
    return logs


def _pod_spec(deployment: Json) -> Mapping[str, Any]:
    found = deployment.get("spec", {}).get("template", {}).get("spec", {})
    return found if isinstance(found, dict) else {}


def _annotation(body: Json, name: str) -> str | None:
    found = (body["metadata"].get("annotations") or {}).get(name)
    return None if found is None else str(found)
