"""The schemas that kubeconform reads are Kubernetes' own, closed."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.tools import schema_locations
from tests.tools.catalogue import CLUSTER
from tests.tools.schemas import resource_schema, schemas

POD = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "spec": {"$ref": "#/definitions/io.Spec", "description": "text"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "x-kubernetes-group-version-kind": [{"group": "apps.k8s.io", "version": "v1", "kind": "Pod"}],
}
SPEC = {
    "type": "object",
    "properties": {"port": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}},
}
DEFINITIONS = {"io.Pod": POD, "io.Spec": SPEC, "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string"}}


class TestSchemas:
    """An API description becomes one closed schema a kind."""

    def test_file_names(self):
        """Names are what kubeconform asks for: the kind, the group up to its first dot, the version."""
        assert [name for name, _ in schemas(DEFINITIONS)] == ["definitions.json", "pod-apps-v1.json"]

    @pytest.mark.parametrize(
        ("change", "valid"),
        [
            pytest.param({}, True, id="plain"),
            pytest.param({"spec": {"port": 80}}, True, id="integer-or-string"),
            pytest.param({"labels": None}, True, id="optional-null"),
            pytest.param({"labels": {"any": "name"}}, True, id="map"),
            pytest.param({"labels": {"any": 1}}, False, id="map-of-wrong-type"),
            pytest.param({"typo": 1}, False, id="unknown-field"),
            pytest.param({"spec": {"typo": 1}}, False, id="unknown-field-below"),
            pytest.param({"apiVersion": "v1"}, False, id="wrong-version"),
        ],
    )
    def test_validation(self, change, valid):
        """What the description does not name is refused, also below."""
        files = dict(schemas(DEFINITIONS))
        closed = files["pod-apps-v1.json"] | {"$id": "file:///pod.json"}
        text = json.dumps(closed).replace("definitions.json#/", "#/")
        validator = jsonschema.Draft7Validator(json.loads(text) | files["definitions.json"])
        pod = {"apiVersion": "apps.k8s.io/v1", "kind": "Pod", "spec": {}} | change
        assert validator.is_valid(pod) == valid


class TestRoute:
    """OpenShift's Route is checked by the schema that the test cluster's own API server has."""

    def test_in_step_with_the_cluster(self):
        """The schema in this folder is the one that the CustomResourceDefinition gives."""
        definition = next(yaml.safe_load_all((CLUSTER / "manifests" / "route-crd.yaml").read_text()))
        kept = json.loads((Path(__file__).parent / "openshift-schemas" / "route-route-v1.json").read_text())
        assert kept == resource_schema(definition)


ROUTE = """
apiVersion: route.openshift.io/v1
kind: Route
metadata: {name: a}
spec: {to: {kind: Service, name: a}, tls: {termination: TERMINATION}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  FIELD: 1
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - {name: a, image: a, ports: [{containerPort: 80}], resources: {limits: {memory: 1Gi, cpu: 1}}}
"""


@pytest.mark.real
class TestKubeconform:
    """The real kubeconform reads them."""

    @pytest.mark.parametrize(
        ("manifest", "expected"),
        [
            pytest.param(DEPLOYMENT.replace("FIELD", "replicas"), 0, id="deployment"),
            pytest.param(DEPLOYMENT.replace("FIELD", "replica"), 1, id="deployment-typo"),
            pytest.param(ROUTE.replace("TERMINATION", "edge"), 0, id="route"),
            pytest.param(ROUTE.replace("TERMINATION", "none"), 1, id="route-termination"),
        ],
    )
    def test_verdict(self, real_tool, manifest, expected):
        """Right manifests pass and wrong ones do not, without the network."""
        kubeconform = real_tool("kubeconform")
        where = [argument for place in schema_locations() for argument in ("-schema-location", place)]
        ran = subprocess.run(
            [kubeconform, "-strict", "-summary", *where, "-"],
            input=manifest,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (expected, ""), ran.stdout
