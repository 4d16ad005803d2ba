"""Serve a model image on a cluster: image → values → helm → a first token."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kubectl_modelcar.chart import chart_dir
from kubectl_modelcar.cluster import (
    CLAIMS,
    DEPLOYMENTS,
    ROUTE_API,
    Clock,
    Helm,
    NoWayThere,
    Overrides,
    ProxyingObjects,
    Reached,
    Release,
    ReleaseRequest,
    Releases,
    api_key_name,
    ca_name,
    check_free,
    ensure_api_key,
    give_ca,
    give_pull_secret,
    given_to,
    labels_of,
    name_of,
    pull_name,
    take_back,
    wait_for_release,
)
from kubectl_modelcar.errors import (
    ClusterFailure,
    InvalidInput,
    ModelcarError,
    NetworkGaveUp,
    NotFoundOrRefused,
    WaitTimedOut,
)
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.serving import (
    ModelImage,
    Reason,
    ServingPlan,
    Surroundings,
    Wishes,
    describe_model,
    plan_serving,
)

__all__ = ["InstallCluster", "InstallRequest", "Installed", "Means", "Preview", "check_name", "install", "preview"]

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_LONGEST_NAME = 53
"""helm's limit: it makes names of 63 characters from it."""
_BETWEEN_ASKS = 2.0
"""Seconds; a router needs some to learn of a new endpoint, and answers 503 meanwhile."""
_SHORTEST_SILENCE, _LONGEST_SILENCE = 5.0, 120.0
"""Seconds without a byte after which one ask is given up; the first one after a start may compile kernels."""
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::\d+)?/")


class InstallCluster(ProxyingObjects, Protocol):
    """The cluster, as far as installing needs more than its objects."""

    def namespace_phase(self) -> str | None:
        """Return `Active` or `Terminating`; None where the namespace does not exist."""

    def create_namespace(self) -> None:
        """Make the namespace."""


def check_name(name: str) -> None:
    """Refuse a name that helm or Kubernetes would refuse later.

    Raises InvalidInput.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise InvalidInput(
            f"{name!r} cannot be the name of a release",
            f"use lower-case letters, digits and - between them, at most {_LONGEST_NAME} characters",
        )


@dataclass(frozen=True, slots=True)
class InstallRequest:
    """What is to be installed, and how. `route` and `api_key` None leave it to the cluster."""

    name: str
    namespace: str
    reference: str
    """The image's HOST/REPO."""
    tag: str = ""
    wishes: Wishes = field(default_factory=Wishes)
    overrides: Overrides = field(default_factory=Overrides)
    route: bool | None = None
    api_key: bool | None = None
    create_namespace: bool = False
    wait: bool = True
    timeout: float = 1800.0
    """Seconds."""
    plain_http: bool = False
    insecure: bool = False
    registry_ca: str | None = None
    """PEM of whom the puller is to trust for the model's registry."""

    def __post_init__(self) -> None:
        """Check the name."""
        check_name(self.name)


