"""Tests of `install`, `status` and `uninstall` as they are typed: whole outputs and exit codes.

The registry, the cluster and helm are fakes; the model is pushed by our own `push`.
"""

import base64
import io
import json
import ssl
import struct
import sys

import pytest
import trustme
import yaml

from tests.fakes.cluster_objects import claim, deployment, ended, event, pod, replica_set, running, service, waiting
from tests.fakes.helm import helm_program
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.proxy import FakeProxy
from tests.fakes.registry import PASSWORD, USER, FakeRegistry

CONFIG = {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 8, "max_position_embeddings": 2048}
TOKEN = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\ndata: [DONE]\n\n'
CHAT = "Chat: kubectl modelcar chat g -n models"
ANSWERS = "http:g-modelcar:http/v1/chat/completions"


@pytest.fixture
def model(tmp_path):
    """Write a model of a few bytes."""
    folder = tmp_path / "model"
    folder.mkdir()
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


@pytest.fixture
def image(invoke, registry, model):
    """Push the model and return its name."""
    name = f"{registry.host}/me/granite:1"
    assert invoke("push", model, name, "--plain-http", "-q").code == 0
    return name


@pytest.fixture
def digest(registry):
    return next(iter(registry.tags.values()))


@pytest.fixture
def kube(monkeypatch, tmp_path):
    """Run a cluster that the kubeconfig leads to."""
    with FakeKubeApi() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        yield server


@pytest.fixture
def helm(monkeypatch, tmp_path):
    """Put a program there that says it is helm; return the folder of what it was asked."""
    monkeypatch.setenv("HELM_BIN", str(helm_program(tmp_path / "helm")))
    return tmp_path / "helm"


@pytest.fixture
def ready(kube):
    """Have a release on the cluster that is ready and answers."""
    make_ready(kube)


def make_ready(kube):
    kube.add("deployments", deployment())
    kube.add("replicasets", replica_set())
    kube.add("services", service())
    kube.add("persistentvolumeclaims", claim())
    kube.add("pods", pod(puller=ended(), server=running(), ready=True))
    kube.proxied[ANSWERS] = TOKEN


def runs(folder):
    """Return what helm was asked, as (argv, values)."""
    lines = [json.loads(line) for line in (folder / "runs").read_text().splitlines()]
    return [(line["argv"], json.loads(line["stdin"] or "null")) for line in lines]


class TestInstall:
    """A model is served."""

    @pytest.mark.usefixtures("kube", "ready", "helm")
    def test_text(self, invoke, image):
        """The URL and the chat command on stdout; everything else on stderr."""
        done = invoke("install", "g", image, "--plain-http")
        assert (done.code, done.out) == (
            0,
            f"URL:  http://g-modelcar.models.svc:8000/v1 (inside the cluster)\n{CHAT}\n",
        )

    @pytest.mark.usefixtures("kube", "ready", "helm")
    def test_stages(self, invoke, image):
        """One line a stage, to the first token."""
        lines = invoke("install", "g", image, "--plain-http").err.splitlines()
        assert [line.split(":")[0] for line in lines] == [
            "warning",
            "✓ helm",
            "✓ release",
            "✓ claim",
            "✓ node",
            "✓ server image",
            "✓ model",
            "✓ server",
            "✓ ready",
            "… first token",
            "✓ first token",
        ]

    @pytest.mark.usefixtures("kube", "ready", "helm")
    def test_json(self, invoke, image):
        """One object, for programs."""
        found = json.loads(invoke("install", "g", image, "--plain-http", "-o", "json").out)
        reasons, seconds = found.pop("reasons"), found.pop("firstTokenSeconds")
        assert (found.pop("image").partition("@")[0], len(reasons) > 4, seconds >= 0) == (image[:-2], True, True)
        assert found == {
            "name": "g",
            "namespace": "models",
            "revision": 1,
            "ready": True,
            "url": None,
            "insideUrl": "http://g-modelcar.models.svc:8000",
            "via": "service proxy",
            "model": "granite",
            "apiKeySecret": None,
            "chat": "kubectl modelcar chat g -n models",
        }

    @pytest.mark.usefixtures("kube", "ready")
    def test_what_helm_gets(self, invoke, image, helm, tmp_path):
        """Our values on standard input, the user's on the command line after them."""
        values_file = tmp_path / "v.yaml"
        values_file.touch()
        options = ["--accelerator", "cpu", "--server-image", "quay.io/v/mini:1", "--replicas", "2", "-f", values_file]
        assert invoke("install", "g", image, "--plain-http", *options, "--set", "a=b", "--no-wait").code == 0
        argv, values = runs(helm)[-1]
        assert (argv[:3], argv[argv.index("--values") :][:6][2:]) == (
            ["upgrade", "--install", "g"],
            ["--values", str(values_file), "--set", "a=b"],
        )
        assert (values["server"]["image"], values["replicas"], values["model"]["image"]["plainHttp"]) == (
            {"repository": "quay.io/v/mini", "tag": "1", "digest": ""},
            2,
            True,
        )

    @pytest.mark.usefixtures("kube", "helm")
    def test_no_wait(self, invoke, image):
        """How to look at it, and how to chat later."""
        done = invoke("install", "g", image, "--plain-http", "--no-wait")
        assert done.out == ("Watch: kubectl modelcar status g -n models -w\nChat:  kubectl modelcar chat g -n models\n")

    @pytest.mark.usefixtures("helm")
    def test_private_image(self, invoke, kube, model, tmp_path, monkeypatch):
        """The user's credentials for that registry, and for no other, become the pods'."""
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        with FakeRegistry(auth="basic") as registry:
            (tmp_path / "docker").mkdir()
            auths = {registry.host: {"auth": login}, "quay.io": {"auth": "b3RoZXI6czNjcmV0"}}
            (tmp_path / "docker" / "config.json").write_text(json.dumps({"auths": auths}))
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
            name = f"{registry.host}/me/granite:1"
            assert invoke("push", model, name, "--plain-http", "-q").code == 0
            assert invoke("install", "g", name, "--plain-http", "--no-wait").code == 0
            given = json.loads(base64.b64decode(kube.get("secrets", "g-pull")["data"][".dockerconfigjson"]))
        assert list(given["auths"]) == [registry.host]


