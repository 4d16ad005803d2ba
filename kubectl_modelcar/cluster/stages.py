"""The stages of a release from helm's word to an open door, each with its cause when it is stuck. Pure.

`install` waits by them and `status` prints them once: one model for both.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from kubectl_modelcar.cluster.containers import image_stage, model_stage, server_stage
from kubectl_modelcar.cluster.objects import Json, condition, name_of
from kubectl_modelcar.cluster.snapshot import Snapshot
from kubectl_modelcar.cluster.stage import Stage
from kubectl_modelcar.text import one_line

__all__ = ["stages_of", "stuck_at"]

_CONTROLLER_PATIENCE = 20.0
_PROVISIONER_PATIENCE = 60.0
_ROUTER_PATIENCE = 30.0
"""Seconds that a failure may last before it is believed: each of these controllers tries again by itself."""
_CLAIM = "claim"
_NO_GPU = re.compile(r"Insufficient [\w.-]+/")
"""An extended resource has a slash in its name: nvidia.com/gpu."""
_UNBOUND = "unbound immediate PersistentVolumeClaims"


def stages_of(snapshot: Snapshot) -> tuple[Stage, ...]:
    """Return all stages; those behind the first that is not done are pending.

    With several pods it is the one that is furthest behind.
    """
    candidates = [tuple(_in_order(snapshot, pod)) for pod in snapshot.pods or (None,)]
    return min(candidates, key=_progress)


def stuck_at(stages: Sequence[Stage]) -> Stage | None:
    """Return the stage that failed, else the last one that is waiting, else None."""
    failed = [stage for stage in stages if stage.state == "failed"]
    waiting = [stage for stage in stages if stage.state == "waiting"]
    return next(iter((*failed[:1], *waiting[-1:])), None)


def _progress(stages: Sequence[Stage]) -> tuple[int, bool]:
    states = [stage.state for stage in stages]
    return states.count("done"), "failed" not in states


def _in_order(snapshot: Snapshot, pod: Json | None) -> Iterator[Stage]:
    blocked = False
    for name, look in _looks(snapshot, pod):
        stage = Stage(name, "pending") if blocked else look()
        # A claim may wait for the pod's node (WaitForFirstConsumer): that is no reason not to look at the pod.
        blocked = blocked or stage.state == "failed" or (stage.state == "waiting" and name != _CLAIM)
        yield stage


def _looks(snapshot: Snapshot, pod: Json | None) -> Iterator[tuple[str, Callable[[], Stage]]]:
    inside = pod or {}  # without a pod nothing behind the node is looked at
    yield "release", lambda: _release(snapshot)
    if snapshot.claim_name:
        yield _CLAIM, lambda: _claim(snapshot)
    yield "node", lambda: _node(snapshot, pod)
    yield "server image", lambda: image_stage(snapshot, inside)
    yield "model", lambda: model_stage(snapshot, inside)
    yield "server", lambda: server_stage(snapshot, inside)
    yield "ready", lambda: _ready(snapshot)
    if snapshot.routes:
        yield "route", lambda: _route(snapshot.routes[0])


def _release(snapshot: Snapshot) -> Stage:
    name, deployment = "release", snapshot.deployment
    if deployment is None:
        return Stage(name, "waiting", "its Deployment is not there")
    failure = condition(deployment, "ReplicaFailure")
    if failure and failure.get("status") == "True":
        message = str(failure.get("message") or "")
        return Stage(name, "failed", one_line(message), _pod_refusal_hint(message), _CONTROLLER_PATIENCE)
    seen = (deployment.get("status") or {}).get("observedGeneration") or 0
    if seen < (deployment["metadata"].get("generation") or 0):
        return Stage(name, "waiting", "the cluster has not looked at it yet")
    image = (deployment["metadata"].get("annotations") or {}).get("modelcar/image") or ""
    return Stage(name, "done", one_line(str(image)))


def _pod_refusal_hint(message: str) -> str | None:
    if "exceeded quota" in message or "failed quota" in message:
        return "free some of the namespace's quota, or ask for less (--gpus, --set server.resources...)"
    if "violates PodSecurity" in message or "security context constraint" in message:
        return "the namespace's security rules refuse the pod; look at podSecurityContext in -f and --set"
    if "maximum" in message or "minimum" in message:
        return "the namespace has a LimitRange; set server.resources and puller.resources to fit it"
    return None


def _claim(snapshot: Snapshot) -> Stage:
    claim = snapshot.claim
    if claim is None:
        return Stage(_CLAIM, "waiting", f"{snapshot.claim_name} does not exist")
    name, status = name_of(claim), claim.get("status") or {}
    if status.get("phase") == "Bound":
        size = (status.get("capacity") or {}).get("storage") or ""
        return Stage(_CLAIM, "done", f"{name}, {size}" if size else name)
    if status.get("phase") == "Lost":
        way_out = "kubectl modelcar uninstall NAME --delete-storage, then install again"
        return Stage(_CLAIM, "failed", f"the volume of {name} is gone", way_out)
    return _unbound(snapshot, claim)


def _unbound(snapshot: Snapshot, claim: Json) -> Stage:
    known = ("ProvisioningFailed", "FailedBinding", "WaitForFirstConsumer", "WaitForPodScheduled")
    last = next((event for event in reversed(snapshot.events_of(claim)) if event.get("reason") in known), {})
    message = one_line(str(last.get("message") or ""))
    if last.get("reason") in known[:2]:
        return Stage(
            _CLAIM,
            "failed",
            message,
            "choose a class by --storage-class (kubectl get storageclass)",
            _PROVISIONER_PATIENCE,
        )
    if last:
        return Stage(_CLAIM, "waiting", "it is made where the pod goes")
    return Stage(_CLAIM, "waiting", "the storage class makes it")


def _node(snapshot: Snapshot, pod: Json | None) -> Stage:
    name = "node"
    if snapshot.replicas == 0:
        return Stage(name, "waiting", "replicas is 0, so nothing runs")
    if pod is None:
        return Stage(name, "waiting", "there is no pod yet")
    scheduled = condition(pod, "PodScheduled") or {}
    if scheduled.get("status") == "True":
        return Stage(name, "done", str((pod.get("spec") or {}).get("nodeName") or ""))
    message = str(scheduled.get("message") or "")
    if _UNBOUND in message:
        return Stage(name, "waiting", "the claim has no volume yet")
    return Stage(name, "waiting", one_line(message) or "the scheduler looks for a node", _scheduling_hint(message))


def _scheduling_hint(message: str) -> str | None:
    if _NO_GPU.search(message):
        return "no node has that many free GPUs: ask for fewer (--gpus), or use --accelerator cpu"
    if "Insufficient" in message:
        return "no node has that much free: --set server.resources.requests..."
    if "taint" in message:
        return "the nodes that would fit are tainted: --set tolerations[0]..."
    if "volume node affinity" in message:
        return "the volume is in another zone than the nodes that fit: use a storage class that waits for the pod"
    return None


def _ready(snapshot: Snapshot) -> Stage:
    ready = [pod for pod in snapshot.pods if (condition(pod, "Ready") or {}).get("status") == "True"]
    detail = f"{len(ready)} of {snapshot.replicas} pods" if snapshot.replicas > 1 else ""
    if snapshot.replicas and len(ready) >= snapshot.replicas:
        return Stage("ready", "done", detail)
    return Stage("ready", "waiting", detail or "the server does not answer /health yet")


def _route(route: Json) -> Stage:
    name, ingress = "route", (route.get("status") or {}).get("ingress") or ()
    for router in ingress:
        admitted = condition({"status": router}, "Admitted") or {}
        if admitted.get("status") == "True":
            return Stage(name, "done", f"https://{one_line(str(router.get('host')))}")
        if admitted.get("status") == "False":
            cause = f"{admitted.get('reason')}: {admitted.get('message')}"
            return Stage(name, "failed", one_line(cause), "choose another host: --set route.host=...", _ROUTER_PATIENCE)
    return Stage(name, "waiting", "no router has admitted it")
