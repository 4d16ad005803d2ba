"""From a folder to an answer, as a user does it."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from tests.cluster import Cluster
from tests.cluster.cluster import HERE as CLUSTER
from tests.cluster.cluster import NODE_IP, PRIVATE_PASSWORD, PRIVATE_REGISTRY, PRIVATE_USER
from tests.cluster.router import DOMAIN
from tests.e2e.client import Terminal, terminal
from tests.e2e.conftest import MODEL

pytestmark = [pytest.mark.cluster, pytest.mark.model, pytest.mark.real]

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."

Arguments = Callable[..., list[str]]


@pytest.fixture(scope="module")
def installed(settled: Terminal, install: Arguments) -> Terminal:
    """Install the release `demo` and give the terminal that did it."""
    done = settled.modelcar(*install("demo", settled.namespace, "--no-route"))
    assert "demo" in done.out
    return settled


def chat(user: Terminal, *more: str) -> str:
    return user.modelcar("chat", "demo", QUESTION, "-n", user.namespace, "--temperature", "0", *more).out


def pod_of(user: Terminal) -> dict:
    pods = json.loads(
        user.kubectl(
            "get", "pods", "-l", "app.kubernetes.io/instance=demo,app.kubernetes.io/component=server", "-o", "json"
        ).out
    )["items"]
    live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert len(live) == 1
    return live[0]


def ready(user: Terminal) -> None:
    user.kubectl("rollout", "status", "deployment/demo-modelcar", "--timeout=180s")


def until_routes_are(user: Terminal, *, allowed: bool) -> None:
    """Wait until the cluster's roles say so: a controller gathers them from those that were just changed."""
    question = ("auth", "can-i", "list", "routes.route.openshift.io")
    end = time.monotonic() + 30
    while (user.kubectl(*question, check=False).code == 0) != allowed:
        assert time.monotonic() < end
        time.sleep(0.2)


def blob_reads(cluster: Cluster) -> int:
    """Count the model's blobs that the registry was asked for, by its own log."""
    log = (cluster.state / "log" / "registry.log").read_text()
    return log.count(f'"GET /v2/models/{MODEL}/blobs/')


class TestInstalledRelease:
    """One release, looked at from all sides and then removed; the tests run in this order."""

    def test_model_answers_through_the_api_server(self, installed: Terminal):
        """The answer is the real model's, from the bytes that push sent."""
        assert chat(installed).strip() == ANSWER

    def test_prompt_comes_from_oc_too(self, installed: Terminal):
        """The copy of kubectl called oc finds and runs the same plugin."""
        done = installed.modelcar(
            "chat", "demo", QUESTION, "-n", installed.namespace, "--temperature", "0", "-o", "json", via="oc"
        )
        assert done.json()["answer"].strip() == ANSWER

    def test_claim_is_bound_and_the_pull_is_done(self, installed: Terminal):
        """The claim holds the model, and the init container ended well."""
        claim = json.loads(installed.kubectl("get", "pvc", "demo-modelcar-models", "-o", "json").out)
        init = pod_of(installed)["status"]["initContainerStatuses"][0]
        assert (claim["status"]["phase"], init["state"]["terminated"]["exitCode"]) == ("Bound", 0)

    def test_status_tells_that_it_is_ready(self, installed: Terminal):
        """Status shows the same stages as install, all done."""
        found = installed.modelcar("status", "demo", "-n", installed.namespace, "-o", "json").json()
        assert found["ready"] is True

    def test_helm_test_gets_a_token(self, installed: Terminal):
        """The chart's own test asks the server for one token."""
        done = installed.helm("test", "demo", "--timeout", "2m")
        assert "Phase:          Succeeded" in done.out

    def test_new_pod_pulls_nothing(self, cluster: Cluster, installed: Terminal):
        """A pod that finds the model on the claim starts without a byte from the registry."""
        reads = blob_reads(cluster)
        before = pod_of(installed)["metadata"]["name"]
        installed.kubectl("delete", "pod", before)
        ready(installed)
        after = pod_of(installed)["metadata"]["name"]
        log = installed.kubectl("logs", after, "-c", "puller").out
        assert before != after
        assert "already complete" in log
        assert (reads > 0, blob_reads(cluster)) == (True, reads)
        assert chat(installed).strip() == ANSWER

    def test_installing_again_is_an_upgrade(self, installed: Terminal, install: Arguments):
        """The same command again changes nothing and says that all is ready."""
        done = installed.modelcar(*install("demo", installed.namespace, "--no-route", "-o", "json"))
        assert done.json()["revision"] == 2

    def test_uninstall_keeps_the_claim(self, installed: Terminal):
        """The model stays on its claim; everything else goes."""
        installed.modelcar("uninstall", "demo", "-n", installed.namespace)
        left = json.loads(installed.kubectl("get", "deploy,svc,cm,secret,pvc", "-o", "json").out)["items"]
        ours = {f"{item['kind']}/{item['metadata']['name']}" for item in left if "demo" in item["metadata"]["name"]}
        assert ours == {"PersistentVolumeClaim/demo-modelcar-models"}

    def test_uninstall_of_nothing_says_so(self, installed: Terminal):
        """A release that is not there is exit code 4 and one error line."""
        done = installed.modelcar("uninstall", "demo", "-n", installed.namespace, check=False)
        assert (done.code, done.out, done.err.count("error: ")) == (4, "", 1)


