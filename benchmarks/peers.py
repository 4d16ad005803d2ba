"""The contenders beside ours: where each is, and what its environment must say."""

import shlex
import shutil
import subprocess
import sys
from functools import cache

from tests.tools import ToolError, cache_folder, tool
from tests.tools.cache import locked

PACKAGES = {
    "oci-modelcar": "oci-modelcar==1.3.0",
    "modelcar-maker": "modelcar-maker==0.8.1",
    "hf": "huggingface_hub==2.4.0",
}
"""Programs from the package index, each in a virtual environment of its own."""

QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""What keeps the Hub's own client from asking elsewhere."""


@cache
def peer(name: str) -> str:
    """Return the path of a program of `PACKAGES`; it is installed once, into the cache of the tests' tools."""
    folder = cache_folder() / "peers" / PACKAGES[name].replace("==", "-")
    done = folder / ".complete"
    with locked(folder):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", PACKAGES[name]], check=True)
            done.touch()
    return str(folder / "bin" / name)


@cache
def program(name: str) -> str | None:
    """Return a tool that the tests pin, else the one that is installed here; None when there is none."""
    try:
        return str(tool(name))
    except ToolError:
        return shutil.which(name)


def plain_http(*hosts: str) -> str:
    """Return shell commands after which skopeo, and what calls it, speaks plain HTTP to `hosts`."""
    config = "\n".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true' for host in hosts)
    folder = '"$HOME/.config/containers"'
    return f"mkdir -p {folder}; printf '%s\\n' {shlex.quote(config)} > {folder}/registries.conf; "
