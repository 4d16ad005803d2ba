"""Text of any kind in any value: it arrives byte for byte or it is refused; it never becomes structure."""

import json

import jsonschema
import pytest
import yaml

from tests.chart.conftest import LEAST
from tests.chart.rendering import CHART, HelmRefused, as_the_kubelet_reads, environment, merged, nested, texts

pytestmark = pytest.mark.real

HOSTILE = {
    "quotes": "a'b\"c`d",
    "yaml structure": "x\n  injected: true\n- y: {z: [1]}",
    "comment": "x # y",
    "document": "---\nkind: Secret\n---",
    "anchors and tags": "&a *b !!python/object:os.system",
    "template": '{{ .Values.server.image.tag }}{{ fail "x" }}',
    "variable": "$(VLLM_API_KEY) $$(HOME) ${HOME} $HOME",
    "boolean": "yes",
    "null": "null",
    "number": "0x1F",
    "exponent": "1e3",
    "octal": "0444",
    "date": "2026-01-01",
    "backslashes": "C:\\n\\u0041\\",
    "spaces": "  x  ",
    "trailing line feeds": "x\n\n",
    "tab": "a\tb",
    "markup": "<a href='x'>&amp;</a>",
    "unicode": "Zürich 模型 🚗 \u202e",
    "line separators": "a\u2028b\u2029c",
    "byte order mark": "\ufeffx",
    "flag": "--enforce-eager",
    "long": "x" * 5000,
}


def everywhere(text):
    """Return values that have the text in each field that takes any text."""
    env = [{"name": "MINE", "value": text}]
    return {
        "storage": {"annotations": {"mine": text}},
        "service": {"annotations": {"mine": text}},
        "route": {"enabled": True, "annotations": {"mine": text}},
        "podAnnotations": {"mine": text},
        "puller": {"env": env},
        "server": {"args": ["--first", text, "--last"], "command": ["sh", text], "env": env},
        "tolerations": [{"key": text}],
        "extraVolumes": [{"name": "mine", "hostile": text}],
        "affinity": {"hostile": [text]},
    }


class TestFreeText:
    @pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
    def test_arrives(self, render, text):
        """Each field that takes any text holds exactly that text, and no object is added."""
        rendered = render(everywhere(text))
        assert rendered.kinds() == ["ConfigMap", "Deployment", "PersistentVolumeClaim", "Pod", "Route", "Service"]
        metadata = [rendered.one(kind)["metadata"] for kind in ("PersistentVolumeClaim", "Service", "Route")]
        metadata.append(rendered.one("Deployment")["spec"]["template"]["metadata"])
        found = [one["annotations"]["mine"] for one in metadata]
        found += [environment(rendered.puller())["MINE"], environment(rendered.server())["MINE"]]
        found += [rendered.server()["args"][-2], rendered.server()["command"][1]]
        found += [rendered.pod()["tolerations"][1]["key"], rendered.pod()["volumes"][-1]["hostile"]]
        found += rendered.pod()["affinity"]["hostile"]
        assert [text] * 11 == found

    @pytest.mark.parametrize(
        "text",
        [pytest.param(text, id=name) for name, text in HOSTILE.items() if not set(text) & set("\n\t\u2028\u2029")],
    )
    def test_served_name_arrives(self, render, text):
        """The served name is the same for the server, the test and the reader of annotations."""
        rendered = render(model={"servedName": text})
        flag = "--served-model-name="
        (argument,) = (one for one in rendered.server()["args"] if one.startswith(flag))
        found = [
            as_the_kubelet_reads(argument.removeprefix(flag)),
            as_the_kubelet_reads(environment(rendered.test())["MODEL_NAME"]),
            rendered.one("Deployment")["metadata"]["annotations"]["modelcar/served-name"],
        ]
        assert [text] * 3 == found

    def test_served_name_gets_no_secret(self, render):
        """A name that looks like a reference to the API key is not one for the kubelet."""
        rendered = render(model={"servedName": "$(VLLM_API_KEY)"})
        assert "--served-model-name=$$(VLLM_API_KEY)" in rendered.server()["args"]

    @pytest.mark.parametrize(
        "sign", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9b"], ids=lambda sign: f"{ord(sign):#x}"
    )
    @pytest.mark.parametrize("path", ["model.servedName", "podAnnotations.mine", "server.args"])
    def test_control_characters_are_refused(self, render, path, sign):
        """What YAML can't carry, or a terminal would obey, does not get in."""
        text = f"a{sign}b"
        with pytest.raises(HelmRefused, match="does not match pattern"):
            render(nested(path, [text] if path == "server.args" else text))


def text_values(values, prefix=""):
    """Give each dotted path of values.yaml that holds a text."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from text_values(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield prefix + key


PATHS = sorted(text_values(yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))))


# Everything switched on, so that each text has somewhere to arrive.
FULL = merged(
    LEAST,
    {
        "model": {"image": {"pullSecret": "p", "ca": {"configMap": "c"}}},
        "puller": {"image": {"repository": "p", "tag": "1"}},
        "server": {"apiKey": {"existingSecret": "k"}},
        "route": {"enabled": True},
        "tests": {"image": {"repository": "t", "tag": "1"}},
    },
)
WORST = "a'b\"c\n  injected: true\n---\nkind: {{ fail `x` }} # $(HOME)"


def shape(node, text):
    """Return an object without its texts."""
    if isinstance(node, dict):
        return {"*" if key == text else key: shape(value, text) for key, value in node.items()}
    if isinstance(node, list):
        return [shape(value, text) for value in node]
    return type(node)


class TestEveryText:
    @pytest.mark.parametrize("path", PATHS)
    def test_is_refused_or_arrives(self, render, path):
        """No text of values.yaml can change more than the fields that hold it, even without the schema's help."""
        try:
            rendered = render(merged(FULL, nested(path, WORST)), "--skip-schema-validation")
        except HelmRefused:
            return
        harmless = render(merged(FULL, nested(path, "harmless")), "--skip-schema-validation")
        expected = [shape(one, "harmless") for one in harmless.objects]
        assert expected == [shape(one, WORST) for one in rendered.objects]
        kubelet_sees = as_the_kubelet_reads("\n".join(text for one in rendered.objects for text in texts(one)))
        assert WORST in kubelet_sees

    def test_schema_alone_refuses_most(self):
        """With the schema hardly any text gets as far as a template."""
        schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
        values = merged(yaml.safe_load((CHART / "values.yaml").read_text("utf-8")), FULL)
        valid = jsonschema.Draft7Validator(schema).is_valid
        assert valid(values)
        kubernetes_own = {"podSecurityContext.fsGroupChangePolicy", "podSecurityContext.seccompProfile.type"}
        amounts = {path for path in PATHS if ".resources." in path}
        assert kubernetes_own | amounts == {path for path in PATHS if valid(merged(values, nested(path, WORST)))}
