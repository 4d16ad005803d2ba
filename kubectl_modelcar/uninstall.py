"""Remove a release; the claim, and with it the model, stays unless it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_modelcar.cluster import CLAIMS, Helm, Objects, labels_of, name_of, take_back
from kubectl_modelcar.errors import NotFoundOrRefused

__all__ = ["Uninstalled", "uninstall"]


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What was removed, and what stays."""

    name: str
    namespace: str
    removed: Sequence[str]
    """Names of the Secrets and ConfigMaps that were made beside the chart."""
    deleted_claims: Sequence[str]
    kept_claims: Sequence[str]


def uninstall(name: str, cluster: Objects, helm: Helm, *, delete_storage: bool) -> Uninstalled:
    """Uninstall a release. With `delete_storage` its claims go too, those that an earlier uninstall kept included.

    An install that was cut off may have left Secrets without a release: they go as well. Raises NotFoundOrRefused
    where there is nothing of that name, and what helm and the cluster raise.
    """
    existed = helm.uninstall(name, cluster.namespace)
    removed = take_back(cluster, name)
    present = cluster.list(CLAIMS, labels=labels_of(name))
    claims = [name_of(claim) for claim in present if not claim["metadata"].get("deletionTimestamp")]
    if not existed and not removed and not (delete_storage and claims):
        kept = f"; its claim {', '.join(claims)} is still there" if claims else ""
        raise NotFoundOrRefused(
            f"there is no release {name} in namespace {cluster.namespace}{kept}",
            "delete the claim: add --delete-storage" if claims else "check -n",
        )
    deleted = [claim for claim in claims if delete_storage and cluster.delete(CLAIMS, claim)]
    return Uninstalled(name, cluster.namespace, removed, deleted, [] if delete_storage else claims)
