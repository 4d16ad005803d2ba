"""What a machine must have to run the cluster."""

import os
from pathlib import Path

from tests.tools import ToolError, tool
from tests.tools.catalogue import DEBIAN_PACKAGES, KUBE_PROGRAMS
from tests.tools.debian import missing_packages

PROGRAMS = (*KUBE_PROGRAMS, "containerd", "containerd-shim-runc-v2", "registry")
"""The tools that run inside the cluster's namespaces."""


class ClusterError(ToolError):
    """The cluster cannot be brought up here, or did not come up; the text says why."""


def check(cgroups: dict[str, str]) -> None:
    """Raise `ClusterError` or `ToolError` naming the first thing that is missing.

    `cgroups` is what `tests.cluster.cgroups.own_cgroups` found.
    """
    if os.geteuid() != 0:
        raise ClusterError("the cluster makes namespaces, mounts and cgroups, so it needs root")
    if not cgroups:
        raise ClusterError(
            "the cluster needs the cgroup v1 hierarchies (memory, cpu, pids, ... under /sys/fs/cgroup), and this "
            "machine has not all of them; where systemd mounts v2 only, boot with systemd.unified_cgroup_hierarchy=0",
        )
    for program in (*PROGRAMS, "crane", "pause"):
        tool(program)
    missing = missing_packages(DEBIAN_PACKAGES)
    if missing:
        raise ClusterError(f"Debian packages missing: {', '.join(missing)}; run `make tools` as root")
    for path in ("/usr/sbin/runc", "/usr/lib/cni/ptp"):
        if not Path(path).exists():
            raise ClusterError(f"{path} is not there, where Debian puts it")