class TestProxy:
    """A cluster that only the kubeconfig's proxy leads to."""

    @pytest.fixture
    def proxy(self, monkeypatch, tmp_path):
        authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("api.test").configure_cert(tls)
        authority.cert_pem.write_to_path(tmp_path / "ca.crt")
        with FakeKubeApi(tls=tls) as far, FakeProxy() as proxy:
            make_ready(far)
            proxy.addresses = {"api.test:6443": far.url.removeprefix("https://")}
            way = {"server": "https://api.test:6443", "certificate-authority": "ca.crt", "proxy-url": proxy.url}
            monkeypatch.setenv("KUBECONFIG", str(far.kubeconfig(tmp_path / "kubeconfig", **way)))
            yield proxy

    @pytest.mark.usefixtures("helm", "proxy")
    def test_first_token(self, invoke, image):
        """The model is asked by the same way as the API server."""
        done = invoke("install", "g", image, "--plain-http", "--timeout", "20s")
        assert (done.code, done.err.splitlines()[-1].startswith("✓ first token")) == (0, True)

    def test_chat(self, invoke, monkeypatch, proxy):
        """So is it in a chat."""
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        done = invoke("chat", "g", "Hello")
        assert (done.code, done.out, set(proxy.tunnels)) == (0, "Hi\n", {"api.test:6443"})


class TestDryRun:
    """Nothing is made."""

    def test_client_without_a_cluster(self, invoke, image, helm):
        """The manifests on stdout, the reasons with -v, and what was not known."""
        done = invoke("install", "g", image, "--plain-http", "--dry-run=client", "-v")
        assert (done.code, done.out, [argv[0] for argv, _ in runs(helm)]) == (
            0,
            "---\n# Source: fake\nkind: Deployment\nmetadata: {name: fake}\n",
            ["template"],
        )
        unknown = "no kubeconfig was found, so it is unknown which cluster is meant"
        assert done.err.splitlines()[0] == f"warning: {unknown}; shown as for a plain Kubernetes"
        assert "# accelerator.count = 1: one GPU, as --gpus does not say otherwise" in done.err.splitlines()

    def test_client_with_a_layout(self, invoke, helm, model, tmp_path):
        """A layout on disk is shown with a stand-in for the registry."""
        layout = f"oci:{tmp_path}/layout:1"
        invoke("push", model, layout, "-q")
        done = invoke("install", "g", layout, "--dry-run=client", "-o", "json")
        found = json.loads(done.out)
        assert (found["image"].partition("@")[0], found["manifests"], runs(helm)[0][1] == found["values"]) == (
            "registry.example.com/g",
            [{"kind": "Deployment", "metadata": {"name": "fake"}}],
            True,
        )
        assert f"a cluster cannot pull {layout}; shown with registry.example.com/g in its place" in done.err

    @pytest.mark.usefixtures("helm")
    def test_server(self, invoke, image, kube):
        """What the API server made of it; nothing was written."""
        done = invoke("install", "g", image, "--plain-http", "--dry-run=server")
        assert (yaml.safe_load(done.out)["kind"], {request.method for request in kube.requests}) == ("Service", {"GET"})

    @pytest.mark.real
    def test_real_chart(self, invoke, image):
        """The chart takes our values; a helm is found, or the library."""
        done = invoke("install", "g", image, "--plain-http", "--dry-run=client")
        kinds = [document["kind"] for document in yaml.safe_load_all(done.out)]
        assert (done.code, kinds) == (0, ["ConfigMap", "PersistentVolumeClaim", "Service", "Deployment"])


