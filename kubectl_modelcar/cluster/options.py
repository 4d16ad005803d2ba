"""Which cluster, and as whom: kubectl's global options with kubectl's meaning."""

from dataclasses import dataclass

__all__ = ["ClusterOptions"]


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the command line said about the cluster; None means that it said nothing and the kubeconfig decides."""

    namespace: str | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    kubeconfig: str | None = None
    """A path; beats the list in KUBECONFIG."""
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    as_uid: str | None = None
    token: str | None = None
    server: str | None = None
    """URL of the API server."""
    tls_server_name: str | None = None
    certificate_authority: str | None = None
    """Path of a PEM file."""
    insecure_skip_tls_verify: bool = False
    request_timeout: float | None = None
    """Seconds for one request; None is this program's own limit, 0 is no limit."""

    def __repr__(self) -> str:
        """Leave the token out: a repr ends up in logs and tracebacks."""
        said = {
            name: getattr(self, name)
            for name in self.__slots__
            if name != "token" and getattr(self, name) not in (None, (), False)
        }
        return f"ClusterOptions({', '.join(f'{name}={value!r}' for name, value in said.items())})"
