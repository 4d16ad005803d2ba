"""values.schema.json: what helm refuses before a template runs, and that it knows the same keys as values.yaml."""

import json
from collections.abc import Iterator

import jsonschema
import pytest
import yaml

from tests.chart.conftest import LEAST
from tests.chart.rendering import CHART, DOCS, HelmRefused, merged, nested, script

VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))


DOCUMENTED = [
    value.key for value in script(DOCS / "chart_values.py").documented((CHART / "values.yaml").read_text("utf-8"))
]


def described(schema: dict, prefix: str = "") -> Iterator[str]:
    """Give each dotted path of the schema, down to what values.yaml documents as one value."""
    schema = SCHEMA["definitions"].get(schema.get("$ref", "").rpartition("/")[2], schema)
    schema = SCHEMA["definitions"]["image"] if "allOf" in schema else schema  # server.image is an image, and more
    for key, below in schema.get("properties", {}).items():
        path = prefix + key
        if path in DOCUMENTED or not any(one.startswith(path + ".") for one in DOCUMENTED):
            yield path
        else:
            yield from described(below, path + ".")


def objects(schema: object) -> Iterator[dict]:
    """Give each part of the schema that lists the keys of an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            yield schema
        for below in schema.values():
            yield from objects(below)


REFUSED = [
    pytest.param("modle", {}, id="unknown key"),
    pytest.param("model.image.refrence", "quay.io/a/b", id="unknown nested key"),
    pytest.param("server.startup.seconds", 1, id="unknown key deep down"),
    pytest.param("model.image.reference", "no-registry", id="reference without a repository"),
    pytest.param("model.image.digest", "sha256:abc", id="short digest"),
    pytest.param("model.image.digest", "sha256:" + "A" * 64, id="digest in capitals"),
    pytest.param("model.image.pullSecret", "Not A Name", id="Secret's name"),
    pytest.param("model.servedName", "two\nlines", id="served name of two lines"),
    pytest.param("delivery", "wish", id="delivery"),
    pytest.param("storage.size", "big", id="size"),
    pytest.param("storage.size", 40, id="size that is a number"),
    pytest.param("storage.accessModes", [], id="no access mode"),
    pytest.param("storage.accessModes", ["ReadOnlyMany"], id="claim that the puller can't write"),
    pytest.param("storage.keep", "yes", id="text for a boolean"),
    pytest.param("puller.jobs", 0, id="no job"),
    pytest.param("server.image.repository", "", id="no server image"),
    pytest.param("server.image.tag", "a b", id="tag"),
    pytest.param("server.image.pullPolicy", "Sometimes", id="pull policy"),
    pytest.param("server.args", "--enforce-eager", id="arguments that are no list"),
    pytest.param("server.args", [4096], id="argument that is no text"),
    pytest.param("server.args", ["a\x1b[2J"], id="escape in an argument"),
    pytest.param("server.env", [{"value": "x"}], id="variable without a name"),
    pytest.param("server.env", [{"name": "A", "value": 1}], id="variable that is no text"),
    pytest.param("server.port", 80, id="port that needs root"),
    pytest.param("server.resources.limits.memory", [], id="amount"),
    pytest.param("accelerator.count", -1, id="negative count"),
    pytest.param("accelerator.count", 1.5, id="half a GPU"),
    pytest.param("accelerator.resource", "gpu", id="resource without a vendor"),
    pytest.param("replicas", -1, id="negative replicas"),
    pytest.param("strategy.type", "Sideways", id="strategy"),
    pytest.param("service.port", 70000, id="port too high"),
    pytest.param("route.path", "v1", id="relative path"),
    pytest.param("route.timeout", "ten minutes", id="timeout"),
    pytest.param("route.tls.insecureEdgeTerminationPolicy", "Allow", id="plain HTTP on the Route"),
    pytest.param("podLabels", {"a": "not a label!"}, id="label's value"),
    pytest.param("fullnameOverride", "9-begins-with-a-digit", id="name that no Service may have"),
    pytest.param("fullnameOverride", "a" * 64, id="name too long"),
]


class TestRefused:
    @pytest.mark.real
    @pytest.mark.parametrize(("path", "value"), REFUSED)
    def test_by_helm(self, render, path, value):
        """Helm names the value and renders nothing."""
        with pytest.raises(HelmRefused) as refused:
            render(nested(path, value))
        said = str(refused.value)
        assert "values don't meet the specifications of the schema" in said
        # an unknown key is reported at the object that has it
        assert "/".join(path.split(".")[:-1]) in said


class TestSchema:
    def test_is_a_schema(self):
        """The schema is valid itself."""
        jsonschema.Draft7Validator.check_schema(SCHEMA)

    def test_knows_the_keys_of_values(self):
        """Each key that values.yaml documents is in the schema, and no other but helm's own."""
        assert sorted([*DOCUMENTED, "global"]) == sorted(described(SCHEMA))

    def test_accepts_the_defaults(self):
        """The defaults are valid, but for what only the user knows."""
        jsonschema.validate(merged(VALUES, LEAST), SCHEMA)

    @pytest.mark.parametrize(("path", "value"), REFUSED)
    def test_refuses_in_python_as_in_helm(self, path, value):
        """The command line may check values with the same schema before it calls helm."""
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(merged(merged(VALUES, LEAST), nested(path, value)), SCHEMA)

    def test_objects_of_ours_are_closed(self):
        """A misspelt key is never ignored."""
        assert {False} == {one["additionalProperties"] for one in objects(SCHEMA)}
