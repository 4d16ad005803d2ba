"""Objects as Kubernetes 1.36 makes them for the chart's release, cut down to the fields that anybody here reads."""

LABELS = {"app.kubernetes.io/part-of": "modelcar", "app.kubernetes.io/instance": "g"}
REVISION = {"deployment.kubernetes.io/revision": "2"}
POD = "g-modelcar-abc-1"


def deployment(*, replicas=1, conditions=(), generation=2, observed=2, env=(), claim="g-modelcar-models", name="g"):
    """Return the release's Deployment."""
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
    labels = {**LABELS, "app.kubernetes.io/instance": name}
    return {
        "metadata": {
            "name": f"{name}-modelcar",
            "labels": labels,
            "generation": generation,
            "annotations": {
                **REVISION,
                "modelcar/image": "quay.io/me/granite:1@sha256:11",
                "modelcar/served-name": "granite",
            },
        },
        "spec": {
            "replicas": replicas,
            "template": {
                "spec": {"volumes": volumes, "containers": [{"name": "server", "env": list(env)}]},
            },
        },
        "status": {"observedGeneration": observed, "conditions": list(conditions)},
    }


def replica_set(*, uid="rs-2", revision="2"):
    """Return a ReplicaSet of the Deployment."""
    return {
        "metadata": {
            "name": uid,
            "uid": uid,
            "labels": LABELS,
            "annotations": {"deployment.kubernetes.io/revision": revision},
        }
    }


def pod(*, puller=None, server=None, scheduled=True, ready=False, name=POD, owner="rs-2", message="", **metadata):
    """Return a pod; `puller` and `server` are the statuses of its containers."""
    conditions = [{"type": "PodScheduled", "status": "True" if scheduled else "False", "message": message}]
    conditions.append({"type": "Ready", "status": "True" if ready else "False"})
    status = {"phase": "Pending", "conditions": conditions}
    if puller is not None:
        status["initContainerStatuses"] = [{"name": "puller", **puller}]
    if server is not None:
        status["containerStatuses"] = [{"name": "server", **server}]
    return {
        "metadata": {"name": name, "labels": LABELS, "ownerReferences": [{"uid": owner}], **metadata},
        "spec": {"nodeName": "node1"} if scheduled else {},
        "status": status,
    }


def claim(*, phase="Bound", size="20Gi", name="g-modelcar-models", **metadata):
    """Return the release's claim."""
    return {
        "metadata": {"name": name, "labels": LABELS, **metadata},
        "spec": {"resources": {"requests": {"storage": size}}},
        "status": {"phase": phase, **({"capacity": {"storage": size}} if phase == "Bound" else {})},
    }


def event(about, reason, message, *, at="2026-11-24T10:00:00Z", name=None):
    """Return an event about an object."""
    return {
        "metadata": {"name": name or f"{about}.{reason}.{at}"},
        "involvedObject": {"name": about},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def service(name="g"):
    """Return the release's Service."""
    return {
        "metadata": {"name": f"{name}-modelcar", "labels": {**LABELS, "app.kubernetes.io/instance": name}},
        "spec": {"ports": [{"name": "http", "port": 8000}]},
    }


def route(*, admitted=None, host="g.apps.example.com", reason="", message=""):
    """Return the release's Route; `admitted` None is a Route that no router has looked at."""
    ingress = []
    if admitted is not None:
        status = "True" if admitted else "False"
        ingress = [
            {
                "host": host,
                "conditions": [{"type": "Admitted", "status": status, "reason": reason, "message": message}],
            }
        ]
    return {"metadata": {"name": "g-modelcar", "labels": LABELS}, "spec": {}, "status": {"ingress": ingress}}


def running(*, started=True, restarts=0, last=None):
    """Return the status of a container that runs."""
    return {
        "state": {"running": {}},
        "started": started,
        "restartCount": restarts,
        "lastState": {"terminated": last} if last else {},
    }


def ended(code=0, *, reason="Completed", message="", restarts=0):
    """Return the status of a container that has ended."""
    return {
        "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}},
        "restartCount": restarts,
    }


def waiting(reason="PodInitializing", message="", *, restarts=0, last=None):
    """Return the status of a container that waits; `last` is how it ended before."""
    return {
        "state": {"waiting": {"reason": reason, "message": message}},
        "restartCount": restarts,
        "lastState": {"terminated": last} if last else {},
    }
