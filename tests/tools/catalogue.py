"""The pinned tools: which version of what, and the Go package that each is built from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

CLUSTER = Path(__file__).resolve().parent.parent / "cluster"

KUBERNETES = "1.36.3"
"""The version in tests/cluster/kube/go.mod; a test holds the two together."""

KUBE_PROGRAMS = (
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
)
"""What tests/cluster/kube/main.go can be, by the name it is called with."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: its name, the version it is kept under, and how Go builds it."""

    name: str
    version: str
    package: str = ""
    """Go package for `go install PACKAGE@vVERSION`; empty for what this repository holds the source of."""
    source: Path | None = None
    """Folder of a main package in this repository."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Go variables that the linker sets (-X)."""
    programs: tuple[str, ...] = ()
    """Further names under which the same binary answers, made as links."""

    @property
    def folder(self) -> str:
        """The name of its folder in the cache."""
        return f"{self.name}-{self.version}"


def source_version(folder: Path, *names: str) -> str:
    """Return a version for a program of this repository: it changes when, and only when, its source does."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0".encode())
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]


def _kubernetes_variables() -> dict[str, str]:
    # Without them the version is "v0.0.0-master+$Format", and every chart's kubeVersion check fails.
    major, minor, _ = KUBERNETES.split(".")
    said = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "unknown",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in said.items()}


CONTAINERD = "2.4.2"
_CONTAINERD = "github.com/containerd/containerd/v2"

# The small and most wanted ones first: the cluster's parts take minutes.
GO_TOOLS = (
    Tool("registry", "3.0.0", "github.com/distribution/distribution/v3/cmd/registry"),
    Tool(
        "helm",
        "4.2.4",
        "helm.sh/helm/v4/cmd/helm",
        variables={"helm.sh/helm/v4/internal/version.version": "v4.2.4"},
    ),
    Tool("crane", "0.22.1", "github.com/google/go-containerregistry/cmd/crane"),
    Tool("oras", "1.3.6", "oras.land/oras/cmd/oras", variables={"oras.land/oras/internal/version.BuildMetadata": ""}),
    Tool(
        "toxiproxy",
        "2.5.0",
        "github.com/Shopify/toxiproxy/v2/cmd/server",
        variables={"github.com/Shopify/toxiproxy/v2.Version": "2.5.0"},
    ),
    Tool("kubeconform", "0.8.0", "github.com/yannh/kubeconform/cmd/kubeconform", variables={"main.version": "v0.8.0"}),
    Tool("pause", source_version(CLUSTER / "pause", "main.go"), source=CLUSTER / "pause"),
    Tool(
        "containerd",
        CONTAINERD,
        f"{_CONTAINERD}/cmd/containerd",
        variables={f"{_CONTAINERD}/version.Version": CONTAINERD},
    ),
    Tool(
        "containerd-shim-runc-v2",
        CONTAINERD,
        f"{_CONTAINERD}/cmd/containerd-shim-runc-v2",
        variables={f"{_CONTAINERD}/version.Version": CONTAINERD},
    ),
    Tool(
        "kube",
        f"{KUBERNETES}-{source_version(CLUSTER / 'kube', 'go.mod', 'go.sum', 'main.go')}",
        source=CLUSTER / "kube",
        variables=_kubernetes_variables(),
        programs=KUBE_PROGRAMS,
    ),
)

DEBIAN_PROGRAMS = {"docker-registry": "docker-registry", "skopeo": "skopeo", "podman": "podman"}
"""Programs that tests run as Debian has them, and the packages that they are in: registry 2.8, skopeo, podman."""

DEBIAN_PACKAGES = (
    *DEBIAN_PROGRAMS.values(),
    "runc",
    "containernetworking-plugins",
    "iptables",
    "busybox-static",
    "conntrack",
    "iproute2",
    "openssl",
    "mmdebstrap",
)
"""What Debian builds well: those programs, and parts of the node - the runtime below containerd, CNI plugins, what
makes a rootfs."""