class TestBadInput:
    """One `error:` line, one hint, the exit code; nothing on stdout."""

    def complaint(self, done):
        errors = [line for line in done.err.splitlines() if line.startswith(("error:", "hint:"))]
        return (done.code, done.out, *errors)

    @pytest.mark.usefixtures("kube", "helm")
    def test_name(self, invoke):
        """A name that is no DNS label, before the registry is asked."""
        assert self.complaint(invoke("install", "G_1", "quay.io/me/granite:1")) == (
            2,
            "",
            "error: 'G_1' cannot be the name of a release",
            "hint: use lower-case letters, digits and - between them, at most 53 characters",
        )

    def test_no_kubeconfig(self, invoke):
        """Nothing says which cluster is meant."""
        assert self.complaint(invoke("install", "g", "quay.io/me/granite:1")) == (
            8,
            "",
            "error: no kubeconfig was found, so it is unknown which cluster is meant",
            "hint: log in to a cluster (oc login URL), or name a kubeconfig by --kubeconfig or in KUBECONFIG",
        )

    @pytest.mark.usefixtures("kube")
    def test_no_helm(self, invoke, monkeypatch):
        """Neither a program nor the library."""
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setitem(sys.modules, "helm_python", None)
        assert self.complaint(invoke("install", "g", "quay.io/me/granite:1"))[:3] == (
            8,
            "",
            "error: helm was not found, and it is what installs the chart",
        )

    @pytest.mark.usefixtures("helm")
    def test_no_namespace(self, invoke, kube, image):
        """The namespace is named, and the option that makes it."""
        kube.namespaces.clear()
        assert self.complaint(invoke("install", "g", image, "--plain-http")) == (
            4,
            "",
            "error: cannot install g: there is no namespace models",
            "hint: check -n, or add --create-namespace",
        )

    @pytest.mark.usefixtures("helm", "kube")
    def test_unknown_image(self, invoke, registry):
        """The registry says no."""
        done = invoke("install", "g", f"{registry.host}/me/nothing:1", "--plain-http")
        assert (done.code, done.out, done.err.count("error: ")) == (4, "", 1)

    @pytest.mark.usefixtures("helm")
    def test_no_modelcar(self, invoke, kube, registry, model):
        """An image without a config.json."""
        (model / "config.json").unlink()
        name = f"{registry.host}/me/bare:1"
        invoke("push", model, name, "--plain-http", "-q")
        assert (self.complaint(invoke("install", "g", name, "--plain-http")), kube.objects) == (
            (
                4,
                "",
                f"error: {name[:-2]} is no modelcar: it holds no model with a config.json",
                "hint: look inside: kubectl modelcar inspect IMAGE",
            ),
            {},
        )

    @pytest.mark.usefixtures("helm", "kube")
    @pytest.mark.parametrize("how", [[], ["--dry-run=server"]], ids=["install", "server"])
    def test_layout(self, invoke, how):
        """A folder of this machine cannot be pulled by a cluster."""
        assert self.complaint(invoke("install", "g", "oci:/x", *how)) == (
            2,
            "",
            "error: a cluster cannot pull oci:/x",
            "hint: push the model to a registry, and install from there",
        )

    @pytest.mark.usefixtures("helm", "ready")
    def test_not_ready(self, invoke, kube, image):
        """The wait ends with what it waits for; the install goes on."""
        kube.add("pods", pod(scheduled=False, message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
        cause = "node (0/1 nodes are available: 1 Insufficient nvidia.com/gpu.)"
        way_out = "no node has that many free GPUs: ask for fewer (--gpus), or use --accelerator cpu"
        assert self.complaint(invoke("install", "g", image, "--plain-http", "--timeout", "0s")) == (
            9,
            "",
            f"error: g was not ready within 0 s; it waits for: {cause}",
            f"hint: {way_out}; the install goes on, watch it: kubectl modelcar status g -n models -w",
        )

    @pytest.mark.usefixtures("kube")
    def test_helm_refuses(self, invoke, image, helm):
        """helm's words, and a way out."""
        (helm / "refusal").write_text("another operation (install/upgrade/rollback) is in progress")
        assert self.complaint(invoke("install", "g", image, "--plain-http")) == (
            8,
            "",
            "error: cannot render g: helm says: another operation (install/upgrade/rollback) is in progress",
            "hint: wait if another helm is at work; if one was killed: helm rollback g -n models (the claim stays)",
        )

    @pytest.mark.usefixtures("kube", "helm")
    @pytest.mark.parametrize(
        ("name", "reason"), [("nofile", "No such file or directory"), ("", "Is a directory")], ids=["absent", "folder"]
    )
    def test_values_file(self, invoke, tmp_path, name, reason):
        """A file of this machine, before anybody else is asked."""
        done = invoke("install", "g", "127.0.0.1:1/me/granite:1", "-f", tmp_path / name)
        assert self.complaint(done) == (
            7,
            "",
            f"error: cannot read the values file {tmp_path / name}: {reason}",
            "hint: check -f",
        )

    @pytest.mark.usefixtures("kube", "helm")
    def test_server_image_without_version(self, invoke):
        """A server that may be another tomorrow."""
        done = invoke("install", "g", "quay.io/me/granite:1", "--server-image", "quay.io/v/vllm")
        assert self.complaint(done) == (
            2,
            "",
            "error: --server-image quay.io/v/vllm does not say which version",
            "hint: write HOST/REPO:TAG or HOST/REPO@DIGEST",
        )


class TestStatus:
    """How far a release is."""

    @pytest.mark.usefixtures("ready")
    def test_text(self, invoke):
        """A table the kubectl way, and how to chat."""
        done = invoke("status", "g")
        assert (done.code, done.out.splitlines()) == (
            0,
            [
                "STAGE          STATE   DETAIL",
                "release        done    quay.io/me/granite:1@sha256:11",
                "claim          done    g-modelcar-models, 20Gi",
                "node           done    node1",
                "server image   done    <none>",
                "model          done    <none>",
                "server         done    <none>",
                "ready          done    <none>",
                "",
                CHAT,
            ],
        )

    @pytest.mark.usefixtures("ready")
    def test_json(self, invoke, kube):
        """The stages with their causes."""
        kube.add("pods", pod(puller=waiting()))
        kube.add("events", event("g-modelcar-abc-1", "Pulling", "Pulling image \x1b[31mx"))
        found = json.loads(invoke("status", "g", "-o", "json").out)
        assert (found["ready"], found["url"], found["stages"][3]) == (
            False,
            None,
            {"name": "server image", "state": "waiting", "detail": "Pulling image \\x1b[31mx", "hint": None},
        )

    @pytest.mark.usefixtures("kube")
    def test_no_release(self, invoke):
        """A name that nothing has."""
        done = invoke("status", "x")
        assert (done.code, done.out, done.err.splitlines()[0]) == (
            4,
            "",
            "error: there is no release x in namespace models",
        )

    @pytest.mark.usefixtures("ready")
    def test_hint(self, invoke, kube, monkeypatch):
        """A way out is written as it can be typed here."""
        monkeypatch.setenv("KUBECTL_PATH", "/usr/bin/oc")
        kube.add("persistentvolumeclaims", claim(phase="Lost"))
        assert invoke("status", "g").out.splitlines()[-1] == (
            "Hint: claim: oc modelcar uninstall NAME --delete-storage, then install again"
        )

    @pytest.mark.usefixtures("ready")
    def test_watch(self, invoke):
        """The stages are told as they come, and the table at the end."""
        done = invoke("status", "g", "-w")
        assert (done.code, done.err.splitlines()[-1], done.out.splitlines()[0]) == (
            0,
            "✓ ready",
            "STAGE          STATE   DETAIL",
        )


class TestUninstall:
    """A release is removed."""

    @pytest.fixture
    def installed(self, ready, helm):  # noqa: ARG002  a release on the cluster
        (helm / "released").touch()

    @pytest.mark.usefixtures("installed")
    def test_the_claim_stays(self, invoke):
        """What stays is said."""
        done = invoke("uninstall", "g")
        assert (done.code, done.out, done.err) == (
            0,
            "release g uninstalled\n",
            "warning: claim g-modelcar-models stays, with the model in it; --delete-storage deletes it\n",
        )

    @pytest.mark.usefixtures("installed")
    def test_the_claim_goes(self, invoke):
        """What goes is said."""
        done = invoke("uninstall", "g", "--delete-storage")
        assert (done.code, done.out, done.err) == (
            0,
            "release g uninstalled\nclaim g-modelcar-models deleted\n",
            "",
        )

    @pytest.mark.usefixtures("installed")
    def test_json(self, invoke):
        """For programs."""
        assert json.loads(invoke("uninstall", "g", "-o", "json").out) == {
            "name": "g",
            "namespace": "models",
            "removed": [],
            "deletedClaims": [],
            "keptClaims": ["g-modelcar-models"],
        }

    @pytest.mark.usefixtures("kube", "helm")
    def test_no_release(self, invoke):
        """Nothing of that name."""
        done = invoke("uninstall", "x")
        assert (done.code, done.out, done.err) == (
            4,
            "",
            "error: there is no release x in namespace models\nhint: check -n\n",
        )
