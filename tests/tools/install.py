"""Install the pinned real tools of the tests: `python -m tests.tools.install [NAME...]`, all of them without a name.

Needs Python 3.11 and Go; on Debian, as root, also installs the packages of the test cluster's node. What is there
already is left alone, and several runs at once wait for each other.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.tools import build, debian, schemas
from tests.tools.cache import cache_folder, make_once
from tests.tools.catalogue import DEBIAN_PACKAGES, GO_TOOLS, Tool
from tests.tools.errors import ToolError

DEBIAN = "debian"


def installers(folder: Path) -> Mapping[str, Callable[[], bool]]:
    """Return, in order, what installs each name into `folder`; each says whether there was anything to do."""
    steps: dict[str, Callable[[], bool]] = {tool.name: partial(_install_tool, tool, folder) for tool in GO_TOOLS}
    steps[schemas.NAME] = partial(make_once, folder / schemas.FOLDER, schemas.write_schemas)
    steps[DEBIAN] = partial(debian.install_packages, DEBIAN_PACKAGES)
    return steps


def _install_tool(tool: Tool, folder: Path) -> bool:
    return make_once(folder / tool.folder, partial(build.go_build, tool))


def install(steps: Mapping[str, Callable[[], bool]], names: Sequence[str]) -> int:
    """Run the steps of `names`, one printed line each. Returns how many failed."""
    failed = 0
    for name in names:
        start = time.monotonic()
        try:
            done = steps[name]()
        except ToolError as error:
            failed += 1
            sys.stderr.write(f"error: {error}\n")
            continue
        seconds = time.monotonic() - start
        sys.stdout.write(f"{name}: {'installed' if done else 'already there'} ({seconds:.1f} s)\n")
        sys.stdout.flush()
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Install what the command line names."""
    steps = installers(cache_folder() / "tools")
    parser = argparse.ArgumentParser(prog="python -m tests.tools.install", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(steps)} (default: all)")
    names = parser.parse_args(arguments).names
    unknown = [name for name in names if name not in steps]
    if unknown:
        parser.error(f"no such tool: {', '.join(unknown)}; choose from {', '.join(steps)}")
    return 1 if install(steps, names or list(steps)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