class TestPlainHelm:
    """The chart alone does the same."""

    def test_helm_install_with_a_digest(self, user: Terminal, pushed: str, server_image: str, checkout):
        """No CLI is needed between the digest and the answer."""
        reference, _, digest = pushed.partition("@")
        repository, _, tag = server_image.rpartition(":")
        values = {
            "model": {"image": {"reference": reference, "digest": digest, "plainHttp": True}},
            "server": {
                "image": {"repository": repository, "tag": tag},
                "args": ["--max-model-len=2048"],
                "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}},
            },
            "storage": {"size": "1Gi"},
            "podSecurityContext": {"runAsUser": 1001, "runAsGroup": 0, "fsGroup": 1001},
        }
        file = user.home / "values.json"
        file.write_text(json.dumps(values))
        user.helm("install", "plain", checkout / "chart", "-f", file)
        user.kubectl("rollout", "status", "deployment/plain-modelcar", "--timeout=180s")
        body = json.dumps({"messages": [{"role": "user", "content": QUESTION}], "temperature": 0})
        done = user.run(
            "curl", "-sf", "-H", "Content-Type: application/json", "-d", body,
            f"http://{self.address(user)}/v1/chat/completions",
        )  # fmt: skip
        assert done.json()["choices"][0]["message"]["content"].strip() == ANSWER

    @staticmethod
    def address(user: Terminal) -> str:
        service = json.loads(user.kubectl("get", "service", "plain-modelcar", "-o", "json").out)["spec"]
        return f"{service['clusterIP']}:{service['ports'][0]['port']}"


