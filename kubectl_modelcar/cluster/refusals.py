"""What the API server refused, in our words.

Source: k8s.io/apimachinery/pkg/apis/meta/v1 Status and the texts of k8s.io/apiserver (registry, admission).
"""

import json
import re
from http import HTTPStatus

from kubectl_modelcar.errors import ClusterFailure, ModelcarError, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.text import one_line

__all__ = ["Conflict", "rbac_denial", "refusal"]

_RBAC = re.compile(r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"')


class Conflict(ClusterFailure):
    """An object of that name is there already, or somebody else has just changed it."""


def refusal(status: int, body: bytes, *, doing: str, server: str, namespace: str) -> ModelcarError:
    """Return the error for an answer with this status; `doing` is what we wanted: `make secrets x`."""
    message = _message(body)
    if status == HTTPStatus.UNAUTHORIZED:
        return NotAuthorised(
            f"the cluster at {server} does not accept our login (cannot {doing})",
            "it may have expired: log in again (oc login)",
        )
    if status == HTTPStatus.FORBIDDEN:
        return _forbidden(message, doing, namespace)
    if status == HTTPStatus.NOT_FOUND:
        return _missing(message, doing, namespace)
    if status == HTTPStatus.CONFLICT:
        return Conflict(f"cannot {doing}: the cluster says: {message}", "run the command again")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return NetworkGaveUp(f"cannot {doing}: the cluster at {server} is in trouble ({message})", "try again")
    return ClusterFailure(f"cannot {doing}: the cluster says: {message}")


def rbac_denial(message: str, what: str, namespace: str) -> NotAuthorised | None:
    """Return the error for a text in which RBAC says no to `what` (`make secrets x`); None for any other text."""
    denied = _RBAC.search(message)
    if denied is None:
        return None
    verb, resource = denied["verb"], denied["resource"]
    return NotAuthorised(
        f"cannot {what} in namespace {namespace}: the cluster does not allow {denied['user']} to {verb} {resource}",
        f"check -n, or ask for the role edit; see: kubectl auth can-i {verb} {resource} -n {namespace}",
    )


def _forbidden(message: str, doing: str, namespace: str) -> ModelcarError:
    if denial := rbac_denial(message, doing, namespace):
        return denial
    if "being terminated" in message:
        return ClusterFailure(
            f"cannot {doing}: namespace {namespace} is being deleted", "wait until it is gone, or use another"
        )
    return ClusterFailure(f"cannot {doing} in namespace {namespace}: the cluster says: {message}")


def _missing(message: str, doing: str, namespace: str) -> ModelcarError:
    if message.startswith("namespaces "):
        return NotFoundOrRefused(
            f"cannot {doing}: there is no namespace {namespace}", "check -n, or add --create-namespace"
        )
    return NotFoundOrRefused(f"cannot {doing}: the cluster says: {message}")


def _message(body: bytes) -> str:
    try:
        status = json.loads(body)
    except ValueError:
        return "an answer that is no JSON"
    message = status.get("message") if isinstance(status, dict) else None
    return one_line(str(message)) if message else "no reason given"
