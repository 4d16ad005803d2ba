"""The cluster's cgroups (v1): a child of our own cgroup in every hierarchy, so that limits of pods are real."""

import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd")
"""What the kubelet and runc ask for; the systemd hierarchy has no controller, and the kubelet wants it all the same."""

PREFIX = "modelcar-"


def own_cgroups(membership: str) -> dict[str, str]:
    """Return our own cgroup's path for each hierarchy, from the text of /proc/self/cgroup; empty without cgroup v1.

    A hierarchy may carry several controllers ("cpu,cpuacct").
    """
    found: dict[str, str] = {}
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if set(controllers.split(",")) & set(NEEDED):
            found[controllers] = path
    covered = {controller for controllers in found for controller in controllers.split(",")}
    return found if covered >= set(NEEDED) else {}


def make(name: str, cgroups: dict[str, str]) -> list[Path]:
    """Make the child `PREFIX` + `name` in each of our cgroups and return their folders."""
    made = []
    for controllers, path in cgroups.items():
        parent = ROOT / controllers.removeprefix("name=") / path.strip("/")
        child = parent / f"{PREFIX}{name}"
        child.mkdir()
        if controllers == "cpuset":
            # An empty cpuset takes no process ("no space left on device"), and its children are to start like it.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (child / file).write_text((parent / file).read_text())
            (child / "cgroup.clone_children").write_text("1")
        made.append(child)
    return made


def remove(folder: Path, seconds: float = 5) -> None:
    """Remove a cgroup and those below it; the kernel refuses until the last process is really gone."""
    end = time.monotonic() + seconds
    while folder.exists():
        for below in sorted((each for each in folder.rglob("*") if each.is_dir()), reverse=True):
            _try_rmdir(below)
        if _try_rmdir(folder):
            return
        if time.monotonic() > end:
            raise TimeoutError(f"{folder} still has processes")
        time.sleep(0.1)


def _try_rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # busy, or gone already
        return not folder.exists()
    return True


def leftovers(cgroups: dict[str, str]) -> list[Path]:
    """Return the cgroups of clusters whose processes are all gone: their runs were killed."""
    found = []
    for controllers, path in cgroups.items():
        parent = ROOT / controllers.removeprefix("name=") / path.strip("/")
        for folder in parent.glob(f"{PREFIX}*"):
            processes = [file for file in folder.rglob("cgroup.procs") if file.read_text()]
            if not processes:
                found.append(folder)
    return found
