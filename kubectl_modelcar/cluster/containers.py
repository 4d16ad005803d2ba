"""The stages inside a pod: images, the puller, the server. Pure.

Reasons are the kubelet's: k8s.io/kubernetes pkg/kubelet/images/types.go and pkg/kubelet/container/sync_result.go.
"""

import re

from kubectl_modelcar.cluster.causes import puller_error, puller_progress, server_cause, server_phase
from kubectl_modelcar.cluster.objects import Json
from kubectl_modelcar.cluster.snapshot import PULLER, SERVER, Container, Snapshot
from kubectl_modelcar.cluster.stage import Stage
from kubectl_modelcar.text import one_line

__all__ = ["image_stage", "model_stage", "server_stage"]

_REGISTRY_PATIENCE = 30.0
"""Seconds in which the kubelet asks a registry about three times."""
_CONFIG_PATIENCE = 15.0
_MOUNT_PATIENCE = 60.0
_MOST_RESTARTS = 3
_MOST_OUT_OF_MEMORY = 2
_OUT_OF_MEMORY = "OOMKilled"
_TRIES_AGAIN = (1, 5, 6, 130, 137, 143)
"""Exit codes after which the puller's next try may well succeed: network, damaged bytes, killed."""

_UNPULLABLE = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
_HOPELESS = ("InvalidImageName", "ErrImageNeverPull")
_UNCREATABLE = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreStartHookError")
_REFUSED = re.compile(r"unauthorized|authoriz|authentic|denied|no basic auth|\b40[13]\b", re.IGNORECASE)
_ABSENT = re.compile(r"not found|manifest unknown|name unknown|does not exist|\b404\b", re.IGNORECASE)

_HINTS = (
    (
        re.compile(r"max seq len|max_model_len|KV cache|CUDA out of memory|OutOfMemoryError"),
        "give it less context (--context-length N) or more GPUs (--gpus N)",
    ),
    (re.compile(r"Failed to infer device type|No CUDA GPUs|libcuda"), "the node offers no GPU to the container"),
    (
        re.compile(r"does not recognize this architecture|are not supported"),
        "a newer --server-image may know the model",
    ),
    (re.compile(r"unrecognized arguments"), "the server's image does not know that flag; look at server.args"),
)


def image_stage(snapshot: Snapshot, pod: Json) -> Stage:
    """Tell whether the server's image is on the node; the puller runs in it too."""
    name = "server image"
    puller, server = Container.of(pod, PULLER), Container.of(pod, SERVER)
    waiting = next(
        (each for each in (puller, server) if each.reason in (*_UNPULLABLE, *_HOPELESS, *_UNCREATABLE)), None
    )
    if waiting is not None:
        return _unusable(name, snapshot, pod, waiting)
    if puller.has_run or server.has_run:
        return Stage(name, "done")
    events = snapshot.events_of(pod)
    last = next(
        (event for event in reversed(events) if event.get("reason") in ("FailedMount", "Pulling", "Pulled")), {}
    )
    message = one_line(str(last.get("message") or ""))
    if last.get("reason") == "FailedMount":
        return Stage(name, "failed", message, "does the Secret or ConfigMap exist?", _MOUNT_PATIENCE)
    return Stage(name, "waiting", message or "the node prepares the pod")


def model_stage(snapshot: Snapshot, pod: Json) -> Stage:
    """Tell how far the puller is."""
    name, puller = "model", Container.of(pod, PULLER)
    progress = puller_progress(snapshot.log(pod, PULLER))
    if puller.exit_code == 0 and puller.state != "running":
        return Stage(name, "done", progress)
    if not puller.exit_code:
        return Stage(name, "waiting", progress or "the puller starts")
    cause, hint = _puller_cause(puller, snapshot.log(pod, PULLER))
    if puller.exit_code in _TRIES_AGAIN and puller.restarts < _MOST_RESTARTS:
        now = progress if puller.state == "running" else ""
        return Stage(name, "waiting", f"try {puller.restarts + 1}: {now or cause}", hint)
    return Stage(name, "failed", cause, hint)


def server_stage(snapshot: Snapshot, pod: Json) -> Stage:
    """Tell whether the server has loaded the model, and what it is at."""
    name, server = "server", Container.of(pod, SERVER)
    if server.state == "running" and server.started:
        return Stage(name, "done")
    log = snapshot.log(pod, SERVER)
    phase = server_phase(log) if server.state == "running" else ""
    if server.exit_code is None:
        return Stage(name, "waiting", phase or "it starts")
    cause, hint = _server_cause(server, log)
    most = _MOST_OUT_OF_MEMORY if server.end_reason == _OUT_OF_MEMORY else _MOST_RESTARTS
    if server.restarts >= most:
        return Stage(name, "failed", f"it ended {server.restarts} times: {cause}", hint)
    return Stage(name, "waiting", f"start {server.restarts + 1}: {phase or cause}", hint)


def _puller_cause(puller: Container, log: str) -> tuple[str, str | None]:
    if puller.end_reason == _OUT_OF_MEMORY:
        return "the puller was killed: it is over its memory limit", "--set puller.resources.limits.memory=..."
    return puller_error(puller.end_message or log)


def _server_cause(server: Container, log: str) -> tuple[str, str | None]:
    if server.end_reason == _OUT_OF_MEMORY:
        return "it was killed: it is over its memory limit", "--set server.resources.limits.memory=..."
    # The log of a running container is not the one of its end; the kubelet keeps the last 2 kB of that.
    cause = server_cause(log if log and server.state != "running" else server.end_message)
    return cause, next((hint for pattern, hint in _HINTS if pattern.search(cause)), None)


def _unusable(name: str, snapshot: Snapshot, pod: Json, container: Container) -> Stage:
    if container.reason in _HOPELESS:
        return Stage(name, "failed", f"{container.reason}: {one_line(container.message)}", "correct --server-image")
    if container.reason in _UNCREATABLE:
        hint = _config_hint(container.message)
        return Stage(name, "failed", f"{container.reason}: {one_line(container.message)}", hint, _CONFIG_PATIENCE)
    cause = _pull_failure(snapshot, pod) or container.message
    if _REFUSED.search(cause):
        hint = "the cluster needs credentials for that registry: --set imagePullSecrets[0].name=SECRET"
    elif _ABSENT.search(cause):
        hint = "correct --server-image"
    else:
        return Stage(name, "waiting", one_line(cause), "the node must reach that registry")
    return Stage(name, "failed", one_line(cause), hint, _REGISTRY_PATIENCE)


def _pull_failure(snapshot: Snapshot, pod: Json) -> str:
    """Return the registry's words, which the container's status has only until the kubelet backs off."""
    for event in reversed(snapshot.events_of(pod)):
        message = str(event.get("message") or "")
        if event.get("reason") == "Failed" and message.startswith("Failed to pull image"):
            return message
    return ""


def _config_hint(message: str) -> str | None:
    if "run as root" in message or "non-numeric user" in message:
        return "the image runs as root: --set podSecurityContext.runAsUser=1001"
    if "not found" in message:
        return "make the Secret or ConfigMap that is missing"
    return None