class TestOpenShift:
    """OpenShift's defaults: restricted-v2, a Route with TLS at the router, and an API key."""

    def test_install_and_chat_over_the_route(
        self, cluster: Cluster, home: Path, openshift_namespace: str, install: Arguments, router: Path
    ):
        """Nothing is asked for but the model; the pod's uid is the namespace's, and all talk goes over the Route."""
        host = f"demo-modelcar-{openshift_namespace}.{DOMAIN}"
        user = replace(terminal(cluster, home, openshift_namespace), hosts={host: NODE_IP})
        done = user.modelcar(*install("demo", openshift_namespace, "-o", "json")).json()
        assert (done["via"], done["url"], done["apiKeySecret"]) == ("route", f"https://{host}/v1", "demo-api-key")
        assert [c["securityContext"].get("runAsUser") for c in pod_of(user)["spec"]["containers"]] == [1000680000]
        before = len(router.read_text().splitlines())
        assert chat(user).strip() == ANSWER
        assert chat(user, "--ca-file", str(cluster.state / "pki" / "ca.crt")).strip() == ANSWER
        # A client that has its answer hangs up, which the router may note as broken.
        lines = [line for line in router.read_text().splitlines()[before:] if not line.startswith("broken: ")]
        went = [line.rpartition(" ")[0] for line in lines]
        assert went == [f"POST {host} /v1/chat/completions"] * 2
        self.refusals(user, cluster, host)

    def refusals(self, user: Terminal, cluster: Cluster, host: str) -> None:
        """Have strangers, other paths and other authorities refused."""
        secret = json.loads(user.kubectl("get", "secret", "demo-api-key", "-o", "json").out)
        key = base64.b64decode(secret["data"]["api-key"]).decode()

        def status(path: str, *more: str) -> str:
            ask = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", cluster.state / "pki" / "ca.crt")
            return user.run(*ask, *more, f"https://{host}{path}").out

        bearer = ("-H", f"Authorization: Bearer {key}")
        asked = [
            status("/v1/models"),
            status("/v1/models", *bearer),
            status("/health", *bearer),
            status("/v1x", *bearer),
        ]
        assert asked == ["401", "200", "503", "503"]
        other = user.home / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        refused = user.modelcar("chat", "demo", QUESTION, "-n", user.namespace, "--ca-file", other, check=False)
        assert (refused.code, refused.out) == (5, "")
        assert "cannot be trusted" in refused.err


class TestPrivateRegistry:
    """An image that nobody may read without logging in."""

    def test_pull_secret_is_made_from_the_users_own_login(
        self, cluster: Cluster, home, namespace: str, smollm2, server_image: str
    ):
        """The pod gets the credentials of that registry and of no other; uninstalling takes them away again."""
        login = home / "auth.json"
        here = base64.b64encode(f"{PRIVATE_USER}:{PRIVATE_PASSWORD}".encode()).decode()
        login.write_text(json.dumps({"auths": {PRIVATE_REGISTRY: {"auth": here}, "other.example.com": {"auth": here}}}))
        user = terminal(cluster, home, namespace)
        access = ("--plain-http", "--authfile", login)
        image = user.modelcar("push", smollm2, f"{PRIVATE_REGISTRY}/models/tiny:1", *access).out.strip()
        user.modelcar(
            *("install", "demo", image, *access, "-n", namespace, "--server-image", server_image, "--no-route"),
            *("--context-length", "2048", "--set", "server.resources.requests.cpu=100m", "--timeout", "4m"),
        )
        secret = json.loads(user.kubectl("get", "secret", "demo-pull", "-o", "json").out)
        config = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))
        assert list(config["auths"]) == [PRIVATE_REGISTRY]
        assert chat(user).strip() == ANSWER
        assert PRIVATE_PASSWORD not in user.helm("get", "all", "demo").out
        user.modelcar("uninstall", "demo", "-n", namespace, "--delete-storage")
        user.kubectl("wait", "--for=delete", "pvc/demo-modelcar-models", "--timeout=60s")
        left = user.kubectl("get", "secret,pvc", "-o", "name").out.split()
        assert [name for name in left if "demo" in name] == []

    def test_wrong_password_is_found_before_anything_is_made(self, cluster: Cluster, home, namespace: str):
        """The registry's no is exit code 3, and the namespace stays empty."""
        login = home / "wrong.json"
        login.write_text(json.dumps({"auths": {PRIVATE_REGISTRY: {"auth": base64.b64encode(b"me:wrong").decode()}}}))
        user = terminal(cluster, home, namespace)
        image = f"{PRIVATE_REGISTRY}/models/tiny:1"
        done = user.modelcar(
            "install", "demo", image, "--plain-http", "--authfile", login, "-n", namespace, check=False
        )
        assert (done.code, done.out) == (3, "")
        assert user.kubectl("get", "deploy,pvc,secret", "-o", "name").out == ""


