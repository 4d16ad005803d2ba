"""JSON schemas of Kubernetes' own objects for kubeconform, made from the API description in Kubernetes' Go module.

kubeconform would fetch them from the network; the Go module proxy already delivers the same facts with the source that
the test cluster is built from, so they cannot be of another version.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.tools.catalogue import CLUSTER, KUBERNETES
from tests.tools.errors import ToolError

NAME = "schemas"
FOLDER = f"schemas-{KUBERNETES}-1"
LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""kubeconform's -schema-location, below the folder; KindSuffix is `-GROUP-VERSION`, GROUP up to its first dot."""

_DEFINITIONS = "definitions.json"
_PREFIX = "#/definitions/"
# Types that JSON writes in two ways, which the API description cannot say.
_EITHER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}


def write_schemas(folder: Path) -> None:
    """Write a strict schema for each kind, and the definitions that they share, into `folder`."""
    swagger = json.loads(_api_description().read_text("utf-8"))
    for name, content in schemas(swagger["definitions"]):
        (folder / name).write_text(json.dumps(content), "utf-8")


def schemas(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the file name and content of each schema."""
    yield _DEFINITIONS, {"definitions": {name: strict(name, body) for name, body in definitions.items()}}
    for name, body in definitions.items():
        for kind in body.get("x-kubernetes-group-version-kind", []):
            suffix = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
            closed = strict(name, body, reference=f"{_DEFINITIONS}{_PREFIX}")
            properties = closed.get("properties", {})
            if "apiVersion" not in properties or "kind" not in properties:
                continue
            group_version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
            properties["apiVersion"] = {"type": "string", "enum": [group_version]}
            properties["kind"] = {"type": "string", "enum": [kind["kind"]]}
            yield f"{kind['kind'].lower()}{suffix}-{kind['version'].lower()}.json", closed


def strict(name: str, body: Any, *, reference: str = _PREFIX) -> Any:
    """Return a definition as a JSON schema that refuses what the definition does not name."""
    if name in _EITHER:
        return _EITHER[name]
    if isinstance(body, list):
        return [strict("", item, reference=reference) for item in body]
    if not isinstance(body, dict):
        return body
    if "$ref" in body:
        # Draft 7 ignores what stands beside a $ref, and the descriptions there are of no use here.
        return {"$ref": body["$ref"].replace(_PREFIX, reference)}
    closed = {
        key: _properties(body, reference) if key == "properties" else strict("", value, reference=reference)
        for key, value in body.items()
        if key != "description" and not key.startswith("x-kubernetes")
    }
    if closed.get("properties") and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed


def _properties(body: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return the properties' schemas; optional ones may be null, as the API server reads null as absent."""
    closed = {name: strict("", property_, reference=reference) for name, property_ in body["properties"].items()}
    return {name: one if name in body.get("required", []) else _or_null(one) for name, one in closed.items()}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return schema


def _api_description() -> Path:
    """Return the path of swagger.json in the module k8s.io/kubernetes, downloaded by Go where it is not yet."""
    go = shutil.which("go")
    if go is None:
        raise ToolError(f"{NAME}: no 'go' on PATH. Install Go 1.26 or newer (https://go.dev/dl) and run again.")
    ask = [go, "mod", "download", "-json", f"k8s.io/kubernetes@v{KUBERNETES}"]
    ran = subprocess.run(ask, cwd=CLUSTER / "kube", capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise ToolError(f"{NAME}: 'go mod download' failed:\n{ran.stderr.rstrip()}")
    return Path(json.loads(ran.stdout)["Dir"]) / "api" / "openapi-spec" / "swagger.json"


def resource_schema(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the (single) version of a CustomResourceDefinition, closed like Kubernetes' own."""
    names, version = definition["spec"]["names"], definition["spec"]["versions"][0]
    body = version["schema"]["openAPIV3Schema"]
    closed: dict[str, Any] = strict("", body)
    closed["properties"] |= {
        "apiVersion": {"type": "string", "enum": [f"{definition['spec']['group']}/{version['name']}"]},
        "kind": {"type": "string", "enum": [names["kind"]]},
        "metadata": {"type": "object"},
    }
    closed["required"] = sorted({"apiVersion", "kind", "metadata", *body.get("required", [])})
    return closed
