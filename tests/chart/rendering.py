"""What helm makes of the chart, as plain objects."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "chart"
DOCS = CHART.parent / "docs"
DIGEST = "sha256:" + "0123456789abcdef" * 4
FOLDER = "/models/" + "0123456789abcdef" * 4
REFERENCE = "quay.io/example/granite-3.1-2b-instruct"

Values = Mapping[str, Any]


class HelmRefused(AssertionError):
    """Helm did not render; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The objects of one rendering."""

    objects: tuple[dict[str, Any], ...]

    def kinds(self) -> list[str]:
        """Return the kinds, sorted."""
        return sorted(one["kind"] for one in self.objects)

    def one(self, kind: str) -> dict[str, Any]:
        """Return the only object of a kind."""
        (found,) = (one for one in self.objects if one["kind"] == kind)
        return found

    def pod(self) -> dict[str, Any]:
        """Return the spec of the server's pods."""
        return self.one("Deployment")["spec"]["template"]["spec"]

    def server(self) -> dict[str, Any]:
        """Return the container that serves."""
        (found,) = self.pod()["containers"]
        return found

    def puller(self) -> dict[str, Any]:
        """Return the container that pulls."""
        (found,) = self.pod()["initContainers"]
        return found

    def test(self) -> dict[str, Any]:
        """Return the container of the `helm test` pod."""
        (found,) = self.one("Pod")["spec"]["containers"]
        return found

    def volume(self, name: str) -> dict[str, Any]:
        """Return one volume of the server's pods."""
        (found,) = (one for one in self.pod()["volumes"] if one["name"] == name)
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return every pod spec there is, by the name of what makes it."""
        return {"server": self.pod(), "test": self.one("Pod")["spec"]}

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return every container of every pod by its name."""
        specs = self.pods().values()
        return {one["name"]: one for spec in specs for one in spec.get("initContainers", []) + spec["containers"]}


def environment(container: Mapping[str, Any]) -> dict[str, Any]:
    """Return a container's environment: a text, or what the value comes from."""
    return {one["name"]: one["value"] if "value" in one else one["valueFrom"] for one in container.get("env", [])}


def mount(container: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return what a container has mounted at a path."""
    (found,) = (one for one in container["volumeMounts"] if one["mountPath"] == path)
    return found


def texts(node: object) -> Iterator[str]:
    """Give every text in an object, keys too."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield key
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def as_the_kubelet_reads(text: str) -> str:
    """Return an argument or variable as the container gets it where no $(NAME) is defined: $$ is $."""
    return text.replace("$$", "$")


def script(path: Path) -> ModuleType:
    """Return a Python file that belongs to no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no Python file: {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def merged(base: Values, more: Values) -> dict[str, Any]:
    """Return values with more of them laid over, as helm does it."""
    result = dict(base)
    for key, value in more.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def nested(path: str, value: object) -> dict[str, Any]:
    """Return `value` as the values of a dotted path."""
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


def as_values(values: Values) -> str:
    """Return values as helm takes them from stdin.

    JSON is YAML but for two things: surrogate pairs, and the control characters that JSON may hold bare.
    """
    text = json.dumps(values, ensure_ascii=False)
    return re.sub("[\x7f-\x9f]", lambda sign: f"\\u{ord(sign[0]):04x}", text)


@dataclass(frozen=True, slots=True)
class Helm:
    """The real helm in a home of its own."""

    program: Path
    home: Path

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Return helm's stdout; raise HelmRefused with its stderr when it fails."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.home / "none")}
        ran = subprocess.run(
            [str(self.program), *arguments], input=stdin, env=environ, capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise HelmRefused(ran.stderr)
        return ran.stdout

    def render(self, values: Values, *flags: str, release: str = "granite", chart: Path = CHART) -> Rendered:
        """Return what `helm template` makes of these values and nothing else."""
        arguments = ["template", release, str(chart), "--namespace", "models", "--values", "-", *flags]
        out = self.run(*arguments, stdin=as_values(values))
        # libyaml where there is: a chart has a whole program in it
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return Rendered(tuple(one for one in yaml.load_all(out, loader) if one))

    def notes(self, values: Values, *, release: str = "granite") -> str:
        """Return what helm says to the user after an install with these values."""
        arguments = ["install", release, str(CHART), "--namespace", "models", "--values", "-", "--dry-run=client"]
        out = self.run(*arguments, "--output", "json", stdin=as_values(values))
        return json.loads(out)["info"]["notes"]

    def copy_of_chart(self, folder: Path) -> Path:
        """Return a copy of the chart in `folder`, to break."""
        return Path(shutil.copytree(CHART, folder / "chart", ignore=shutil.ignore_patterns("__pycache__")))