@dataclass(frozen=True, slots=True)
class Means:
    """What installing is done with."""

    helm: Helm
    docker_config: Callable[[], bytes]
    """Returns a docker config.json for the image's registry; asked only for a private image."""
    first_token: Callable[[Reached, float], float]
    """Asks for one token, gives up after so many seconds of silence, and returns the seconds until it came."""
    progress: Progress
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True, slots=True)
class Installed:
    """A release that was installed or upgraded."""

    name: str
    namespace: str
    image: str
    """HOST/REPO@DIGEST."""
    revision: int
    plan: ServingPlan
    ready: bool
    """Whether its pods are known to serve; False where nobody waited for that."""
    reached: Reached | None = None
    """Where it gave its first token; None where nobody waited, or where no way of ours leads there."""
    first_token_seconds: float | None = None
    api_key_secret: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be applied."""

    manifests: str
    """YAML documents."""
    image: str
    reasons: Sequence[Reason]
    values: Any


def install(request: InstallRequest, image: ModelImage, cluster: InstallCluster, means: Means) -> Installed:
    """Install a model image, or upgrade the release of that name, and wait until the model gives a first token.

    Raises what its parts raise; whatever can be refused is refused before anything is made.
    """
    _check_namespace(request, cluster)
    model = describe_model(image, reference=request.reference, tag=request.tag)
    surroundings = look_around(request, image, cluster)
    needed = (surroundings.pull_secret, surroundings.api_key_secret, surroundings.ca_config_map)
    check_free(cluster, request.name, needed)
    plan = plan_serving(model, request.wishes, surroundings)
    _warn(request, surroundings, means.progress)
    with chart_dir() as chart:
        release = _release(request, chart, plan)
        means.helm.render(release)  # what the chart refuses, it refuses before the first object is made
        if cluster.namespace_phase() is None:
            cluster.create_namespace()
        applied = _apply(release, request, surroundings, cluster, means)
    means.progress.stage("helm", "done", f"revision {applied.revision} of {request.name}")
    reached, seconds = None, None
    if request.wait:
        deadline = means.clock.now() + request.timeout
        wait_for_release(cluster, request.name, progress=means.progress, timeout=request.timeout, clock=means.clock)
        if request.wishes.replicas != 0:
            reached, seconds = _ask(request, surroundings, cluster, means, deadline)
    return Installed(
        request.name,
        request.namespace,
        f"{request.reference}@{model.digest}",
        applied.revision,
        plan,
        request.wait and request.wishes.replicas != 0,
        reached,
        seconds,
        surroundings.api_key_secret,
    )


def preview(
    request: InstallRequest, image: ModelImage, cluster: InstallCluster | None, helm: Helm, *, server: bool
) -> Preview:
    """Return what `install` would apply; nothing is made. `server` has the API server look at it.

    Without a cluster it is what a plain Kubernetes gets. Raises what its parts raise.
    """
    model = describe_model(image, reference=request.reference, tag=request.tag)
    if cluster is not None and server:
        _check_namespace(request, cluster)
    plan = plan_serving(model, request.wishes, look_around(request, image, cluster))
    with chart_dir() as chart:
        release = _release(request, chart, plan)
        manifests = helm.dry_run(release) if server else helm.render(release)
    return Preview(manifests, f"{request.reference}@{model.digest}", plan.reasons, plan.values())


def look_around(request: InstallRequest, image: ModelImage, cluster: InstallCluster | None) -> Surroundings:
    """Find out what the cluster and the registry decide.

    Raises ClusterFailure for a Route where there are none, and what the cluster raises.
    """
    has_routes = cluster is not None and cluster.offers(ROUTE_API)
    if request.route and cluster is not None and not has_routes:
        raise ClusterFailure(
            f"the cluster has no Routes ({ROUTE_API}); it is not OpenShift",
            "leave --route out: chat goes through the API server",
        )
    route = has_routes if request.route is None else request.route
    has_key = route if request.api_key is None else request.api_key
    return Surroundings(
        route=route,
        assigns_users=has_routes,
        pull_secret=pull_name(request.name) if image.needs_credentials else None,
        api_key_secret=api_key_name(request.name) if has_key else None,
        claim_size=None if cluster is None else _claim_size(request.name, cluster),
        ca_config_map=ca_name(request.name) if request.registry_ca else None,
        plain_http=request.plain_http,
        insecure=request.insecure,
    )


def _check_namespace(request: InstallRequest, cluster: InstallCluster) -> None:
    phase = cluster.namespace_phase()
    if phase == "Terminating":
        raise ClusterFailure(
            f"cannot install {request.name}: namespace {request.namespace} is being deleted",
            "wait until it is gone, or use another (-n)",
        )
    if phase is None and not request.create_namespace:
        raise NotFoundOrRefused(
            f"cannot install {request.name}: there is no namespace {request.namespace}",
            "check -n, or add --create-namespace",
        )


def _claim_size(release: str, cluster: InstallCluster) -> str | None:
    for claim in cluster.list(CLAIMS, labels=labels_of(release)):
        if claim["metadata"].get("deletionTimestamp"):
            raise ClusterFailure(
                f"cannot install {release}: its claim {name_of(claim)} is still being deleted",
                "try again when the old pod is gone",
            )
        size = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
        if size:
            return str(size)
    return None


def _warn(request: InstallRequest, surroundings: Surroundings, progress: Progress) -> None:
    if _LOOPBACK.match(request.reference):
        progress.warn(
            f"{request.reference} names this machine; a pod will look for the registry inside itself, "
            "unless the cluster runs here"
        )
    if surroundings.route and not surroundings.api_key_secret:
        progress.warn("without an API key whoever reaches the Route can use the model")


def _release(request: InstallRequest, chart: Path, plan: ServingPlan) -> ReleaseRequest:
    return ReleaseRequest(request.name, request.namespace, chart.absolute(), plan.values(), request.overrides)


def _apply(
    release: ReleaseRequest, request: InstallRequest, surroundings: Surroundings, cluster: InstallCluster, means: Means
) -> Release:
    """Give the pods what they need and run helm; what was given for nothing is taken back."""
    before = given_to(cluster, request.name)
    try:
        _give(request, surroundings, cluster, means)
        return means.helm.upgrade(release)
    except (ModelcarError, KeyboardInterrupt):
        try:
            if not cluster.list(DEPLOYMENTS, labels=labels_of(request.name)):  # else its pods need them
                take_back(cluster, request.name, but=before)
        except ModelcarError as error:
            place = f"{request.name} -n {request.namespace}"
            means.progress.warn(f"{error.message}; Secrets may be left: kubectl modelcar uninstall {place}")
        raise


def _give(request: InstallRequest, surroundings: Surroundings, cluster: InstallCluster, means: Means) -> None:
    """Make what pods are given beside the chart; helm would keep it in its history."""
    if surroundings.pull_secret:
        give_pull_secret(cluster, request.name, means.docker_config())
    if surroundings.api_key_secret:
        ensure_api_key(cluster, request.name)
    if request.registry_ca:
        give_ca(cluster, request.name, request.registry_ca)


def _ask(
    request: InstallRequest, surroundings: Surroundings, cluster: InstallCluster, means: Means, deadline: float
) -> tuple[Reached | None, float | None]:
    """Ask the model for one token by the way that a chat takes: /health says nothing about the weights."""
    from kubectl_modelcar.chat import Untrusted  # noqa: PLC0415  HTTP/SSE, not for dry runs

    name, place, cause = "first token", f"{request.name} -n {request.namespace}", ""
    while True:
        try:
            reached = Releases(cluster).reach(request.name)
            means.progress.stage(name, "waiting", cause or f"by the {reached.via}")
            left = deadline - means.clock.now()
            seconds = means.first_token(reached, min(max(left, _SHORTEST_SILENCE), _LONGEST_SILENCE))
        except NoWayThere as error:
            if surroundings.route:
                raise
            means.progress.warn(f"{error.message}; {error.hint}")  # an API key and no Route: as it was asked for
            return None, None
        except Untrusted as error:  # will not pass; our own --ca-file and --insecure are the registry's
            way_out = f"the model runs; name the Route's authority: kubectl modelcar chat {place} --ca-file FILE"
            raise NetworkGaveUp(error.message, way_out) from error
        except NetworkGaveUp as error:
            cause = error.message
            if means.clock.now() >= deadline:
                raise _no_token(request, place, error) from error
            means.clock.pause(_BETWEEN_ASKS)
        else:
            means.progress.stage(name, "done", f"after {seconds:.1f} s")
            return reached, seconds


def _no_token(request: InstallRequest, place: str, error: NetworkGaveUp) -> WaitTimedOut:
    return WaitTimedOut(
        f"{request.name} gave no token within {request.timeout:g} s: {error.message}",
        (f"{error.hint}; " if error.hint else "") + f"the install goes on, look at it: kubectl modelcar status {place}",
    )
