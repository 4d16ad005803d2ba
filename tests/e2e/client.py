"""A user's terminal beside the cluster: the real kubectl with our plugin on its PATH."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import Cluster
from tests.tools import tool

TIMEOUT = 300.0  # seconds for one command; an install here takes half a minute


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return stdout, which must be one JSON document."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """Runs commands inside the cluster's network as the user "dev", who administers one namespace and no more."""

    cluster: Cluster
    home: Path
    namespace: str
    environment: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    """Names that only these commands know, to their addresses: there is no DNS for the cluster's Routes here."""

    def modelcar(self, *arguments: object, via: str = "kubectl", check: bool = True) -> Done:
        """Run `kubectl modelcar ...` (or `oc ...`) as a plugin of the real kubectl, from a shell as people do."""
        return self.run("bash", "-c", '"$0" "$@"', self.home / "bin" / via, "modelcar", *arguments, check=check)

    def kubectl(self, *arguments: object, check: bool = True) -> Done:
        """Run kubectl in the namespace."""
        return self.run(self.home / "bin" / "kubectl", "-n", self.namespace, *arguments, check=check)

    def helm(self, *arguments: object, check: bool = True) -> Done:
        """Run helm in the namespace."""
        return self.run(tool("helm"), "-n", self.namespace, *arguments, check=check)

    def run(self, *command: object, check: bool = True) -> Done:
        """Run a command and return how it ended; fail the test if it was to succeed."""
        environment = {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:/usr/bin:/bin",
            "KUBECONFIG": str(self.cluster.dev_kubeconfig),
            "HELM_BIN": str(tool("helm")),
            "LANG": "C.UTF-8",
            **self.environment,
        }
        done = subprocess.run(
            self.cluster.enter([*self._knowing_hosts(), *map(str, command)]),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environment,
        )
        if check:
            assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def _knowing_hosts(self) -> list[str]:
        """Return what runs a command with an /etc/hosts of its own."""
        if not self.hosts:
            return []
        file = self.home / "hosts"
        file.write_text("".join(f"{address} {name}\n" for name, address in self.hosts.items()))
        return ["unshare", "--mount", "bash", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(file)]


def terminal(cluster: Cluster, home: Path, namespace: str) -> Terminal:
    """Make a home with kubectl, a copy of it called oc, and our console scripts in its bin."""
    programs = home / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name in ("kubectl", "oc"):
        if not (programs / name).exists():
            shutil.copy2(tool("kubectl").resolve(), programs / name)
    scripts = Path(sys.executable).parent
    for name in ("kubectl-modelcar", "oc-modelcar"):
        link = programs / name
        if not link.exists():
            link.symlink_to(scripts / name)
    return Terminal(cluster, home, namespace)
