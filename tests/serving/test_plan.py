"""Tests of the values that a model and a cluster lead to."""

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.serving import (
    Accelerator,
    Architecture,
    ModelFacts,
    ServerImage,
    Surroundings,
    Wishes,
    plan_serving,
)

DIGEST = "sha256:" + "1" * 64
SHAPE = Architecture("GraniteForCausalLM", 40, 32, 8, 64, 4096)
MODEL = ModelFacts("quay.io/me/granite", DIGEST, "1", 5_100_000_000, 5_000_000_000, SHAPE)
OPENSHIFT = Surroundings(route=True, assigns_users=True, api_key_secret="g-api-key")
PLAIN = Surroundings(route=False, assigns_users=False)


def value(plan, path):
    """Return the value at a dotted path, or None."""
    found = plan.values()
    for part in path.split("."):
        if part not in found:
            return None
        found = found[part]
    return found


class TestPlanServing:
    """Values for the chart."""

    def test_everything_by_default(self):
        """What goes to helm for a model on OpenShift with no wishes at all."""
        assert plan_serving(MODEL, Wishes(), OPENSHIFT).values() == {
            "model": {
                "image": {"reference": "quay.io/me/granite", "digest": DIGEST, "tag": "1"},
                "servedName": "granite",
            },
            "storage": {"size": "11Gi"},
            "server": {
                "args": ["--max-model-len=auto"],
                "startup": {"periodSeconds": 10, "failureThreshold": 60},
                "resources": {"requests": {"memory": "8Gi"}, "limits": {"memory": "16Gi"}},
                "shm": {"sizeLimit": "2Gi"},
                "apiKey": {"existingSecret": "g-api-key"},
            },
            "accelerator": {"count": 1},
            "route": {"enabled": True},
        }

    @pytest.mark.parametrize(
        ("wishes", "surroundings", "path", "expected"),
        [
            pytest.param(Wishes(served_model_name="g"), PLAIN, "model.servedName", "g", id="name"),
            pytest.param(Wishes(gpus=4), PLAIN, "accelerator.count", 4, id="gpus"),
            pytest.param(Wishes(gpus=4), PLAIN, "server.shm.sizeLimit", "8Gi", id="shm by gpus"),
            pytest.param(Wishes(replicas=0), PLAIN, "replicas", 0, id="replicas"),
            pytest.param(Wishes(), PLAIN, "replicas", None, id="replicas left to the chart"),
            pytest.param(Wishes(storage_size="50Gi"), PLAIN, "storage.size", "50Gi", id="storage size"),
            pytest.param(Wishes(storage_class="fast"), PLAIN, "storage.storageClass", "fast", id="storage class"),
            pytest.param(Wishes(context_length=2048), PLAIN, "server.args", ["--max-model-len=2048"], id="context"),
            pytest.param(
                Wishes(server_image=ServerImage("r/v", "1")),
                PLAIN,
                "server.image",
                {"repository": "r/v", "tag": "1", "digest": ""},
                id="server image",
            ),
            pytest.param(
                Wishes(server_image=ServerImage("r/v", "1")), PLAIN, "server.args", [], id="no auto for unknown servers"
            ),
            pytest.param(Wishes(accelerator=Accelerator.CPU), PLAIN, "accelerator.count", 0, id="cpu"),
            pytest.param(Wishes(accelerator=Accelerator.CPU), PLAIN, "server.args", [], id="no auto on cpu"),
            pytest.param(
                Wishes(accelerator=Accelerator.CPU),
                PLAIN,
                "server.image",
                {"repository": "docker.io/vllm/vllm-openai-cpu", "tag": "v0.32.0", "digest": ""},
                id="cpu image",
            ),
            pytest.param(
                Wishes(),
                PLAIN,
                "podSecurityContext",
                {"runAsUser": 1001, "runAsGroup": 0, "fsGroup": 1001},
                id="user where the cluster assigns none",
            ),
            pytest.param(Wishes(), OPENSHIFT, "podSecurityContext", None, id="no user where it does"),
            pytest.param(Wishes(), PLAIN, "server.apiKey", None, id="no key"),
            pytest.param(
                Wishes(),
                Surroundings(route=False, assigns_users=False, pull_secret="g-pull"),
                "model.image.pullSecret",
                "g-pull",
                id="pull secret",
            ),
            pytest.param(
                Wishes(),
                Surroundings(route=False, assigns_users=False, claim_size="20000Mi"),
                "storage.size",
                "20000Mi",
                id="claim that is there",
            ),
            pytest.param(
                Wishes(),
                Surroundings(route=False, assigns_users=False, claim_size="4Gi"),
                "storage.size",
                "11Gi",
                id="claim that is too small",
            ),
            pytest.param(
                Wishes(),
                Surroundings(route=False, assigns_users=False, ca_config_map="g-ca"),
                "model.image.ca.configMap",
                "g-ca",
                id="authority",
            ),
            pytest.param(
                Wishes(),
                Surroundings(route=False, assigns_users=False, plain_http=True),
                "model.image.plainHttp",
                True,
                id="plain http",
            ),
        ],
    )
    def test_one_value(self, wishes, surroundings, path, expected):
        """Each wish and each surrounding has its value."""
        assert value(plan_serving(MODEL, wishes, surroundings), path) == expected

    @pytest.mark.parametrize(
        ("wishes", "claim", "message"),
        [
            pytest.param(
                Wishes(context_length=8192),
                None,
                "--context-length 8192: the model was made for at most 4096 tokens",
                id="context",
            ),
            pytest.param(
                Wishes(storage_size="1Gi"), None, "--storage-size 1Gi: the model alone has 5.1 GB", id="storage"
            ),
            pytest.param(
                Wishes(storage_size="10Gi"),
                "20Gi",
                "--storage-size 10Gi: the claim that is there already has 20Gi and cannot shrink",
                id="shrinking claim",
            ),
            pytest.param(
                Wishes(gpus=2, accelerator=Accelerator.CPU),
                None,
                "--gpus 2 and --accelerator cpu contradict each other",
                id="gpus on cpu",
            ),
        ],
    )
    def test_impossible_wishes(self, wishes, claim, message):
        """What cannot work is refused before anything is made."""
        surroundings = Surroundings(route=False, assigns_users=False, claim_size=claim)
        with pytest.raises(InvalidInput) as caught:
            plan_serving(MODEL, wishes, surroundings)
        assert caught.value.message == message

    @pytest.mark.parametrize("wishes", [Wishes(), Wishes(accelerator=Accelerator.CPU)], ids=["gpu", "cpu"])
    def test_each_computed_number_has_a_reason(self, wishes):
        """No number without a sentence."""
        plan = plan_serving(MODEL, wishes, PLAIN)
        reasoned = {reason.value for reason in plan.reasons}
        assert {
            "accelerator.count",
            "storage.size",
            "server.resources.requests.memory",
            "server.resources.limits.memory",
            "server.startup.failureThreshold",
        } <= reasoned

    def test_reason_as_a_line(self):
        """A reason prints itself."""
        plan = plan_serving(MODEL, Wishes(gpus=2), PLAIN)
        assert str(plan.reasons[0]) == "accelerator.count = 2: --gpus 2; the model is split over them (tensor parallel)"
