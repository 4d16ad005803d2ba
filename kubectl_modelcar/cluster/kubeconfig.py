"""kubeconfig files: merged as kubectl merges them, then cut down to the one context that is meant.

The official client merges them too, but lets the last file's current-context win where kubectl takes the first, and
knows neither --cluster nor --user nor impersonation. Its loader reads what we cut out, so exec plugins, certificates
and proxies are still its own.

Rules: k8s.io/client-go/tools/clientcmd/loader.go (Load) and client_config.go (getContext, getAuthInfo, getCluster).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kubectl_modelcar.cluster.options import ClusterOptions
from kubectl_modelcar.errors import ClusterFailure, LocalFailure, NotFoundOrRefused

__all__ = ["CONTEXT", "Login", "cut_down", "read_kubeconfig"]

CONTEXT = "modelcar"
"""The name of the one context in a kubeconfig that was cut down."""

_IN_CLUSTER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NO_KUBECONFIG = "log in to a cluster (oc login URL), or name a kubeconfig by --kubeconfig or in KUBECONFIG"
_FILES_OF_CLUSTER = ("certificate-authority",)
_FILES_OF_USER = ("client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True, slots=True)
class Login:
    """One cluster, one user and one namespace."""

    namespace: str
    kubeconfig: Mapping[str, Any] | None = field(repr=False)
    """The context cut down, with absolute paths; None inside a pod, where the service account is the user."""

    @property
    def impersonation(self) -> Mapping[str, Any]:
        """What the user is to be taken for: `as`, `as-groups`, `as-uid`, where they are there."""
        if self.kubeconfig is None:
            return {}
        user = self.kubeconfig["users"][0]["user"]
        return {key: user[key] for key in ("as", "as-groups", "as-uid") if user.get(key)}

    @property
    def proxy(self) -> str | None:
        """URL of the proxy on the way to the API server, where the kubeconfig names one."""
        url = self.kubeconfig["clusters"][0]["cluster"].get("proxy-url") if self.kubeconfig else None
        return str(url) if url else None


def read_kubeconfig(options: ClusterOptions, *, in_cluster: Path = _IN_CLUSTER) -> Login:
    """Find out which cluster, user and namespace are meant.

    Raises ClusterFailure where nothing says it, NotFoundOrRefused for a context, cluster or user that is not there,
    LocalFailure for a file that cannot be read.
    """
    files = _load(_paths(options))
    pod_namespace = _text(in_cluster / "namespace")
    if not files and not options.server:
        if "KUBERNETES_SERVICE_HOST" in os.environ and pod_namespace is not None and not _chosen(options):
            return Login(options.namespace or pod_namespace or "default", None)
        raise ClusterFailure("no kubeconfig was found, so it is unknown which cluster is meant", _NO_KUBECONFIG)
    kubeconfig = cut_down(files, options)
    named = kubeconfig["contexts"][0]["context"].get("namespace")
    return Login(options.namespace or named or "default", kubeconfig)


def cut_down(files: Sequence[tuple[Path, Mapping[str, Any]]], options: ClusterOptions) -> dict[str, Any]:
    """Merge kubeconfigs and keep the one context that `options` mean, with what they override.

    Raises ClusterFailure and NotFoundOrRefused.
    """
    context = _context(files, options)
    cluster = _entry(files, "cluster", options.cluster or context.get("cluster"), _FILES_OF_CLUSTER)
    user = _entry(files, "user", options.user or context.get("user"), _FILES_OF_USER)
    cluster = {key: value for key, value in (cluster | _cluster_overrides(options)).items() if value is not None}
    if not cluster.get("server"):
        raise ClusterFailure("the kubeconfig names no cluster for the current context", _NO_KUBECONFIG)
    namespace = options.namespace or context.get("namespace")
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "contexts": [
            {
                "name": CONTEXT,
                "context": {
                    "cluster": CONTEXT,
                    "user": CONTEXT,
                    **({"namespace": namespace} if namespace else {}),
                },
            }
        ],
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": _as_user(user, options)}],
    }


def _chosen(options: ClusterOptions) -> bool:
    return any((options.kubeconfig, options.context, options.cluster, options.user))


def _paths(options: ClusterOptions) -> list[Path]:
    if options.kubeconfig:
        path = Path(options.kubeconfig).expanduser()
        if not path.exists():
            raise LocalFailure(f"cannot read the kubeconfig {path}: there is no such file", "check --kubeconfig")
        return [path]
    listed = os.environ.get("KUBECONFIG", "")
    if listed:
        return [Path(part).expanduser() for part in listed.split(os.pathsep) if part]
    return [Path.home() / ".kube" / "config"]


def _load(paths: Sequence[Path]) -> list[tuple[Path, Mapping[str, Any]]]:
    found: list[tuple[Path, Mapping[str, Any]]] = []
    for path in paths:
        try:
            content = yaml.safe_load(path.read_bytes())
        except FileNotFoundError:
            continue  # as kubectl does: a list may name files that are not there yet
        except OSError as error:
            raise LocalFailure(f"cannot read the kubeconfig {path}: {error.strerror}", "check its owner") from error
        except (yaml.YAMLError, ValueError) as error:
            raise LocalFailure(f"the kubeconfig {path} is not YAML", "log in again to have it written anew") from error
        if content is None:
            continue
        if not isinstance(content, dict):
            raise LocalFailure(f"the kubeconfig {path} is not a kubeconfig", "log in again to have it written anew")
        found.append((path, content))
    return found


def _context(files: Sequence[tuple[Path, Mapping[str, Any]]], options: ClusterOptions) -> dict[str, Any]:
    name = options.context or next((c["current-context"] for _, c in files if c.get("current-context")), None)
    if name is None:
        return {}
    return _entry(files, "context", name, ())


def _entry(
    files: Sequence[tuple[Path, Mapping[str, Any]]], kind: str, name: str | None, paths: Sequence[str]
) -> dict[str, Any]:
    """Return a named cluster, user or context from the first file that has it, with absolute paths."""
    if name is None:
        return {}
    for path, content in files:
        for item in _items(content, kind):
            if item.get("name") == name and isinstance(item.get(kind) or {}, dict):
                return _absolute(dict(item.get(kind) or {}), path.absolute().parent, paths)
    listed = [str(item.get("name")) for _, content in files for item in _items(content, kind)]
    raise NotFoundOrRefused(
        f"the kubeconfig has no {kind} {name!r}",
        f"it has: {', '.join(sorted(set(listed)))}" if listed else _NO_KUBECONFIG,
    )


def _items(content: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    items = content.get(f"{kind}s")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _absolute(entry: dict[str, Any], folder: Path, paths: Sequence[str]) -> dict[str, Any]:
    for key in paths:
        if entry.get(key):
            entry[key] = str(folder / entry[key])
    plugin = entry.get("exec")
    if paths and isinstance(plugin, dict) and os.sep in str(plugin.get("command", "")):
        # A command with a slash is relative to the kubeconfig; one without is looked up in PATH.
        entry["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return entry


def _cluster_overrides(options: ClusterOptions) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if options.server:
        overrides["server"] = options.server
    if options.tls_server_name:
        overrides["tls-server-name"] = options.tls_server_name
    if options.certificate_authority:
        overrides["certificate-authority"] = str(Path(options.certificate_authority).expanduser().absolute())
        overrides["certificate-authority-data"] = None
        overrides["insecure-skip-tls-verify"] = False
    if options.insecure_skip_tls_verify:
        overrides |= {
            "insecure-skip-tls-verify": True,
            "certificate-authority": None,
            "certificate-authority-data": None,
        }
    return overrides


def _as_user(user: Mapping[str, Any], options: ClusterOptions) -> dict[str, Any]:
    if options.token:
        # A token on the command line replaces how the user logs in, not whom they are taken for.
        user = {key: value for key, value in user.items() if key.startswith("as")} | {"token": options.token}
    changed = dict(user)
    if options.as_user:
        changed["as"] = options.as_user
    if options.as_groups:
        changed["as-groups"] = list(options.as_groups)
    if options.as_uid:
        changed["as-uid"] = options.as_uid
    return changed


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
