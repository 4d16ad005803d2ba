"""helm's command lines for versions 3 and 4. Pure; source: helm's cmd/helm and pkg/cmd, pkg/cli/environment.go."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kubectl_modelcar.cluster.options import ClusterOptions
from kubectl_modelcar.cluster.release import ReleaseRequest

__all__ = [
    "HelmVersion",
    "connection",
    "dry_run",
    "environment",
    "needs_own_kubeconfig",
    "render",
    "uninstall",
    "upgrade",
]

_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_OLDEST = {3: (3, 18, 4), 4: (4, 1, 4)}
"""Older ones write files outside the chart's folder, or panic, on hostile charts and values (helm's advisories)."""
_HISTORY = "10"
_TIMEOUT = "5m"
"""For helm's own hooks and requests; waiting for the model is ours."""
_OVERRIDING = (
    "HELM_KUBEAPISERVER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEASUSER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_KUBETOKEN",
)


@dataclass(frozen=True, slots=True, order=True)
class HelmVersion:
    """The version of a helm program."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> "HelmVersion | None":
        """Read `v3.18.4` or `v4.2.4+g1a2b3c`; None for anything else."""
        match = _VERSION.match(text)
        return cls(*(int(part) for part in match.groups())) if match else None

    @property
    def is_supported(self) -> bool:
        """Whether it is new enough: 3.18.4 or 4.1.4, or a later major version."""
        oldest = _OLDEST.get(self.major)
        return self.major > max(_OLDEST) or (oldest is not None and self >= HelmVersion(*oldest))

    def __str__(self) -> str:
        """Return it as helm numbers itself, without the v."""
        return f"{self.major}.{self.minor}.{self.patch}"


def needs_own_kubeconfig(options: ClusterOptions) -> bool:
    """Tell whether the options say something that helm has no flag for."""
    return bool(options.cluster or options.user or options.as_uid)


def connection(options: ClusterOptions, kubeconfig: str | None) -> list[str]:
    """Return the flags that make helm use the same cluster and user as we do.

    `kubeconfig` is a file that holds all of it already (see needs_own_kubeconfig).
    """
    if kubeconfig is not None:
        return ["--kubeconfig", kubeconfig]
    flags = {
        "--kubeconfig": options.kubeconfig,
        "--kube-context": options.context,
        "--kube-apiserver": options.server,
        "--kube-ca-file": options.certificate_authority,
        "--kube-tls-server-name": options.tls_server_name,
        "--kube-as-user": options.as_user,
    }
    arguments = [part for flag, value in flags.items() if value for part in (flag, value)]
    for group in options.as_groups:
        arguments += ["--kube-as-group", group]
    if options.insecure_skip_tls_verify:
        arguments.append("--kube-insecure-skip-tls-verify")
    return arguments


def environment(options: ClusterOptions, *, own_kubeconfig: bool) -> dict[str, str]:
    """Return helm's environment: the token (never on a command line), and nothing that points to another cluster."""
    variables = dict.fromkeys(_OVERRIDING, "")
    if options.token and not own_kubeconfig:
        variables["HELM_KUBETOKEN"] = options.token
    return variables | {"NO_COLOR": "1", "HELM_COLOR": "never"}


def upgrade(request: ReleaseRequest) -> list[str]:
    """Install or upgrade, without --wait: its meaning differs between versions, and it says nothing meanwhile."""
    return [
        *("upgrade", "--install", request.name, str(request.chart)),
        *_what(request),
        *("--output", "json", "--history-max", _HISTORY, "--timeout", _TIMEOUT),
    ]


def dry_run(request: ReleaseRequest) -> list[str]:
    """Have the API server look at everything, and keep nothing."""
    return [*upgrade(request), "--dry-run=server"]


def render(request: ReleaseRequest) -> list[str]:
    """Print the manifests without a cluster."""
    return ["template", request.name, str(request.chart), *_what(request), "--no-hooks"]


def uninstall(name: str, namespace: str) -> list[str]:
    """Remove a release."""
    return ["uninstall", name, "--namespace", namespace, "--timeout", _TIMEOUT]


def _what(request: ReleaseRequest) -> Sequence[str]:
    """Name our values (on the standard input) and then the user's, which therefore win."""
    arguments = ["--namespace", request.namespace, "--values", "-"]
    for file in request.overrides.files:
        arguments += ["--values", str(file.absolute())]
    for assignment in request.overrides.sets:
        arguments += ["--set", assignment]
    return arguments
