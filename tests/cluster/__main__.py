"""Bring up a cluster by hand: `python -m tests.cluster up FOLDER`, and `... down FOLDER` (as root).

`up` prints how to get in: a shell inside the cluster's network, where kubectl finds it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import Cluster
from tests.tools import ToolError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("folder", type=Path, help="state, logs and kubeconfigs of the cluster")
    parser.add_argument("--gpus", type=int, default=8, help="nvidia.com/gpu that the node claims (default: 8)")
    given = parser.parse_args(arguments)
    folder: Path = given.folder.absolute()
    try:
        if given.what == "down":
            Cluster.load(folder).down()
        else:
            cluster = Cluster.up(folder, gpus=given.gpus, keep=True)
            shell = cluster.enter(["env", f"KUBECONFIG={cluster.kubeconfig}", f"PATH={folder / 'bin'}:$PATH", "bash"])
            sys.stdout.write(f"{' '.join(shell)}\n")
    except (ToolError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return os.EX_UNAVAILABLE
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
