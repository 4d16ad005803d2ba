"""Real tools for the tests, pinned: `python -m tests.tools.install` builds them, `tool(NAME)` finds them."""

from pathlib import Path
from shutil import which

from tests.tools.cache import cache_folder
from tests.tools.catalogue import DEBIAN_PROGRAMS, GO_TOOLS
from tests.tools.errors import ToolError
from tests.tools.schemas import FOLDER as _SCHEMAS
from tests.tools.schemas import LOCATION as _LOCATION

__all__ = ["ToolError", "cache_folder", "schema_locations", "tool"]


def tool(name: str) -> Path:
    """Return the path of the installed tool `name`, or of a program that one of them is too (kubectl, etcd, ...)."""
    for candidate in GO_TOOLS:
        if name == candidate.name or name in candidate.programs:
            path = cache_folder() / "tools" / candidate.folder / name
            if not path.exists():
                raise ToolError(f"{name} {candidate.version} is not installed; run `make tools`")
            return path
    if name in DEBIAN_PROGRAMS:
        found = which(name)
        if found is None:
            raise ToolError(f"{name} of Debian's {DEBIAN_PROGRAMS[name]} is not installed; run `make tools` as root")
        return Path(found)
    raise ToolError(f"no tool is called {name!r}; tests/tools/catalogue.py lists them")


def schema_locations() -> list[str]:
    """Return kubeconform's -schema-location values: Kubernetes' own kinds, and OpenShift's Route."""
    folder = cache_folder() / "tools" / _SCHEMAS
    if not folder.is_dir():
        raise ToolError("kubeconform's schemas are not installed; run `make tools`")
    return [f"{place}/{_LOCATION}" for place in (folder, Path(__file__).resolve().parent / "openshift-schemas")]
