"""What a release's pods are given apart from the chart: registry credentials, an API key, a registry's authority.

They never pass through helm, whose release history keeps every value that it was given.
"""

import base64
import secrets
from collections.abc import Sequence

from kubectl_modelcar.cluster.objects import CONFIG_MAPS, SECRETS, Json, Kind, Objects, name_of
from kubectl_modelcar.errors import ClusterFailure

__all__ = [
    "API_KEY",
    "api_key_name",
    "ca_name",
    "ensure_api_key",
    "give_ca",
    "give_pull_secret",
    "pull_name",
    "take_back",
]

API_KEY = "api-key"
"""The chart's key in the API key's Secret."""
_MANAGER = "kubectl-modelcar"
_KEY_BYTES = 32


def pull_name(release: str) -> str:
    """Return the name of the Secret with the credentials of the model's registry."""
    return f"{release}-pull"


def api_key_name(release: str) -> str:
    """Return the name of the Secret with the key that requests must carry."""
    return f"{release}-api-key"


def ca_name(release: str) -> str:
    """Return the name of the ConfigMap with the authority of the model's registry."""
    return f"{release}-registry-ca"


def give_pull_secret(objects: Objects, release: str, docker_config: bytes) -> None:
    """Make or refresh the pull Secret; `docker_config` is a docker config.json for that one registry.

    Raises ClusterFailure where a Secret of that name is not ours, and what `Objects` raises.
    """
    _give(
        objects,
        SECRETS,
        {
            **_head("Secret", pull_name(release), release),
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(docker_config).decode()},
        },
    )


def ensure_api_key(objects: Objects, release: str) -> None:
    """Make a random API key, unless the release has one already: whoever was given it may go on using it.

    Raises what `Objects` raises.
    """
    if objects.get(SECRETS, api_key_name(release)) is None:
        key = base64.b64encode(secrets.token_urlsafe(_KEY_BYTES).encode()).decode()
        objects.create(
            SECRETS,
            {**_head("Secret", api_key_name(release), release), "type": "Opaque", "data": {API_KEY: key}},
        )


def give_ca(objects: Objects, release: str, pem: str) -> None:
    """Make or refresh the ConfigMap with the certificates that the model's registry is trusted by.

    Raises ClusterFailure where a ConfigMap of that name is not ours, and what `Objects` raises.
    """
    _give(objects, CONFIG_MAPS, {**_head("ConfigMap", ca_name(release), release), "data": {"ca.crt": pem}})


def take_back(objects: Objects, release: str) -> Sequence[str]:
    """Delete what we gave a release and return the names.

    Raises what `Objects` raises.
    """
    labels = _labels(release)
    ours = [(kind, name_of(body)) for kind in (SECRETS, CONFIG_MAPS) for body in objects.list(kind, labels=labels)]
    return [name for kind, name in ours if objects.delete(kind, name)]


def _give(objects: Objects, kind: Kind, body: Json) -> None:
    name = name_of(body)
    present = objects.get(kind, name)
    if present is None:
        objects.create(kind, body)
        return
    if (present["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") != _MANAGER:
        raise ClusterFailure(
            f"{body['kind']} {name} in namespace {objects.namespace} is somebody else's, and we need that name",
            "rename or delete it, or choose another NAME",
        )
    objects.merge(kind, name, {"data": body["data"]})


def _head(kind: str, name: str, release: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": _labels(release)}}


def _labels(release: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/part-of": "modelcar",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/managed-by": _MANAGER,
    }
