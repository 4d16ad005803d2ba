"""The chart with the least that has to be named."""

import pytest

from tests.chart.rendering import DIGEST, FOLDER, REFERENCE, environment, mount

pytestmark = pytest.mark.real


class TestDefaults:
    def test_makes_these_objects(self, default):
        """One object of each kind, and nothing that OpenShift alone knows."""
        expected = ["ConfigMap", "Deployment", "PersistentVolumeClaim", "Pod", "Service"]
        assert expected == default.kinds()

    def test_names_the_objects_after_the_release(self, default):
        """Every object's name begins with one name."""
        expected = {
            "ConfigMap": "granite-modelcar-puller",
            "Deployment": "granite-modelcar",
            "PersistentVolumeClaim": "granite-modelcar-models",
            "Pod": "granite-modelcar-test",
            "Service": "granite-modelcar",
        }
        assert expected == {one["kind"]: one["metadata"]["name"] for one in default.objects}

    def test_pulls_the_digest_and_nothing_that_moves(self, default):
        """The puller gets the reference by digest, the volume, and how many layers at a time."""
        expected = [f"--reference={REFERENCE}@{DIGEST}", "--volume=/models", "--jobs=4"]
        assert expected == default.puller()["args"]

    def test_runs_the_puller_from_its_config_map(self, default):
        """The puller's file is the chart's, mounted read-only."""
        assert default.puller()["command"] == ["python3", "-u", "/opt/modelcar/puller.py"]
        assert mount(default.puller(), "/opt/modelcar") == {
            "name": "puller",
            "mountPath": "/opt/modelcar",
            "readOnly": True,
        }
        assert default.volume("puller")["configMap"]["name"] == default.one("ConfigMap")["metadata"]["name"]

    def test_serves_what_was_pulled(self, default):
        """The server reads the digest's folder, under the repository's last part as name."""
        expected = [f"--model={FOLDER}", "--served-model-name=granite-3.1-2b-instruct", "--port=8000"]
        assert expected == default.server()["args"]

    def test_leaves_the_image_its_entrypoint(self, default):
        """The arguments fit both of vLLM's entry points, so no command is set."""
        assert "command" not in default.server()

    def test_keeps_the_server_offline(self, default):
        """The server neither looks for models in the network nor reports its use."""
        names = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"]
        assert [environment(default.server())[name] for name in names] == ["1"] * 4

    def test_says_what_it_serves(self, default):
        """Annotations name the image and the model."""
        expected = {
            "modelcar/image": f"{REFERENCE}@{DIGEST}",
            "modelcar/served-name": "granite-3.1-2b-instruct",
        }
        assert expected == default.one("Deployment")["metadata"]["annotations"]

    def test_asks_for_one_gpu(self, default):
        """The accelerator is requested and limited alike, as extended resources must be."""
        resources = default.server()["resources"]
        assert [resources[kind]["nvidia.com/gpu"] for kind in ("requests", "limits")] == [1, 1]

    def test_labels_objects_the_standard_way(self, default):
        """Each object says what it is, which release it is of and who manages it."""
        expected = {
            "app.kubernetes.io/name": "modelcar",
            "app.kubernetes.io/instance": "granite",
            "app.kubernetes.io/component": "server",
            "app.kubernetes.io/part-of": "modelcar",
            "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/version": "0.32.0",
            "helm.sh/chart": "modelcar-0.1.0",
        }
        labels = {one["kind"]: one["metadata"]["labels"] for one in default.objects if one["kind"] != "Pod"}
        assert [expected] * 4 == list(labels.values())

    def test_pods_do_not_carry_the_charts_version(self, default):
        """A new chart alone does not restart a server that took minutes to load."""
        labels = default.one("Deployment")["spec"]["template"]["metadata"]["labels"]
        assert {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels) == set()
