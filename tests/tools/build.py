"""Build one tool with Go."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.tools.catalogue import Tool
from tests.tools.errors import ToolError


def go_build(tool: Tool, folder: Path) -> None:
    """Build `tool` into `folder`, statically, with the links of its further names."""
    go = shutil.which("go")
    if go is None:
        raise ToolError(
            f"{tool.name} {tool.version}: no 'go' on PATH. Install Go 1.26 or newer (https://go.dev/dl) and run again.",
        )
    linked = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in tool.variables.items())])
    if tool.source is None:
        build = [go, "install", "-trimpath", "-ldflags", linked, f"{tool.package}@v{tool.version}"]
        where = folder
    else:
        build = [go, "build", "-trimpath", "-ldflags", linked, "-o", str(folder / tool.name), *_main(tool.source)]
        where = tool.source
    # cgo off: the binary is static, so it also runs in an image without a C library.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder)}
    ran = subprocess.run(build, cwd=where, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        raise ToolError(f"{tool.name} {tool.version}: '{' '.join(build[:2])}' failed:\n{ran.stderr.rstrip()}")
    if tool.package:
        made = folder / tool.package.rpartition("/")[2]  # `go install` names it by its package
        if made.name != tool.name:
            made.rename(folder / tool.name)
    for program in tool.programs:
        (folder / program).symlink_to(tool.name)


def _main(source: Path) -> list[str]:
    """Return what to build in `source`: its module, or the single file where there is no go.mod."""
    return ["."] if (source / "go.mod").exists() else ["main.go"]
