"""Find the server to chat with: a URL that the user gives, or a release on the cluster."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from kubectl_modelcar.chat import Endpoint, bearer, trust
from kubectl_modelcar.errors import InvalidInput

__all__ = ["Access", "ReachedRelease", "ReleaseFinder", "reach"]


class ReachedRelease(Protocol):
    """Where a release answers."""

    @property
    def url(self) -> str:
        """The URL under which `/v1` is found."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request must carry."""

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Whom to trust, and who we are; None trusts what this system trusts."""

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy on the way there; None is what the environment says."""

    @property
    def model(self) -> str | None:
        """The name that the model is served under, if the release says it."""

    @property
    def via(self) -> Literal["route", "service proxy"]:
        """Through what: the release's Route, or the API server."""


class ReleaseFinder(Protocol):
    """Whoever knows the cluster: `kubectl_modelcar.cluster.release_finder(options)` returns one."""

    def reach(self, name: str | None) -> ReachedRelease:
        """Find the release `name`; None is the only one in the namespace."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the user wants the server to be trusted, and who the user is to it."""

    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    """PEM; these authorities and no others."""
    insecure: bool = False
    """Trust whoever answers."""

    @property
    def is_default(self) -> bool:
        """Whether the user said nothing."""
        return self == Access()


def reach(
    name: str | None,
    *,
    url: str | None,
    model: str | None,
    access: Access,
    connect: Callable[[], ReleaseFinder],
) -> Endpoint:
    """Return the endpoint at `url`, or else that of the release `name`; the cluster is asked only for a release.

    `model` overrides what the release says. Raises InvalidInput, LocalFailure, and what the finder raises.
    """
    if url is None:
        return _of_release(connect().reach(name), model, access)
    if name is not None:
        raise InvalidInput(
            f"a URL and the name of a release ({name}) were given",
            "leave one out; a prompt of several words needs quotes",
        )
    headers = {} if access.api_key is None else bearer(access.api_key)
    return Endpoint.parse(
        url, headers=headers, ssl_context=trust(access.ca_file, insecure=access.insecure), model=model
    )


def _of_release(release: ReachedRelease, model: str | None, access: Access) -> Endpoint:
    if release.via == "service proxy" and not access.is_default:
        # The API server takes Authorization for itself and never hands it on; its own trust is the kubeconfig's.
        raise InvalidInput(
            "an API key, --ca-file and --insecure do not reach a release without a Route: "
            "the way there is the cluster's API server, under the trust of the kubeconfig",
            "leave them out, or forward a port (kubectl port-forward) and chat with --url http://localhost:PORT",
        )
    headers = dict(release.headers) if access.api_key is None else {**release.headers, **bearer(access.api_key)}
    return Endpoint.parse(
        release.url,
        headers=headers,
        ssl_context=trust(access.ca_file, insecure=access.insecure) or release.ssl_context,
        model=model or release.model,
        proxy=release.proxy,
    )
