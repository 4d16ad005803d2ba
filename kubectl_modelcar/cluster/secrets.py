"""What a release's pods are given apart from the chart: registry credentials, an API key, a registry's authority.

They never pass through helm, whose release history keeps every value that it was given.
"""

import base64
import binascii
import secrets
from collections.abc import Collection, Sequence

from kubectl_modelcar.cluster.objects import CONFIG_MAPS, SECRETS, Json, Kind, Objects, name_of
from kubectl_modelcar.errors import ClusterFailure

__all__ = [
    "API_KEY",
    "api_key_name",
    "ca_name",
    "check_free",
    "ensure_api_key",
    "give_ca",
    "give_pull_secret",
    "given_to",
    "pull_name",
    "take_back",
]

API_KEY = "api-key"
"""The chart's key in the API key's Secret."""
_MANAGER = "kubectl-modelcar"
_KEY_BYTES = 32
_WORDS = {SECRETS: "Secret", CONFIG_MAPS: "ConfigMap"}
"""The kinds that we give, in the singular."""


def pull_name(release: str) -> str:
    """Return the name of the Secret with the credentials of the model's registry."""
    return f"{release}-pull"


def api_key_name(release: str) -> str:
    """Return the name of the Secret with the key that requests must carry."""
    return f"{release}-api-key"


def ca_name(release: str) -> str:
    """Return the name of the ConfigMap with the authority of the model's registry."""
    return f"{release}-registry-ca"


def check_free(objects: Objects, release: str, names: Collection[str | None]) -> None:
    """Refuse those of `names` that we need for a release and that somebody else uses already; None is no name.

    Raises ClusterFailure, and what `Objects` raises.
    """
    for kind, name in _names(release):
        if name in names:
            _ours(objects, kind, name)


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

    Raises ClusterFailure where a Secret of that name is not ours, and what `Objects` raises.
    """
    present = _ours(objects, SECRETS, api_key_name(release))
    if present is None or not _has_key(present):
        key = base64.b64encode(secrets.token_urlsafe(_KEY_BYTES).encode()).decode()
        head = _head("Secret", api_key_name(release), release)
        _give(objects, SECRETS, {**head, "type": "Opaque", "data": {API_KEY: key}})


def give_ca(objects: Objects, release: str, pem: str) -> None:
    """Make or refresh the ConfigMap with the certificates that the model's registry is trusted by.

    Raises ClusterFailure where a ConfigMap of that name is not ours, and what `Objects` raises.
    """
    _give(objects, CONFIG_MAPS, {**_head("ConfigMap", ca_name(release), release), "data": {"ca.crt": pem}})


def given_to(objects: Objects, release: str) -> frozenset[tuple[Kind, str]]:
    """Return what a release was given, as kind and name.

    Raises what `Objects` raises.
    """
    labels = _labels(release)
    return frozenset((kind, name_of(body)) for kind in _WORDS for body in objects.list(kind, labels=labels))


def take_back(objects: Objects, release: str, *, but: frozenset[tuple[Kind, str]] = frozenset()) -> Sequence[str]:
    """Delete what we gave a release, except `but`, and return the names.

    Raises what `Objects` raises.
    """
    ours = sorted(given_to(objects, release) - but, key=lambda given: given[1])
    return [name for kind, name in ours if objects.delete(kind, name)]


def _give(objects: Objects, kind: Kind, body: Json) -> None:
    if _ours(objects, kind, name_of(body)) is None:
        objects.create(kind, body)
    else:
        objects.merge(kind, name_of(body), {"data": body["data"]})


def _ours(objects: Objects, kind: Kind, name: str) -> Json | None:
    """Return an object of ours, None where that name is free. Raises ClusterFailure where it is somebody else's."""
    present = objects.get(kind, name)
    if present and (present["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") != _MANAGER:
        raise ClusterFailure(
            f"{_WORDS[kind]} {name} in namespace {objects.namespace} is somebody else's, and we need that name",
            "rename or delete it, or choose another NAME",
        )
    return present


def _has_key(secret: Json) -> bool:
    try:
        return bool(base64.b64decode((secret.get("data") or {}).get(API_KEY) or "", validate=True).strip())
    except binascii.Error:
        return False


def _names(release: str) -> tuple[tuple[Kind, str], ...]:
    return (SECRETS, pull_name(release)), (SECRETS, api_key_name(release)), (CONFIG_MAPS, ca_name(release))


def _head(kind: str, name: str, release: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": _labels(release)}}


def _labels(release: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/part-of": "modelcar",
        "app.kubernetes.io/instance": release,
        "app.kubernetes.io/managed-by": _MANAGER,
    }
