"""What cannot work is refused in words, before anything is applied."""

import pytest

from tests.chart.rendering import REFERENCE, HelmRefused, nested

pytestmark = pytest.mark.real

SKIP = "--skip-schema-validation"  # the words must hold where nobody looks at the schema


def issues(render, values):
    """Return what helm complains about, a line each."""
    with pytest.raises(HelmRefused) as refused:
        render(values, SKIP)
    said = str(refused.value)
    assert "execution error at (modelcar/templates/deployment.yaml" in said
    # What stands between the location and helm's advice; helm logs the same text once more.
    block = said.partition("deployment.yaml:1:4):")[2].partition("Use --debug")[0]
    return [line.strip() for line in block.splitlines() if line.strip()]


CASES = [
    pytest.param(
        {"model": {"image": {"reference": ""}}},
        "model.image.reference is missing: name the model image's HOST/REPO.",
        id="no reference",
    ),
    pytest.param(
        {"model": {"image": {"reference": "quay.io/a/b:1.0"}}},
        'model.image.reference "quay.io/a/b:1.0" is no HOST/REPO; tag and digest have values of their own.',
        id="reference with a tag",
    ),
    pytest.param(
        {"model": {"image": {"digest": ""}}},
        "model.image.digest is missing: pods need one that does not move (sha256:… as printed by"
        " `kubectl modelcar push` or `crane digest`).",
        id="no digest",
    ),
    pytest.param(
        {"model": {"image": {"digest": "latest"}}},
        'model.image.digest "latest" is no digest: sha256: and 64 hexadecimal digits.',
        id="bad digest",
    ),
    pytest.param({"delivery": "wish"}, 'delivery "wish" is unknown; this chart knows: pull.', id="delivery"),
    pytest.param(
        {"replicas": 2},
        "replicas is 2, but the claim is ReadWriteOnce: pods on other nodes could not mount it. Set"
        " storage.accessModes to [ReadWriteMany], or replicas to 1.",
        id="replicas on one node's claim",
    ),
    pytest.param(
        {"strategy": {"type": "RollingUpdate"}},
        "strategy.type is RollingUpdate, but the claim is ReadWriteOnce: the new pod would wait for the old one's"
        " volume, and the old one for the new pod. Use Recreate.",
        id="rolling update on one pod's claim",
    ),
    pytest.param(
        {"progressDeadlineSeconds": 1800},
        "progressDeadlineSeconds is 1800, but server.startup alone allows 1800 seconds: a rollout would count as failed"
        " while the model loads.",
        id="deadline within the startup budget",
    ),
    pytest.param(
        {"accelerator": {"resource": ""}},
        "accelerator.count is set without accelerator.resource: name the resource (nvidia.com/gpu), or set the count to"
        " 0 for CPU.",
        id="accelerator without a name",
    ),
    pytest.param(
        {"server": {"resources": {"limits": {"nvidia.com/gpu": 2}}}},
        "server.resources.limits names nvidia.com/gpu: accelerator.count sets it.",
        id="accelerator among the resources",
    ),
    pytest.param(
        {"server": {"image": {"tag": ""}}},
        "server.image has neither tag nor digest.",
        id="server image without version",
    ),
    pytest.param(
        {"puller": {"image": {"repository": "python"}}},
        "puller.image has neither tag nor digest.",
        id="puller image without version",
    ),
    pytest.param(
        {"commonLabels": {"app.kubernetes.io/name": "x"}},
        "commonLabels names app.kubernetes.io/name: the Deployment and the Service find their pods by it.",
        id="selector label among the common ones",
    ),
    pytest.param(
        {"podLabels": {"app.kubernetes.io/instance": "x"}},
        "podLabels names app.kubernetes.io/instance: the Deployment and the Service find their pods by it.",
        id="selector label among the pods'",
    ),
    pytest.param(
        {"server": {"args": ["--model=/x"]}}, "server.args has --model: model.image sets it.", id="flag --model"
    ),
    pytest.param(
        {"server": {"args": ["--served_model_name", "x"]}},
        "server.args has --served-model-name: set model.servedName.",
        id="flag --served-model-name",
    ),
    pytest.param(
        {"server": {"args": ["--port", "1"]}},
        "server.args has --port: set server.port, which the probes and the Service know.",
        id="flag --port",
    ),
    pytest.param(
        {"server": {"args": ["--api-key=secret"]}},
        "server.args has --api-key: everyone who may read pods could read it; name a Secret in"
        " server.apiKey.existingSecret.",
        id="flag --api-key",
    ),
    pytest.param(
        {"server": {"env": [{"name": "VLLM_API_KEY", "value": "secret"}]}},
        "server.env has VLLM_API_KEY in the clear: name a Secret in server.apiKey.existingSecret.",
        id="API key in the clear",
    ),
    pytest.param(
        {"server": {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}},
        "server.env has A twice.",
        id="variable twice",
    ),
    pytest.param(
        {"server": {"env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}]}},
        "server.env has VLLM_SERVER_DEV_MODE: whoever reaches the server could run code in it. Set server.allowDevMode"
        " to true for a test that nobody else can reach.",
        id="dev mode",
    ),
]


class TestValidation:
    @pytest.mark.parametrize(("values", "expected"), CASES)
    def test_refuses(self, render, values, expected):
        """One sentence says what is wrong and what to do."""
        assert [expected] == issues(render, values)

    @pytest.mark.parametrize(
        "flag",
        [
            "--trust-remote-code",
            "--trust_remote_code",
            "--trust-remote-code=true",
            "--trust-remote",
            "--tr",
        ],
    )
    def test_refuses_remote_code(self, render, flag):
        """The flag is refused in each spelling that vLLM's parser takes for it."""
        (issue,) = issues(render, {"server": {"args": [flag]}})
        assert issue.endswith("would run in the server. Set server.allowRemoteCode to true if you trust it.")

    @pytest.mark.parametrize(
        "values",
        [
            pytest.param(
                {"server": {"args": ["--trust-remote-code"], "allowRemoteCode": True}}, id="remote code allowed"
            ),
            pytest.param(
                {"server": {"env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}], "allowDevMode": True}},
                id="dev mode allowed",
            ),
            pytest.param(
                {"server": {"args": ["--no-trust-remote-code", "--tokenizer=x", "-tp", "1"]}}, id="other flags"
            ),
            pytest.param(
                {
                    "server": {
                        "env": [{"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
                    }
                },
                id="API key from a Secret of one's own",
            ),
            pytest.param({"replicas": 2, "storage": {"accessModes": ["ReadWriteMany"]}}, id="replicas that share"),
            pytest.param({"replicas": 2, "storage": {"existingClaim": "mine"}}, id="replicas on a claim of one's own"),
            pytest.param({"replicas": 0}, id="stopped"),
            pytest.param({"accelerator": {"resource": "", "count": 0}}, id="no accelerator"),
            pytest.param({"model": {"image": {"reference": "[fd00::1]:5000/model"}}}, id="IPv6 registry"),
            pytest.param({"model": {"image": {"reference": "localhost:5000/a/b_c/d.e-f"}}}, id="deep repository"),
        ],
    )
    def test_accepts(self, render, values):
        """What looks alike and can work is rendered, by the schema's leave too."""
        assert "Deployment" in render(values).kinds()

    def test_says_all_at_once(self, render):
        """Several mistakes need one run to be seen."""
        said = issues(render, {"model": {"image": {"reference": "", "digest": ""}}, "replicas": 3})
        expected = ["model.image.reference is missing", "model.image.digest is missing", "replicas is 3"]
        assert expected == [line.partition(":")[0].partition(",")[0] for line in said]

    def test_incomplete_chart(self, helm, tmp_path):
        """A chart without its puller says so instead of starting pods that fail."""
        chart = helm.copy_of_chart(tmp_path)
        (chart / "files" / "puller.py").write_text("")
        values = nested("model.image", {"reference": REFERENCE, "digest": "sha256:" + "0" * 64})
        with pytest.raises(
            HelmRefused, match=r"files/puller\.py is missing or empty: this copy of the chart is not whole"
        ):
            helm.render(values, chart=chart)