class TestPlainKubernetes:
    """A cluster without OpenShift's Routes."""

    @pytest.fixture
    def plain(self, cluster: Cluster, user: Terminal) -> Iterator[Terminal]:
        """Take the Routes away, and the roles that know them: then listing them is forbidden, not unknown."""
        manifest = str(CLUSTER / "manifests" / "route-crd.yaml")
        cluster.kubectl("delete", "-f", manifest)
        try:
            until_routes_are(user, allowed=False)
            yield user
        finally:
            cluster.kubectl("apply", "-f", manifest)
            cluster.kubectl("wait", "--for=condition=Established", "crd/routes.route.openshift.io", "--timeout=30s")
            until_routes_are(user, allowed=True)

    def test_install_chat_and_status_without_routes(self, plain: Terminal, pushed: str, install: Arguments):
        """Nobody said --no-route: that there are none is found out, and chat goes through the API server."""
        refused = plain.modelcar(
            "install", "demo", pushed, "--plain-http", "-n", plain.namespace, "--route", check=False
        )
        done = plain.modelcar(*install("demo", plain.namespace, "-o", "json")).json()
        found = plain.modelcar("status", "demo", "-n", plain.namespace, "-o", "json").json()
        assert (refused.code, refused.err.count("error: ")) == (8, 1)
        assert (done["via"], done["url"], done["apiKeySecret"]) == ("service proxy", None, None)
        assert (found["ready"], found["via"]) == (True, "service proxy")
        assert chat(plain).strip() == ANSWER


class TestNames:
    """The plugin speaks by the name that it was called by."""

    @pytest.mark.parametrize("name", ["kubectl", "oc"])
    def test_help_says_how_it_was_called(self, user: Terminal, name: str):
        """Usage shows `kubectl modelcar` or `oc modelcar`."""
        done = user.modelcar("install", "--help", via=name)
        assert done.out.splitlines()[0].startswith(f"Usage: {name} modelcar install ")


class TestRefusals:
    """What a cluster can refuse, said before or instead of half an install."""

    @pytest.mark.parametrize(
        ("kubeconfig", "code", "error"),
        [
            (
                "dev.kubeconfig",
                3,
                "cannot list persistentvolumeclaims in namespace nowhere: the cluster does not allow dev to",
            ),
            ("kubeconfig", 4, "cannot install demo: there is no namespace nowhere"),
        ],
        ids=["dev", "administrator"],
    )
    def test_unknown_namespace(  # noqa: PLR0917
        self, cluster: Cluster, user: Terminal, pushed: str, kubeconfig: str, code: int, error: str
    ):
        """Who may not see that it is not there is told that he may do nothing in it."""
        done = replace(user, environment={"KUBECONFIG": str(cluster.state / kubeconfig)}).modelcar(
            "install", "demo", pushed, "--plain-http", "-n", "nowhere", check=False
        )
        assert (done.code, f"error: {error}" in done.err) == (code, True)

    def test_server_image_that_is_not_there(self, user: Terminal, install: Arguments):
        """An image that cannot be pulled ends the wait early, with the kubelet's own words."""
        arguments = [*install("demo", user.namespace, "--no-route"), "--server-image", "192.168.77.2:5000/none:1"]
        done = user.modelcar(*arguments, check=False)
        assert done.code == 8
        assert "192.168.77.2:5000/none:1" in done.err

    def test_timeout_names_the_stage_and_leaves_the_install(self, user: Terminal, install: Arguments):
        """A wait that ends is exit code 9; the pod that cannot be scheduled is the cause."""
        arguments = [*install("demo", user.namespace, "--no-route", "--set", "accelerator.count=64"), "--timeout", "8s"]
        done = user.modelcar(*arguments, check=False)
        assert done.code == 9
        assert "nvidia.com/gpu" in done.err
        assert "deployment.apps/demo-modelcar" in user.kubectl("get", "deploy", "-o", "name").out
