"""Each value that changes the Deployment."""

import pytest

from tests.chart.conftest import LEAST
from tests.chart.rendering import DIGEST, FOLDER, environment, merged, mount, nested

pytestmark = pytest.mark.real

OTHER = "sha256:" + "f" * 64


class TestImages:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            pytest.param({}, ["server:1", "server:1", "server:1"], id="one for all"),
            pytest.param(
                {"puller": {"image": {"repository": "python", "tag": "3.13"}}},
                ["python:3.13", "server:1", "server:1"],
                id="puller's own",
            ),
            pytest.param(
                {"tests": {"image": {"repository": "python", "digest": OTHER}}},
                ["server:1", "server:1", f"python@{OTHER}"],
                id="test's own",
            ),
            pytest.param(
                {"server": {"image": {"digest": OTHER}}},
                [f"server@{OTHER}"] * 3,
                id="digest wins over the tag",
            ),
        ],
    )
    def test_reference(self, render, values, expected):
        """The puller and the test run in the server's image unless they have their own."""
        rendered = render(merged({"server": {"image": {"repository": "server", "tag": "1"}}}, values))
        assert expected == [rendered.containers()[name]["image"] for name in ("puller", "server", "one-token")]

    def test_pull_policy(self, render):
        """The pull policy follows the image."""
        rendered = render(
            {
                "server": {"image": {"pullPolicy": "Always"}},
                "tests": {"image": {"repository": "python", "tag": "3.13", "pullPolicy": "Never"}},
            }
        )
        assert [rendered.containers()[name]["imagePullPolicy"] for name in ("puller", "server", "one-token")] == [
            "Always",
            "Always",
            "Never",
        ]

    def test_pull_secrets(self, render, default):
        """The kubelet gets the Secrets for every pod."""
        rendered = render(imagePullSecrets=[{"name": "redhat"}])
        assert [pod["imagePullSecrets"] for pod in rendered.pods().values()] == [[{"name": "redhat"}]] * 2
        assert "imagePullSecrets" not in default.pod()


class TestPuller:
    @pytest.mark.parametrize(
        ("values", "flag"),
        [
            pytest.param({"plainHttp": True}, "--plain-http", id="plain HTTP"),
            pytest.param({"insecure": True}, "--insecure", id="insecure"),
            pytest.param({"pullSecret": "mine"}, "--auth-dir=/auth", id="credentials"),
            pytest.param({"ca": {"configMap": "mine"}}, "--ca-file=/etc/modelcar/ca/ca.crt", id="certificates"),
        ],
    )
    def test_flag(self, render, default, values, flag):
        """A setting of the registry is one flag, absent by default."""
        rendered = render(model={"image": values})
        assert [flag] == [one for one in rendered.puller()["args"] if one not in default.puller()["args"]]

    def test_another_puller_is_another_pod(self, helm, default, tmp_path):
        """A changed puller in the ConfigMap changes the pod, so that it runs what the release holds."""
        chart = helm.copy_of_chart(tmp_path)
        with (chart / "files" / "puller.py").open("a") as program:
            program.write("# changed\n")
        template = helm.render(LEAST, chart=chart).one("Deployment")["spec"]["template"]
        before = default.one("Deployment")["spec"]["template"]
        assert before["metadata"]["annotations"] != template["metadata"]["annotations"]
        assert before["spec"] == template["spec"]

    def test_jobs(self, render):
        """The number of layers at a time is passed on."""
        assert "--jobs=9" in render(puller={"jobs": 9}).puller()["args"]

    def test_mounts_the_pull_secret_as_config_json(self, render, default):
        """The Secret's key becomes the docker config.json that the puller reads, for its eyes only."""
        rendered = render(model={"image": {"pullSecret": "mine"}})
        expected = {
            "secretName": "mine",
            "defaultMode": 0o444,
            "items": [{"key": ".dockerconfigjson", "path": "config.json"}],
        }
        assert expected == rendered.volume("auth")["secret"]
        assert mount(rendered.puller(), "/auth")["readOnly"] is True
        assert "auth" not in [one["name"] for one in rendered.server()["volumeMounts"]]
        assert "auth" not in [one["name"] for one in default.pod()["volumes"]]

    def test_mounts_the_certificates(self, render):
        """The ConfigMap's key becomes the file that the flag names."""
        rendered = render(model={"image": {"ca": {"configMap": "bundle", "key": "service-ca.crt"}}})
        assert rendered.volume("ca")["configMap"] == {
            "name": "bundle",
            "defaultMode": 0o444,
            "items": [{"key": "service-ca.crt", "path": "ca.crt"}],
        }
        assert mount(rendered.puller(), "/etc/modelcar/ca") == {
            "name": "ca",
            "mountPath": "/etc/modelcar/ca",
            "readOnly": True,
        }

    def test_environment(self, render, default):
        """The puller has the user's environment and no other."""
        env = [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]
        assert env == render(puller={"env": env}).puller()["env"]
        assert "env" not in default.puller()


