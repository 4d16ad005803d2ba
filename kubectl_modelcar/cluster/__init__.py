"""The cluster: how it is reached, helm, Secrets, Routes, and what a release is waiting for.

Importing this door does not import `kubernetes`, which takes 0.4 s; `connect` does.
"""

from typing import TYPE_CHECKING, Any

from kubectl_modelcar.cluster.objects import CLAIMS, DEPLOYMENTS, ROUTE_API, Objects, name_of
from kubectl_modelcar.cluster.options import ClusterOptions
from kubectl_modelcar.cluster.reach import NoWayThere, ProxyingObjects, Reached, Releases
from kubectl_modelcar.cluster.release import Helm, Overrides, Release, ReleaseRequest
from kubectl_modelcar.cluster.secrets import (
    API_KEY,
    api_key_name,
    ca_name,
    check_free,
    ensure_api_key,
    give_ca,
    give_pull_secret,
    given_to,
    pull_name,
    take_back,
)
from kubectl_modelcar.cluster.snapshot import labels_of, read_snapshot
from kubectl_modelcar.cluster.stage import Stage
from kubectl_modelcar.cluster.stages import stages_of
from kubectl_modelcar.cluster.wait import Clock, wait_for_release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubectl_modelcar.cluster.api import Api

__all__ = [
    "API_KEY",
    "CLAIMS",
    "DEPLOYMENTS",
    "ROUTE_API",
    "Clock",
    "ClusterOptions",
    "Helm",
    "NoWayThere",
    "Objects",
    "Overrides",
    "ProxyingObjects",
    "Reached",
    "Release",
    "ReleaseRequest",
    "Releases",
    "Stage",
    "api_key_name",
    "ca_name",
    "check_free",
    "connect",
    "connect_with_helm",
    "ensure_api_key",
    "give_ca",
    "give_pull_secret",
    "given_to",
    "helm_alone",
    "labels_of",
    "name_of",
    "pull_name",
    "read_snapshot",
    "release_finder",
    "stages_of",
    "take_back",
    "wait_for_release",
]


def connect(options: ClusterOptions) -> "Api":
    """Log in to the cluster that the options and the kubeconfig mean; nothing is sent yet.

    Raises ClusterFailure, NotFoundOrRefused, LocalFailure and NotAuthorised.
    """
    return _connect(options)[0]


def connect_with_helm(options: ClusterOptions, helm_binary: str | None = None) -> "tuple[Api, Helm]":
    """Log in, and find a helm that goes to the same cluster as the same user.

    Raises what `connect` raises, and ClusterFailure where there is no helm.
    """
    from kubectl_modelcar.cluster.helm import find_helm  # noqa: PLC0415  for commands that need it

    api, kubeconfig = _connect(options)
    return api, find_helm(options, kubeconfig, helm_binary)


def helm_alone(helm_binary: str | None = None) -> Helm:
    """Find a helm that only renders.

    Raises ClusterFailure.
    """
    from kubectl_modelcar.cluster.helm import find_helm  # noqa: PLC0415  for commands that need it

    return find_helm(ClusterOptions(), None, helm_binary)


def release_finder(options: ClusterOptions) -> Releases:
    """Log in and return whoever finds the way to a release. Fits `kubectl_modelcar.reach.ReleaseFinder`.

    Raises what `connect` raises.
    """
    return Releases(connect(options))


def _connect(options: ClusterOptions) -> "tuple[Api, Mapping[str, Any] | None]":
    from kubectl_modelcar.cluster.api import connect_api  # noqa: PLC0415  imports kubernetes
    from kubectl_modelcar.cluster.kubeconfig import read_kubeconfig  # noqa: PLC0415  imports yaml

    login = read_kubeconfig(options)
    return connect_api(login, options.request_timeout), login.kubeconfig
