"""The name by which the user called us: it goes into help, examples and hints."""

import os
import sys
from collections.abc import Mapping
from pathlib import PurePath


def command_name(argv0: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Return "kubectl modelcar", "oc modelcar", or the file's own name when it was run by itself.

    kubectl 1.37 names itself in KUBECTL_PATH. Older ones leave argv[0], which krew makes `kubectl-modelcar` for oc too,
    and bash's `_`, the path of the command it ran.
    """
    name = PurePath(argv0 or sys.argv[0]).name
    environment = os.environ if environment is None else environment
    callers = [PurePath(environment.get(key, "")).name for key in ("KUBECTL_PATH", "_")]
    if "oc" in callers[:1] or name.startswith("oc-"):
        return "oc modelcar"
    if callers[0] == "kubectl":
        return "kubectl modelcar"
    if name.startswith("kubectl-"):
        return "oc modelcar" if callers[1] == "oc" else "kubectl modelcar"
    return "kubectl-modelcar"
