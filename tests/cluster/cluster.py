"""Bring up the cluster, run programs beside it, and take it down."""

import json
import os
import shutil
import signal
import string
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import cgroups, identities, images
from tests.cluster.requirements import PROGRAMS, ClusterError, check
from tests.tools import tool

HERE = Path(__file__).resolve().parent
NODE = "node1"
NODE_IP = "192.168.77.2"
REGISTRY = f"{NODE_IP}:5000"
PRIVATE_REGISTRY = f"{NODE_IP}:5001"
PRIVATE_USER, PRIVATE_PASSWORD = "modelcar", "not-a-secret"
# bcrypt of the line above, the only kind of hash that the registry takes
_HTPASSWD = "modelcar:$2b$05$Onu/jxZTFqdXLkJlh.84o.mzMCt4DnXmKM0R2fG3YW6MSV8aPhSpe\n"

_SAVED = "cluster.json"
_HEAVY = ("containerd", "etcd", "kubelet", "private-registry", "registry", "varlog", "volumes")
"""What of the state is worth nothing once the cluster is down; the logs stay."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster. Its addresses are the same in every cluster: each has a network of its own."""

    state: Path
    """Folder with logs, kubeconfigs and data."""
    holder: int
    """The process (in our PID namespace) that everything in the cluster dies with."""
    init: int
    """Process 1 of the cluster, by its number in our PID namespace."""
    groups: tuple[Path, ...]
    """The cgroups made for it."""
    registry: str = REGISTRY
    """HOST:PORT that node, pods and `enter`ed programs know the registry by; plain http."""
    private_registry: str = PRIVATE_REGISTRY
    """A second one that wants PRIVATE_USER and PRIVATE_PASSWORD. Pods reach it, the node's image pulls do not."""

    @classmethod
    def up(cls, state: Path, *, gpus: int = 8, keep: bool = False) -> "Cluster":
        """Bring up a cluster with its state in `state`, a folder that is not there yet.

        The node claims `gpus` of nvidia.com/gpu. The cluster dies with the thread that started it, even when that is
        killed, unless `keep`. `ToolError` names what this machine lacks; `ClusterError` says what did not come up.
        """
        own = cgroups.own_cgroups(Path("/proc/self/cgroup").read_text("ascii"))
        check(own)
        if state.exists():
            raise ClusterError(f"{state} is there already; name a folder that is not")
        for left in cgroups.leftovers(own):
            cgroups.remove(left)
        _write_state(state)
        groups = tuple(cgroups.make(f"{os.getpid()}-{time.monotonic_ns()}", own))
        holder = _launch(state, groups, keep=keep)
        try:
            cluster = cls(state, holder, _child(holder), groups)
            cluster._save()
            # Before the first pod: its sandbox would wait for the pause image, and try again only after a while.
            cluster._wait_for_registry()
            cluster.push(images.pause, "pause:3")
            cluster.push(images.busybox, "busybox:1")
            cluster._wait_until_ready(gpus)
        except BaseException:
            _end(holder, None, groups)
            raise
        return cluster

    @classmethod
    def load(cls, state: Path) -> "Cluster":
        """Return the cluster that another process brought up in `state`; `ClusterError` when none is up there."""
        try:
            kept = json.loads((state / _SAVED).read_text("utf-8"))
            membership = Path(f"/proc/{kept['init']}/cgroup").read_text("ascii")
        except FileNotFoundError:
            membership = ""
        # The number of a process that is gone may be somebody else's by now; the cgroup's name cannot be.
        if not membership or Path(kept["groups"][0]).name not in membership:
            raise ClusterError(f"no cluster is up in {state}")
        return cls(state, kept["holder"], kept["init"], tuple(map(Path, kept["groups"])))

    def _save(self) -> None:
        kept = {"holder": self.holder, "init": self.init, "groups": [str(group) for group in self.groups]}
        (self.state / _SAVED).write_text(json.dumps(kept), "utf-8")

    def enter(self, command: Sequence[str | Path]) -> list[str]:
        """Return `command` as one that runs inside the cluster's network: there all its addresses can be reached."""
        return ["nsenter", f"--net=/proc/{self.init}/ns/net", "--", *map(str, command)]

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "kubeconfig"

    @property
    def dev_kubeconfig(self) -> Path:
        """That of the user "dev", who has only the rights that somebody grants."""
        return self.state / "dev.kubeconfig"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the administrator and return its stdout; `ClusterError` with its stderr when it fails."""
        return self.run(tool("kubectl"), "--kubeconfig", self.kubeconfig, *arguments, stdin=stdin)

    def run(self, *command: str | Path, stdin: str | None = None, seconds: float = 300) -> str:
        """Run a program inside the cluster's network and return its stdout; `ClusterError` when it fails.

        After `seconds` it is killed, and `subprocess.TimeoutExpired` raised.
        """
        entered = self.enter(command)
        ran = subprocess.run(entered, input=stdin, capture_output=True, text=True, check=False, timeout=seconds)
        if ran.returncode != 0:
            raise ClusterError(f"'{' '.join(map(str, command))}' failed:\n{ran.stderr.rstrip()}")
        return ran.stdout

    def push(self, write: Callable[[Path], None], name: str) -> str:
        """Push an image of `tests.cluster.images` as `name` (REPO:TAG) and return the reference for a pod."""
        reference = f"{self.registry}/{name}"
        images.push(write, reference, self.enter)
        return reference

    def down(self) -> None:
        """End every process of the cluster and remove its data; the logs stay in `state`/log."""
        _end(self.holder, self.init, self.groups)
        (self.state / _SAVED).unlink(missing_ok=True)
        for name in _HEAVY:
            shutil.rmtree(self.state / name, ignore_errors=True)

    def _wait_for_registry(self) -> None:
        ask = self.enter([tool("crane"), "catalog", "--insecure", self.registry])
        self._until("the registry", lambda: _succeeds(ask), seconds=60)

    def _wait_until_ready(self, gpus: int) -> None:
        ask = self.enter([tool("kubectl"), "--kubeconfig", self.kubeconfig, "get", "--raw", "/readyz"])
        self._until("the API server", lambda: _succeeds(ask), seconds=120)
        self.kubectl("wait", "--for=create", f"node/{NODE}", "--timeout=90s")
        self.kubectl("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=90s")
        # No device plugin: the node says it has GPUs, and pods that ask for them really run.
        resources = {"nvidia.com/gpu": str(gpus)}
        status = json.dumps({"status": {"capacity": resources, "allocatable": resources}})
        self.kubectl("patch", "node", NODE, "--subresource=status", "--type=merge", "--patch", status)
        self.kubectl("-n", "default", "wait", "--for=create", "serviceaccount/default", "--timeout=60s")

    def _until(self, what: str, ready: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if not Path(f"/proc/{self.init}").exists():
                raise ClusterError(f"the cluster died:\n{_tail(self.state / 'log' / 'node.log')}")
            if time.monotonic() > end:
                raise ClusterError(f"{what} was not ready after {seconds:.0f} s; its log is in {self.state / 'log'}")
            time.sleep(0.2)


def _write_state(state: Path) -> None:
    """Fill the folder that node.sh reads."""
    folders = ("bin", "conf/cni", f"conf/certs.d/{REGISTRY}", "log", "pki", *_HEAVY)
    for folder in folders:
        (state / folder).mkdir(parents=True)
    state.chmod(0o711)  # pods of any uid pass through it to their volumes
    for program in PROGRAMS:
        (state / "bin" / program).symlink_to(tool(program))
    identities.write_certificates(state / "pki", NODE, NODE_IP)
    people = {"admin": state / "kubeconfig", "dev": state / "dev.kubeconfig"}
    identities.write_users(state / "pki", NODE, people)
    values = {"state": state, "node_ip": NODE_IP, "registry": REGISTRY, "private_registry": PRIVATE_REGISTRY}
    places = {"10-ptp.conflist": "cni/10-ptp.conflist", "hosts.toml": f"certs.d/{REGISTRY}/hosts.toml"}
    for template in (HERE / "conf").iterdir():
        text = string.Template(template.read_text("utf-8")).substitute(values)
        (state / "conf" / places.get(template.name, template.name)).write_text(text, "utf-8")
    (state / "conf" / "htpasswd").write_text(_HTPASSWD, "ascii")


def _launch(state: Path, groups: Sequence[Path], *, keep: bool) -> int:
    """Start the process that holds the cluster and return its number."""
    bound = [] if keep else ["setpriv", "--pdeathsig", "KILL", "--"]
    command = [*bound, "bash", *map(str, (HERE / "launch.sh", HERE / "node.sh", *groups))]
    names = {"STATE": str(state), "HERE": str(HERE), "NODE": NODE, "NODE_IP": NODE_IP}
    # Nothing else of our environment: a HELM_, KUBE or REGISTRY_ variable of the caller is not the cluster's.
    environment = {**names, "PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8"}
    log = str(state / "log" / "node.log")
    streams = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    # A session of its own: Ctrl-C at the terminal is for the tests, which then take the cluster down.
    return os.posix_spawnp(command[0], command, environment, file_actions=streams, setsid=True)


def _child(holder: int) -> int:
    """Return the number of process 1 of the cluster, once there is one."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        # Before it is unshare it is a shell, whose children would be somebody else.
        name = Path(f"/proc/{holder}/comm")
        children = Path(f"/proc/{holder}/task/{holder}/children")
        if name.exists() and name.read_text().strip() == "unshare" and (first := children.read_text().split()):
            return int(first[0])
        time.sleep(0.02)
    raise ClusterError("the cluster's namespaces were not made within 10 s")


def _end(holder: int, init: int | None, groups: Sequence[Path]) -> None:
    """Kill everything; then remove the cgroups, which waits until the last process is gone.

    Process 1 first: with it goes its whole PID namespace, and the holder reaps it and ends. Killing the holder alone
    would leave that to the machine's own process 1.
    """
    try:
        os.kill(init or holder, signal.SIGKILL)
        os.waitpid(holder, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # ended before, or started by another process
    for group in groups:
        cgroups.remove(group, seconds=20)


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
