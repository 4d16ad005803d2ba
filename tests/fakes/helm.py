"""A helm that keeps releases in memory, and a program that says it is helm and does as little."""

import stat
import sys
from pathlib import Path

from kubectl_modelcar.cluster import Release

_PROGRAM = '''#!{python}
"""Answer as helm 4 does, and write down what was asked."""
import json, os, pathlib, sys
state = pathlib.Path({state!r})
arguments = sys.argv[1:]
if arguments[0] == "version":
    sys.exit(print("v4.2.4") or 0)
stdin = "" if sys.stdin.isatty() else sys.stdin.read()
with (state / "runs").open("a") as runs:
    runs.write(json.dumps({{"argv": arguments, "stdin": stdin, "token": os.environ.get("HELM_KUBETOKEN", "")}}) + "\\n")
refusal = state / "refusal"
if refusal.exists():
    sys.exit("Error: " + refusal.read_text())
if arguments[0] == "template":
    print("---\\n# Source: fake\\nkind: Deployment\\nmetadata: {{name: fake}}")
elif arguments[0] == "upgrade":
    release = {{"name": arguments[2], "namespace": "models", "version": 1, "info": {{"status": "deployed"}}}}
    if "--dry-run=server" in arguments:
        release["manifest"] = "---\\nkind: Service\\nmetadata: {{name: fake}}\\n"
    (state / "released").touch()
    print(json.dumps(release))
elif arguments[0] == "uninstall":
    if not (state / "released").exists():
        sys.exit("Error: uninstall: Release not loaded: " + arguments[1] + ": release: not found")
    (state / "released").unlink()
else:
    sys.exit("the fake knows no helm " + arguments[0])
'''


class FakeHelm:
    """Fits `kubectl_modelcar.cluster.Helm`; `upgraded` is called with each request that is applied."""

    def __init__(self, upgraded=lambda _: None):
        self._upgraded = upgraded
        self.refusal = None
        self.releases = {}
        self.requests = []

    def upgrade(self, request):
        """Keep the release."""
        self._refuse()
        revision = self.releases[request.name].revision + 1 if request.name in self.releases else 1
        self.releases[request.name] = Release(request.name, request.namespace, revision, "deployed")
        self.requests.append(request)
        self._upgraded(request)
        return self.releases[request.name]

    def render(self, request):
        """Return one document."""
        self._refuse()
        return f"---\nkind: Rendered\nmetadata: {{name: {request.name}}}\n"

    def dry_run(self, request):
        """Return another document."""
        self._refuse()
        return f"---\nkind: Tried\nmetadata: {{name: {request.name}}}\n"

    def uninstall(self, name, namespace):
        """Forget a release."""
        found = name in self.releases and self.releases[name].namespace == namespace
        if found:
            del self.releases[name]
        return found

    def _refuse(self):
        if self.refusal is not None:
            raise self.refusal


def helm_program(folder: Path) -> Path:
    """Write an executable that answers as helm does; what was asked is in `folder`/runs, a line of JSON each.

    With a file `folder`/refusal every command but `version` fails with its text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "helm"
    program.write_text(_PROGRAM.format(python=sys.executable, state=str(folder)))
    program.chmod(stat.S_IRWXU)
    return program
