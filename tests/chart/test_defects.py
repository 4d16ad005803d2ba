"""The defects of the procedure that this chart replaces, one test each, named by its number there.

The procedure: apply five pages of YAML by hand; an init container runs a shell script with `oras pull` onto a volume.
B27 is of the image, not of the chart; B18 is the cluster's, and the chart can only let the user choose.
"""

import re

import pytest

from tests.chart.rendering import (
    CHART,
    DIGEST,
    FOLDER,
    HelmRefused,
    environment,
    merged,
    mount,
)

pytestmark = pytest.mark.real

OTHER = "sha256:" + "f" * 64


class TestPull:
    def test_b1_no_shell_between_the_puller_and_its_arguments(self, default):
        """A backslash too many can't change a command that no shell reads."""
        assert default.puller()["command"] == ["python3", "-u", "/opt/modelcar/puller.py"]
        assert [one for one in default.puller()["args"] if not one.startswith("--")] == []

    def test_b2_a_volumes_own_lost_and_found_is_no_model(self, default):
        """The model is a folder of its own below the volume's root, which need not be empty."""
        assert f"--model={FOLDER}" in default.server()["args"]
        assert FOLDER.startswith(mount(default.server(), "/models")["mountPath"] + "/")
        assert "subPath" not in mount(default.server(), "/models")

    def test_b3_layers_without_titles_are_pulled_too(self, default):
        """The puller is the chart's own, which reads ordinary images; `oras pull` skips their layers in silence."""
        assert "oras" not in " ".join([default.puller()["image"], *default.puller()["command"]])
        assert "puller.py" in default.one("ConfigMap")["data"]

    def test_b4_half_a_pull_is_no_model(self, default):
        """The server reads only the folder that appears when the pull is whole: the one named by the digest."""
        argument = default.server()["args"][0]
        assert argument == "--model=/models/" + DIGEST.removeprefix("sha256:")

    def test_b5_a_new_digest_is_a_new_pod(self, render, default):
        """Another model changes what is pulled, what is read, and the pod itself."""
        template = render(model={"image": {"digest": OTHER}}).one("Deployment")["spec"]["template"]
        before = default.one("Deployment")["spec"]["template"]
        assert template["metadata"]["annotations"]["modelcar/digest"] == OTHER
        assert before["metadata"]["annotations"]["modelcar/digest"] == DIGEST
        assert OTHER in template["spec"]["initContainers"][0]["args"][0]

    def test_b6_credentials_reach_the_puller(self, render):
        """The folder that the flag names is the one that the Secret is mounted at."""
        puller = render(model={"image": {"pullSecret": "mine"}}).puller()
        assert "--auth-dir=/auth" in puller["args"]
        assert mount(puller, "/auth") == {"name": "auth", "mountPath": "/auth", "readOnly": True}

    @pytest.mark.parametrize("key", [".dockerconfigjson", ".dockercfg", "config.json"])
    def test_b7_secrets_of_each_type_can_be_named(self, render, key):
        """The default is what today's tools make; older and plain Secrets need one more value."""
        rendered = render(
            model={"image": {"pullSecret": "mine", **({} if key == ".dockerconfigjson" else {"pullSecretKey": key})}}
        )
        assert rendered.volume("auth")["secret"]["items"] == [{"key": key, "path": "config.json"}]

    def test_b8_no_third_image(self, default):
        """There is one image to trust and to mirror: the server's."""
        assert {"docker.io/vllm/vllm-openai:v0.32.0"} == {one["image"] for one in default.containers().values()}

    def test_b9_the_pull_needs_no_scratch(self, default):
        """Only the claim is as large as the model; /tmp is small and limited."""
        assert mount(default.puller(), "/models") == {"name": "models", "mountPath": "/models"}
        assert default.volume("tmp") == {"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}}

    def test_b10_any_user_may_write_the_volume(self, default, render):
        """No user is fixed; a group can be, and the kubelet does not walk over a large model to set it again."""
        context = default.pod()["securityContext"]
        assert context == {
            "runAsNonRoot": True,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert render(podSecurityContext={"fsGroup": 10001}).pod()["securityContext"]["fsGroup"] == 10001


class TestServer:
    def test_b11_home_and_caches_can_be_written(self, default):
        """Every place that the server's libraries write to is in a volume that any user may write."""
        env = environment(default.server())
        caches = [
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "HF_HOME",
            "VLLM_CACHE_ROOT",
            "VLLM_CONFIG_ROOT",
            "TRITON_CACHE_DIR",
            "TORCHINDUCTOR_CACHE_DIR",
            "NUMBA_CACHE_DIR",
            "OUTLINES_CACHE_DIR",
        ]
        home = env["HOME"]
        assert [env[name].startswith(home + "/") for name in caches] == [True] * 9
        for path in (home, "/tmp"):  # noqa: S108 - a path in the pod
            name = mount(default.server(), path)["name"]
            assert "emptyDir" in default.volume(name)
        # getpass.getuser() asks for it where the user is in no passwd file
        assert env["USER"] == "vllm"

    def test_b12_dev_mode_is_refused(self, render):
        """The paths that run code are not opened unless asked for by name."""
        with pytest.raises(HelmRefused, match="VLLM_SERVER_DEV_MODE: whoever reaches the server could run code"):
            render(server={"env": [{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}]})

    def test_b13_the_route_is_encrypted_patient_and_narrow(self, render):
        """TLS at the router, no plain HTTP, time for a long answer, and only paths that the API key guards."""
        route = render(route={"enabled": True}).one("Route")
        assert route["spec"]["tls"] == {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"}
        assert route["spec"]["path"] == "/v1"
        assert route["metadata"]["annotations"]["haproxy.router.openshift.io/timeout"] == "10m"

    def test_b14_names_agree(self, render, notes):
        """What is said in the notes is what exists, and everything points at it."""
        values = {"route": {"enabled": True}}
        rendered, said = render(values), notes(values)
        labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
        assert rendered.one("Service")["spec"]["selector"].items() <= labels.items()
        assert rendered.one("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert rendered.one("Route")["spec"]["to"]["name"] == rendered.one("Service")["metadata"]["name"]
        for kind in ("Deployment", "Service", "Route", "PersistentVolumeClaim"):
            assert f"{kind.lower()}{' ' if kind in ('Route', 'PersistentVolumeClaim') else '/'}" in said
            assert rendered.one(kind)["metadata"]["name"] in said

    def test_b15_not_ready_before_the_model_is_loaded(self, default):
        """Requests come only when /health, which opens with the loaded model, says so."""
        assert default.server()["readinessProbe"]["httpGet"] == {"path": "/health", "port": "http"}

    def test_b16_a_slow_start_is_not_a_hung_server(self, default):
        """A hung server is restarted; one that loads is left alone for as long as it may take."""
        server = default.server()
        assert (
            server["livenessProbe"]["httpGet"]
            == server["startupProbe"]["httpGet"]
            == {"path": "/health", "port": "http"}
        )
        budget = server["startupProbe"]["periodSeconds"] * server["startupProbe"]["failureThreshold"]
        assert budget == 1800
        # vLLM gives up by itself after ten minutes unless told otherwise
        assert int(environment(server)["VLLM_ENGINE_READY_TIMEOUT_S"]) >= budget

    def test_b17_rollout_cannot_deadlock(self, default, render):
        """The old pod goes before the new one needs its volume and its GPU; anything else is refused or frees first."""
        assert default.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
        for mode in ("ReadWriteOnce", "ReadWriteOncePod"):
            for values in ({"replicas": 2}, {"strategy": {"type": "RollingUpdate"}}):
                with pytest.raises(HelmRefused, match=f"the claim is {mode}"):
                    render(merged(values, {"storage": {"accessModes": [mode]}}))
        shared = {"storage": {"accessModes": ["ReadWriteMany"]}, "strategy": {"type": "RollingUpdate"}}
        rolling = render(shared).one("Deployment")["spec"]["strategy"]["rollingUpdate"]
        assert rolling == {"maxSurge": 0, "maxUnavailable": 1}

    def test_b18_the_storage_class_is_a_choice(self, render):
        """A class that waits for the first consumer can be named."""
        rendered = render(storage={"storageClass": "metro"})
        assert rendered.one("PersistentVolumeClaim")["spec"]["storageClassName"] == "metro"

    def test_b19_a_cold_start_is_no_failed_rollout(self, default, render):
        """The deadline is longer than pulling and loading; one that is not is refused."""
        assert default.one("Deployment")["spec"]["progressDeadlineSeconds"] == 7200
        with pytest.raises(HelmRefused, match="a rollout would count as failed while the model loads"):
            render(progressDeadlineSeconds=1800)
        slow = render(server={"startup": {"periodSeconds": 10, "failureThreshold": 1000}})
        assert slow.one("Deployment")["spec"]["progressDeadlineSeconds"] == 10000 + 5400

    def test_b20_tainted_gpu_nodes_are_tolerated(self, default):
        """GPU nodes carry the resource's name as taint; no runtime class is asked for, which not every cluster has."""
        assert default.pod()["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert "runtimeClassName" not in default.pod()

    def test_b21_services_do_not_set_vllms_variables(self, default):
        """A Service called vllm would set VLLM_PORT, at which vLLM aborts."""
        assert [pod["enableServiceLinks"] for pod in default.pods().values()] == [False, False]

    def test_b22_containers_are_bounded_and_bare(self, default):
        """Resources and a security context everywhere, no token, and a model that the server can't change."""
        for container in default.containers().values():
            assert container["resources"]["requests"]["ephemeral-storage"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert default.pod()["automountServiceAccountToken"] is False
        assert mount(default.server(), "/models") == {"name": "models", "mountPath": "/models", "readOnly": True}

    def test_b23_memory_and_shm_follow_the_model(self, render):
        """Both are values, as a model of another size needs others."""
        rendered = render(server={"resources": {"limits": {"memory": "96Gi"}}, "shm": {"sizeLimit": "16Gi"}})
        assert rendered.server()["resources"]["limits"]["memory"] == "96Gi"
        assert rendered.volume("shm")["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
        assert mount(rendered.server(), "/dev/shm")["name"] == "shm"  # noqa: S108 - a path in the pod

    def test_b24_the_claim_follows_the_model_and_outlives_the_release(self, render):
        """Its size is a value, and uninstalling does not delete weights that took an hour to pull."""
        claim = render(storage={"size": "200Gi"}).one("PersistentVolumeClaim")
        assert claim["spec"]["resources"]["requests"]["storage"] == "200Gi"
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"

    def test_b25_a_server_of_a_known_version_that_does_not_report_home(self, default):
        """The image has a version, not `latest` and not a digest that nobody can read."""
        assert re.fullmatch(r"docker\.io/vllm/vllm-openai:v\d+\.\d+\.\d+", default.server()["image"])
        env = environment(default.server())
        assert [env["VLLM_NO_USAGE_STATS"], env["DO_NOT_TRACK"]] == ["1", "1"]

    def test_b26_needs_no_cluster_admin(self, render):
        """All objects are of the namespace, and none gives or needs further rights."""
        rendered = render({"route": {"enabled": True}, "server": {"apiKey": {"existingSecret": "k"}}})
        kinds = {"ConfigMap", "Deployment", "PersistentVolumeClaim", "Pod", "Route", "Service"}
        assert kinds == set(rendered.kinds())
        assert [one for one in rendered.objects if "namespace" in one["metadata"]] == []

    @pytest.mark.parametrize("path", sorted((CHART / "templates").rglob("*.*")), ids=lambda path: path.name)
    def test_b28_templates_are_plain_text(self, path):
        """No sign that an editor or a web page put there gets in the way."""
        strange = {sign for sign in path.read_text("utf-8") if not (sign.isascii() or sign == "…")}
        assert set() == strange

    def test_b29_ports_and_labels_are_the_standard_ones(self, default):
        """Ports have names and a protocol, labels are Kubernetes' own, and the selector never changes."""
        (port,) = default.one("Service")["spec"]["ports"]
        assert [port["name"], port["targetPort"], port["appProtocol"]] == ["http", "http", "http"]
        assert default.server()["ports"][0]["name"] == "http"
        selector = {"app.kubernetes.io/name": "modelcar", "app.kubernetes.io/instance": "granite"}
        assert default.one("Deployment")["spec"]["selector"] == {"matchLabels": selector}
