"""Install what comes from Debian: parts of the node, and programs that tests run."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from tests.tools.errors import ToolError


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Return those of `packages` that dpkg does not call installed; all of them where there is no dpkg."""
    if shutil.which("dpkg-query") is None:
        return list(packages)
    ask = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages]
    ran = subprocess.run(ask, capture_output=True, text=True, check=False)  # a package it never heard of: exit code 1
    installed = {line.split()[0] for line in ran.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def install_packages(packages: Sequence[str]) -> bool:
    """Install what is missing with apt-get. Returns whether there was anything to do."""
    missing = missing_packages(packages)
    if not missing:
        return False
    command = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        why = "no apt-get here" if shutil.which("apt-get") is None else "not root"
        raise ToolError(f"Debian packages missing ({why}). As root: {' '.join(command)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-qq"], command):
        ran = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise ToolError(f"'{' '.join(step)}' failed:\n{ran.stderr.rstrip()}")
    return True
