"""The cluster: how it is reached, helm, Secrets, Routes, and what a release is waiting for.

Importing this door does not import `kubernetes`, which takes 0.4 s; `connect` does.
"""

from typing import TYPE_CHECKING

from kubectl_modelcar.cluster.objects import Objects
from kubectl_modelcar.cluster.options import ClusterOptions

if TYPE_CHECKING:
    from kubectl_modelcar.cluster.api import Api

__all__ = ["ClusterOptions", "Objects", "connect"]


def connect(options: ClusterOptions) -> "Api":
    """Log in to the cluster that the options and the kubeconfig mean; nothing is sent yet.

    Raises ClusterFailure, NotFoundOrRefused, LocalFailure and NotAuthorised.
    """
    from kubectl_modelcar.cluster.api import connect_api  # noqa: PLC0415  imports kubernetes
    from kubectl_modelcar.cluster.kubeconfig import read_kubeconfig  # noqa: PLC0415  imports yaml

    return connect_api(read_kubeconfig(options), options.request_timeout)
