"""Where a release answers: at its Route, or through the API server's service proxy."""

import base64
import binascii
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from kubectl_modelcar.cluster.objects import DEPLOYMENTS, SECRETS, SERVICES, Json, Objects, condition, name_of
from kubectl_modelcar.cluster.snapshot import SERVER, labels_of, routes_of
from kubectl_modelcar.errors import ClusterFailure, InvalidInput, NotFoundOrRefused

__all__ = ["NoWayThere", "ProxyingObjects", "Reached", "Releases"]

_PORT = "http"
"""The chart's name of the Service's port."""


class NoWayThere(ClusterFailure):
    """A release runs, and neither a Route nor the API server can lead a chat to it."""


class ProxyingObjects(Objects, Protocol):
    """Objects, and the API server's way to Services."""

    @property
    def server(self) -> str:
        """URL of the API server."""

    @property
    def proxy(self) -> str | None:
        """URL of the proxy on the way to it; None is what the environment says."""

    def headers(self) -> Mapping[str, str]:
        """Who we are to the API server."""

    def ssl_context(self, *, public: bool = False) -> ssl.SSLContext:
        """Whom the kubeconfig trusts; with `public`, whom this system trusts as well, and without our certificate."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The way to a release. Fits `kubectl_modelcar.reach.ReachedRelease`."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    ssl_context: ssl.SSLContext | None = field(repr=False)
    model: str | None
    via: Literal["route", "service proxy"]
    inside: str
    """URL for programs inside the cluster, without /v1."""
    proxy: str | None = field(default=None, repr=False)
    """URL of the proxy on the way there, which may hold a password; None is what the environment says."""

    @property
    def public_url(self) -> str | None:
        """URL for other programs outside, with /v1; None where only the API server leads to it."""
        return f"{self.url}/v1" if self.via == "route" else None


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of a namespace. Fits `kubectl_modelcar.reach.ReleaseFinder`."""

    objects: ProxyingObjects

    def reach(self, name: str | None) -> Reached:
        """Find the way to the release `name`; None is the only one in the namespace.

        Raises NotFoundOrRefused where there is none, InvalidInput where there are several, ClusterFailure where no way
        leads to it, and what `Objects` raises.
        """
        release = name if name is not None else self._only()
        labels = labels_of(release)
        deployment = next(iter(self.objects.list(DEPLOYMENTS, labels=labels)), None)
        service = next(iter(self.objects.list(SERVICES, labels=labels)), None)
        if deployment is None or service is None:
            raise NotFoundOrRefused(
                f"there is no release {release} in namespace {self.objects.namespace}",
                self._others() or "make one: kubectl modelcar install NAME IMAGE",
            )
        if deployment["spec"].get("replicas") == 0:
            raise ClusterFailure(
                f"release {release} is stopped: it has no replicas",
                f"start it: kubectl scale deployment/{name_of(deployment)} --replicas 1 -n {self.objects.namespace}",
            )
        model = (deployment["metadata"].get("annotations") or {}).get("modelcar/served-name")
        return self._way(release, deployment, service, None if model is None else str(model))

    def _way(self, release: str, deployment: Json, service: Json, model: str | None) -> Reached:
        inside = f"http://{name_of(service)}.{self.objects.namespace}.svc:{_port(service)}"
        host = next((host for route in routes_of(self.objects, release) if (host := _admitted(route))), None)
        key = _key_reference(deployment)
        if host is not None:
            headers = {"Authorization": f"Bearer {self._key(release, key)}"} if key else {}
            return Reached(f"https://{host}", headers, self.objects.ssl_context(public=True), model, "route", inside)
        if key:
            # The proxy takes Authorization for itself: what the server needs never reaches it.
            raise NoWayThere(
                f"release {release} asks for an API key and has no admitted Route, and the way through the API server "
                "cannot carry a key",
                f"kubectl port-forward service/{name_of(service)} 8000:{_PORT} -n {self.objects.namespace}, then "
                "kubectl modelcar chat --url http://localhost:8000 --api-key-env VARIABLE",
            )
        path = f"/api/v1/namespaces/{self.objects.namespace}/services/http:{name_of(service)}:{_PORT}/proxy"
        headers, trust, proxy = dict(self.objects.headers()), self.objects.ssl_context(), self.objects.proxy
        return Reached(self.objects.server + path, headers, trust, model, "service proxy", inside, proxy)

    def _only(self) -> str:
        names = self._names()
        if len(names) > 1:
            raise InvalidInput(
                f"namespace {self.objects.namespace} has several releases: {', '.join(names)}", "name one of them"
            )
        if not names:
            raise NotFoundOrRefused(
                f"there is no release in namespace {self.objects.namespace}",
                "check -n, or make one: kubectl modelcar install NAME IMAGE",
            )
        return names[0]

    def _others(self) -> str:
        names = self._names()
        return f"there is: {', '.join(names)}" if names else ""

    def _names(self) -> list[str]:
        marked = self.objects.list(DEPLOYMENTS, labels={"app.kubernetes.io/part-of": "modelcar"})
        return sorted({str(each["metadata"]["labels"].get("app.kubernetes.io/instance")) for each in marked})

    def _key(self, release: str, reference: tuple[str, str]) -> str:
        name, key = reference
        secret = self.objects.get(SECRETS, name) or {}
        try:
            return base64.b64decode((secret.get("data") or {})[key], validate=True).decode("ascii").strip()
        except (KeyError, binascii.Error, UnicodeDecodeError) as error:
            raise NotFoundOrRefused(
                f"release {release} asks for the API key in Secret {name}, which has no usable {key}",
                "install again to have one made",
            ) from error


def _port(service: Json) -> int:
    ports: list[Mapping[str, Any]] = service["spec"].get("ports") or []
    return next((int(port["port"]) for port in ports if port.get("name") == _PORT), 8000)


def _admitted(route: Json) -> str | None:
    for router in (route.get("status") or {}).get("ingress") or ():
        if (condition({"status": router}, "Admitted") or {}).get("status") == "True" and router.get("host"):
            return str(router["host"])
    return None


def _key_reference(deployment: Json) -> tuple[str, str] | None:
    """Return Secret and key of the API key that the server asks for, None where it asks for none."""
    containers: list[Mapping[str, Any]] = deployment["spec"]["template"]["spec"].get("containers") or []
    for container in containers:
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if container.get("name") == SERVER and variable.get("name") == "VLLM_API_KEY" and reference:
                return str(reference["name"]), str(reference["key"])
    return None