class TestServer:
    def test_arguments_come_last(self, render, default):
        """The user's flags follow the chart's, so that vLLM lets them win."""
        args = ["--max-model-len=4096", "--enforce-eager"]
        assert default.server()["args"] + args == render(server={"args": args}).server()["args"]

    def test_command(self, render):
        """A command replaces the image's entrypoint."""
        command = ["vllm", "serve"]
        assert command == render(server={"command": command}).server()["command"]

    def test_port(self, render):
        """The port is the server's, the container's and, by name, the Service's and the probes'."""
        rendered = render(server={"port": 9000})
        assert "--port=9000" in rendered.server()["args"]
        assert rendered.server()["ports"] == [{"name": "http", "containerPort": 9000, "protocol": "TCP"}]
        assert rendered.one("Service")["spec"]["ports"][0]["targetPort"] == "http"

    def test_served_name(self, render):
        """A name of one's own replaces the repository's last part everywhere."""
        rendered = render(model={"servedName": "granite"})
        assert "--served-model-name=granite" in rendered.server()["args"]
        assert environment(rendered.test())["MODEL_NAME"] == "granite"

    def test_environment_replaces_the_charts_own(self, render):
        """A name of the chart's own appears once, with the user's value."""
        env = render(
            server={"env": [{"name": "HF_HUB_OFFLINE", "value": "0"}, {"name": "MINE", "value": "x"}]}
        ).server()["env"]
        assert [one for one in env if one["name"] == "HF_HUB_OFFLINE"] == [{"name": "HF_HUB_OFFLINE", "value": "0"}]
        assert env[-1] == {"name": "MINE", "value": "x"}

    def test_api_key(self, render, default):
        """The key comes from the Secret, for the server and for the test."""
        rendered = render(server={"apiKey": {"existingSecret": "keys", "key": "granite"}})
        expected = {"secretKeyRef": {"name": "keys", "key": "granite"}}
        assert expected == environment(rendered.server())["VLLM_API_KEY"]
        assert expected == environment(rendered.test())["MODEL_API_KEY"]
        assert "VLLM_API_KEY" not in environment(default.server())

    def test_size_limits(self, render):
        """The scratch volumes have the sizes that the values say."""
        rendered = render(
            server={"shm": {"sizeLimit": "8Gi"}, "home": {"sizeLimit": "2Gi"}, "tmp": {"sizeLimit": "1Gi"}}
        )
        assert rendered.volume("shm")["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
        assert rendered.volume("home")["emptyDir"] == {"sizeLimit": "2Gi"}
        assert rendered.volume("tmp")["emptyDir"] == {"sizeLimit": "1Gi"}

    def test_root_filesystem(self, render):
        """The server's may be made writable for the NVIDIA hook; the others' stay as they are."""
        rendered = render(server={"readOnlyRootFilesystem": False})
        expected = {"puller": True, "server": False, "one-token": True}
        read_only = {
            name: one["securityContext"]["readOnlyRootFilesystem"] for name, one in rendered.containers().items()
        }
        assert expected == read_only

    def test_extra_volumes(self, render, default):
        """Further volumes and mounts are added to the chart's own."""
        volume, where = {"name": "lora", "emptyDir": {}}, {"name": "lora", "mountPath": "/lora"}
        rendered = render(extraVolumes=[volume], extraVolumeMounts=[where])
        assert [*default.pod()["volumes"], volume] == rendered.pod()["volumes"]
        assert [*default.server()["volumeMounts"], where] == rendered.server()["volumeMounts"]

    def test_startup_budget(self, render):
        """The probe's budget is also how long vLLM waits for its own engine."""
        rendered = render(server={"startup": {"periodSeconds": 5, "failureThreshold": 100}})
        probe = rendered.server()["startupProbe"]
        assert [probe["periodSeconds"], probe["failureThreshold"]] == [5, 100]
        assert environment(rendered.server())["VLLM_ENGINE_READY_TIMEOUT_S"] == "500"


class TestAccelerator:
    def test_cpu(self, render):
        """With no accelerator neither a resource nor a toleration is left."""
        rendered = render(accelerator={"count": 0})
        assert "tolerations" not in rendered.pod()
        assert set(rendered.server()["resources"]["limits"]) == {"memory", "ephemeral-storage"}

    def test_vendor(self, render):
        """Another resource name is asked for and tolerated."""
        rendered = render(accelerator={"resource": "amd.com/gpu", "count": 4})
        assert rendered.server()["resources"]["limits"]["amd.com/gpu"] == 4
        assert rendered.pod()["tolerations"] == [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]

    def test_no_toleration(self, render):
        """The toleration can be left to the user."""
        mine = [{"key": "team", "operator": "Exists"}]
        rendered = render(accelerator={"toleration": False}, tolerations=mine)
        assert mine == rendered.pod()["tolerations"]

    @pytest.mark.parametrize(
        ("count", "args", "expected"),
        [
            pytest.param(1, [], [], id="one"),
            pytest.param(4, [], ["--tensor-parallel-size=4"], id="several"),
            pytest.param(4, ["--tensor-parallel-size=2"], ["--tensor-parallel-size=2"], id="the user's own"),
            pytest.param(4, ["--tensor_parallel_size", "2"], ["--tensor_parallel_size", "2"], id="underscores"),
            pytest.param(4, ["-tp=2"], ["-tp=2"], id="short"),
            pytest.param(4, ["--pipeline-parallel-size=4"], ["--pipeline-parallel-size=4"], id="another kind"),
        ],
    )
    def test_tensor_parallel(self, render, count, args, expected):
        """Several GPUs are used by tensor parallelism unless the user says how."""
        rendered = render(accelerator={"count": count}, server={"args": args})
        assert expected == rendered.server()["args"][3:]


class TestPod:
    @pytest.mark.parametrize(
        ("key", "value", "field"),
        [
            pytest.param("affinity", {"podAffinity": {}}, "affinity", id="affinity"),
            pytest.param(
                "topologySpreadConstraints", [{"maxSkew": 1}], "topologySpreadConstraints", id="topology spread"
            ),
            pytest.param("runtimeClassName", "nvidia", "runtimeClassName", id="runtime class"),
            pytest.param("priorityClassName", "high", "priorityClassName", id="priority class"),
            pytest.param("nodeSelector", {"zone": "a"}, "nodeSelector", id="node selector"),
            pytest.param("serviceAccount.name", "runner", "serviceAccountName", id="service account"),
        ],
    )
    def test_passes_on(self, render, default, key, value, field):
        """A value is the field of the same meaning, absent by default."""
        assert value == render(nested(key, value)).pod()[field]
        assert field not in default.pod()

    @pytest.mark.parametrize("field", ["progressDeadlineSeconds", "replicas"])
    def test_deployment_number(self, render, field):
        """A number of the Deployment is passed on."""
        value = {"progressDeadlineSeconds": 4000, "replicas": 0}[field]
        assert value == render({field: value}).one("Deployment")["spec"][field]

    def test_grace_period(self, render):
        """The time to finish answers is passed on."""
        assert render(terminationGracePeriodSeconds=5).pod()["terminationGracePeriodSeconds"] == 5

    def test_security_contexts(self, render):
        """What the user adds to the contexts joins the chart's defaults, in every pod and container."""
        rendered = render(podSecurityContext={"runAsUser": 10001}, securityContext={"runAsGroup": 0})
        assert [pod["securityContext"]["runAsUser"] for pod in rendered.pods().values()] == [10001, 10001]
        assert [pod["securityContext"]["runAsNonRoot"] for pod in rendered.pods().values()] == [True, True]
        assert [one["securityContext"]["runAsGroup"] for one in rendered.containers().values()] == [0, 0, 0]

    def test_annotations_and_labels(self, render):
        """The user's join the chart's own, which can't be overridden."""
        metadata = render(
            podAnnotations={"mine": "a", "modelcar/digest": "forged"},
            podLabels={"team": "b", "app.kubernetes.io/part-of": "forged"},
            commonLabels={"owner": "c"},
        ).one("Deployment")["spec"]["template"]["metadata"]
        assert [metadata["annotations"][key] for key in ("mine", "modelcar/digest")] == ["a", DIGEST]
        assert [metadata["labels"][k] for k in ("team", "owner", "app.kubernetes.io/part-of")] == ["b", "c", "modelcar"]

    def test_common_labels_do_not_replace_the_charts_own(self, render):
        """What helm and the command line find objects by stays as it is."""
        rendered = render(
            commonLabels={"app.kubernetes.io/part-of": "forged", "app.kubernetes.io/managed-by": "forged"}
        )
        labels = [one["metadata"]["labels"] for one in rendered.objects]
        assert [one["app.kubernetes.io/part-of"] for one in labels] == ["modelcar"] * 5
        assert [one["app.kubernetes.io/managed-by"] for one in labels] == ["Helm"] * 5

    def test_common_labels_are_on_every_object(self, render):
        """A label for all is on all, the claim and the test pod among them."""
        rendered = render(commonLabels={"owner": "c"})
        assert [one["metadata"]["labels"]["owner"] for one in rendered.objects] == ["c"] * 5
        assert "owner" not in rendered.one("Deployment")["spec"]["selector"]["matchLabels"]

    def test_tag_is_only_shown(self, render):
        """A tag shows in the annotation and changes no pod."""
        tagged, plain = render(model={"image": {"tag": "1.0"}}), render()
        assert tagged.one("Deployment")["metadata"]["annotations"]["modelcar/image"].endswith(f"-instruct:1.0@{DIGEST}")
        assert plain.one("Deployment")["spec"] == tagged.one("Deployment")["spec"]


class TestFailures:
    def test_last_lines_of_a_log_are_the_reason(self, default):
        """A container that ends without a message leaves its last lines where `kubectl describe` shows them."""
        found = {name: one["terminationMessagePolicy"] for name, one in default.containers().items()}
        assert found == dict.fromkeys(("puller", "server", "one-token"), "FallbackToLogsOnError")


class TestStrategy:
    def test_rolling_update_does_not_surge(self, render):
        """A shared claim may roll, still without asking for further GPUs."""
        rendered = render(strategy={"type": "RollingUpdate"}, storage={"accessModes": ["ReadWriteMany"]}, replicas=2)
        expected = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
        assert expected == rendered.one("Deployment")["spec"]["strategy"]

    def test_rolling_update_as_the_user_says(self, render):
        """The user's own numbers stay, zero too."""
        rolling = {"maxSurge": 1, "maxUnavailable": 0}
        rendered = render(
            strategy={"type": "RollingUpdate", "rollingUpdate": rolling}, storage={"existingClaim": "shared"}
        )
        assert rolling == rendered.one("Deployment")["spec"]["strategy"]["rollingUpdate"]


class TestModelPath:
    def test_is_the_digests_folder(self, render):
        """The server reads the folder named by the digest that the puller writes."""
        assert f"--model={FOLDER}" in render().server()["args"]
        assert "--model=/models/" + "f" * 64 in render(model={"image": {"digest": OTHER}}).server()["args"]
