"""Tests of installing, with a fake cluster and a helm in memory."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from kubectl_modelcar.chat import Untrusted
from kubectl_modelcar.cluster import ClusterOptions, connect, ensure_api_key
from kubectl_modelcar.errors import (
    ClusterFailure,
    InvalidInput,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
    WaitTimedOut,
)
from kubectl_modelcar.install import InstallRequest, Means, install, preview
from kubectl_modelcar.serving import Accelerator, Wishes
from tests.fakes.cluster_objects import claim, deployment, ended, pod, replica_set, route, running, service
from tests.fakes.helm import FakeHelm
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.watcher import FakeTime, Watcher

DIGEST = "sha256:" + "1" * 64
CONFIG = {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 8, "max_position_embeddings": 2048}
KEY = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "g-api-key", "key": "api-key"}}}
ROUTES = "route.openshift.io/v1"


@dataclass
class Image:
    """A model image in memory."""

    contents: dict = field(default_factory=lambda: {"config.json": json.dumps(CONFIG), "model.safetensors": "x" * 100})
    needs_credentials: bool = False
    manifest: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(digest=DIGEST))

    def files(self):
        return [SimpleNamespace(path=path, size=len(text)) for path, text in self.contents.items()]

    def read_file(self, path):
        return self.contents[path].encode()


class Stage:
    """A cluster on which a release becomes ready as soon as helm has applied it."""

    def __init__(self, api, tmp_path):
        self.api = api
        self.cluster = connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))
        self.helm = FakeHelm(self._apply)
        self.watcher, self.time = Watcher(), FakeTime()
        self.asked, self.silences = [], []
        self.tokens = []
        """What the model does when it is asked: seconds, or an error; 0.4 s when nothing is left."""
        self.image = Image()

    def _apply(self, request):
        values = request.values
        env = [KEY] if "apiKey" in values["server"] else []
        self.api.add("deployments", deployment(env=env, replicas=values.get("replicas", 1)))
        self.api.add("replicasets", replica_set())
        self.api.add("services", service())
        self.api.add("persistentvolumeclaims", claim())
        self.api.add("pods", pod(puller=ended(), server=running(), ready=True))
        if values["route"]["enabled"]:
            self.api.add("routes", route(admitted=True))

    def first_token(self, reached, silence):
        self.asked.append(reached)
        self.silences.append(silence)
        answer = self.tokens.pop(0) if self.tokens else 0.4
        if isinstance(answer, Exception):
            raise answer
        return answer

    def install(self, **more):
        request = InstallRequest(**({"name": "g", "namespace": "models", "reference": "quay.io/me/granite"} | more))
        means = Means(self.helm, lambda: b'{"auths": {}}', self.first_token, self.watcher, self.time)
        return install(request, self.image, self.cluster, means)

    @property
    def values(self):
        return self.helm.requests[-1].values

    @property
    def made(self):
        """What was written to the cluster, as METHOD path."""
        return [f"{r.method} {r.path}" for r in self.api.requests if r.method != "GET"]

    @property
    def warnings(self):
        return [line for line in self.watcher.lines if line.startswith("warning")]


@pytest.fixture
def api():
    with FakeKubeApi() as server:
        yield server


@pytest.fixture
def stage(api, tmp_path):
    return Stage(api, tmp_path)


class TestInstall:
    """From an image to a first token."""

    def test_plain_kubernetes(self, stage):
        """No Route, no key, nothing but helm; the first token comes through the API server."""
        done = stage.install(tag="1")
        assert (done.image, done.revision, done.reached.via, done.first_token_seconds, stage.made) == (
            f"quay.io/me/granite@{DIGEST}",
            1,
            "service proxy",
            0.4,
            [],
        )

    def test_values(self, stage):
        """The model's own numbers, and a user for clusters that give none."""
        stage.install(tag="1")
        assert (stage.values["model"], stage.values["route"], stage.values["podSecurityContext"]["runAsGroup"]) == (
            {"image": {"reference": "quay.io/me/granite", "digest": DIGEST, "tag": "1"}, "servedName": "granite"},
            {"enabled": False},
            0,
        )

    def test_progress(self, stage):
        """Every stage, to the first token."""
        stage.install()
        assert stage.watcher.lines[0::9] + stage.watcher.lines[-2:] == [
            "done helm: revision 1 of g",
            "done first token: after 0.4 s",
            "waiting first token: by the service proxy",
            "done first token: after 0.4 s",
        ]

    def test_openshift(self, stage, api):
        """A Route with an API key, and the namespace's own users."""
        api.apis.add(ROUTES)
        done = stage.install()
        assert (
            done.reached.public_url,
            done.api_key_secret,
            stage.values["server"]["apiKey"],
            "podSecurityContext" in stage.values,
            stage.asked[0].headers["Authorization"].startswith("Bearer "),
        ) == ("https://g.apps.example.com/v1", "g-api-key", {"existingSecret": "g-api-key"}, False, True)

    def test_no_key_passes_through_helm(self, stage, api):
        """helm's history keeps every value, so that secrets go around it."""
        api.apis.add(ROUTES)
        stage.image.needs_credentials = True
        stage.install()
        secrets = [v for s in api.objects["models", "secrets"].values() for v in s["data"].values()]
        assert [secret for secret in secrets if secret in json.dumps(dict(stage.values))] == []

    def test_private_image(self, stage, api):
        """The user's own credentials become the pods', before helm is run."""
        stage.image.needs_credentials = True
        stage.install()
        assert (stage.values["model"]["image"]["pullSecret"], api.get("secrets", "g-pull")["type"]) == (
            "g-pull",
            "kubernetes.io/dockerconfigjson",
        )

    def test_registry_with_an_authority_of_its_own(self, stage, api):
        """Pods trust it as the user does."""
        stage.install(registry_ca="PEM")
        assert (stage.values["model"]["image"]["ca"], api.get("configmaps", "g-registry-ca")["data"]) == (
            {"configMap": "g-registry-ca"},
            {"ca.crt": "PEM"},
        )

    def test_without_waiting(self, stage):
        """Nothing is waited for, and nobody asked."""
        done = stage.install(wait=False)
        assert (done.reached, stage.asked, stage.watcher.lines) == (None, [], ["done helm: revision 1 of g"])

    def test_stopped(self, stage):
        """Without replicas there is nobody to ask."""
        assert stage.install(wishes=Wishes(replicas=0)).reached is None

    def test_again(self, stage, api):
        """The same command is an upgrade, and the claim stays as it is."""
        stage.install()
        api.add("persistentvolumeclaims", claim(size="77Gi"))
        assert (stage.install().revision, stage.values["storage"]) == (2, {"size": "77Gi"})

    def test_new_namespace(self, stage, api):
        """It is made when that was asked for."""
        api.namespaces.clear()
        stage.install(create_namespace=True)
        assert stage.made == ["POST /api/v1/namespaces"]

    def test_timeout(self, stage):
        """The wait ends, the install goes on."""
        stage.helm = FakeHelm(lambda _: stage.api.add("deployments", deployment()))
        with pytest.raises(WaitTimedOut):
            stage.install(timeout=3.0)


class TestUndo:
    """Helm says no after Secrets were made."""

    @pytest.fixture
    def refused(self, stage, api):
        api.apis.add(ROUTES)
        stage.image.needs_credentials = True

        def install(*, applied=lambda _: None):
            def upgrade(request):
                applied(request)
                raise ClusterFailure("helm says: no")

            stage.helm = FakeHelm(upgrade)
            with pytest.raises(ClusterFailure) as caught:
                stage.install(registry_ca="PEM")
            left = [name for kind in ("secrets", "configmaps") for name in api.objects.get(("models", kind), ())]
            return caught.value.message, left

        return install

    def test_what_was_made_goes(self, refused, stage):
        """Nothing is left that no release needs."""
        assert (refused(), stage.warnings) == (("helm says: no", []), [])

    def test_what_was_there_stays(self, refused, stage, api):
        """A key that somebody was given goes on."""
        ensure_api_key(stage.cluster, "g")
        before = api.get("secrets", "g-api-key")["data"]
        assert (refused()[1], api.get("secrets", "g-api-key")["data"]) == (["g-api-key"], before)

    def test_what_pods_need_stays(self, refused, stage):
        """Where helm came as far as the Deployment, `uninstall` takes them."""
        assert refused(applied=stage._apply)[1] == ["g-pull", "g-api-key", "g-registry-ca"]

    def test_the_cause_is_told_where_undoing_fails(self, refused, stage, api):
        """The error is helm's; what may be left is a warning."""
        api.forbidden.add(("delete", "secrets"))
        message, left = refused()
        assert (message, left[:2]) == ("helm says: no", ["g-pull", "g-api-key"])
        denied = "cannot delete secrets g-api-key in namespace models: the cluster does not allow dev to delete secrets"
        hint = "Secrets may be left: kubectl modelcar uninstall g -n models"
        assert stage.warnings == [f"warning: {denied}; {hint}"]

    def test_interrupted(self, stage, api):
        """^C while helm runs is a no too."""
        stage.image.needs_credentials = True

        def upgrade(_):
            raise KeyboardInterrupt

        stage.helm = FakeHelm(upgrade)
        with pytest.raises(KeyboardInterrupt):
            stage.install()
        assert api.objects["models", "secrets"] == {}


class TestFirstToken:
    """/health says nothing about the weights, so the model is asked."""

    def test_a_router_that_is_slow_to_learn(self, stage):
        """It is asked again for a while."""
        stage.tokens = [NetworkGaveUp("503"), NetworkGaveUp("503"), 1.5]
        assert (stage.install().first_token_seconds, stage.time.seconds) == (1.5, 4.0)

    def test_a_router_that_never_learns(self, stage):
        """The wait ends when all waiting was to end, with the model's own cause; the install goes on."""
        stage.tokens = [NetworkGaveUp("503", "look there")] * 100
        with pytest.raises(WaitTimedOut) as caught:
            stage.install(timeout=90.0)
        assert (stage.time.seconds, caught.value.message, caught.value.hint, stage.watcher.lines[-1]) == (
            90.0,
            "g gave no token within 90 s: 503",
            "look there; the install goes on, look at it: kubectl modelcar status g -n models",
            "waiting first token: 503",
        )

    def test_one_ask_is_no_longer_than_the_wait(self, stage):
        """What is left of the time is all that a silent server gets, within reason."""
        stage.tokens = [NetworkGaveUp("503")] * 100
        with pytest.raises(WaitTimedOut):
            stage.install(timeout=124.0)
        assert (stage.silences[:3], stage.silences[-3:]) == ([120.0, 120.0, 120.0], [5.0, 5.0, 5.0])

    def test_the_stages_use_up_time_too(self, stage, api):
        """Both waits have one end."""

        def late():
            stage.time.seconds += 50.0
            api.add("pods", pod(puller=ended(), server=running(), ready=True))

        stage.time = FakeTime(late)
        stage.helm = FakeHelm(lambda request: (stage._apply(request), api.add("pods", pod(puller=running()))))
        stage.tokens = [NetworkGaveUp("503")] * 100
        with pytest.raises(WaitTimedOut):
            stage.install(timeout=60.0)
        assert (stage.time.seconds, stage.silences[0]) == (61.0, 9.0)

    def test_a_certificate_that_nobody_vouches_for(self, stage):
        """It will not be trusted later, and the release itself is well."""
        stage.tokens = [Untrusted("the certificate cannot be trusted", "name the authority")]
        with pytest.raises(NetworkGaveUp) as caught:
            stage.install()
        assert (len(stage.asked), caught.value.message, caught.value.hint) == (
            1,
            "the certificate cannot be trusted",
            "the model runs; name the Route's authority: kubectl modelcar chat g -n models --ca-file FILE",
        )

    def test_a_refusal(self, stage):
        """A no is not asked again."""
        stage.tokens = [NotAuthorised("wrong key")]
        with pytest.raises(NotAuthorised):
            stage.install()
        assert len(stage.asked) == 1

    def test_key_without_a_route(self, stage):
        """Asked for like that, it is ready, and the way that is left is said."""
        done = stage.install(api_key=True)
        assert (done.ready, done.reached, len(stage.warnings), "port-forward" in stage.warnings[0]) == (
            True,
            None,
            1,
            True,
        )

    def test_key_and_no_router(self, stage, api):
        """A Route that was to be and is not is an error."""
        api.apis.add(ROUTES)
        stage.helm = FakeHelm(lambda request: (stage._apply(request), api.add("routes", route())))
        with pytest.raises(ClusterFailure) as caught:
            stage.install()
        assert "has no admitted Route" in caught.value.message


class TestWarnings:
    """What is allowed, and said."""

    def test_open_route(self, stage, api):
        """A Route without a key is open to all."""
        api.apis.add(ROUTES)
        stage.install(api_key=False)
        assert stage.warnings == ["warning: without an API key whoever reaches the Route can use the model"]

    @pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"])
    def test_this_machine(self, stage, host):
        """A pod has a localhost of its own."""
        stage.install(reference=f"{host}/granite")
        looks = "a pod will look for the registry inside itself, unless the cluster runs here"
        assert stage.warnings == [f"warning: {host}/granite names this machine; {looks}"]

    @pytest.mark.parametrize("host", ["localhost.example.com", "1270.example.com"])
    def test_other_machines(self, stage, host):
        """A name that only looks like it is not warned about."""
        stage.install(reference=f"{host}/granite")
        assert stage.warnings == []


REFUSALS = [
    pytest.param(
        {},
        {"namespaces": {}},
        NotFoundOrRefused,
        "cannot install g: there is no namespace models",
        id="no namespace",
    ),
    pytest.param(
        {"create_namespace": True},
        {"namespaces": {"models": "Terminating"}},
        ClusterFailure,
        "cannot install g: namespace models is being deleted",
        id="namespace is going",
    ),
    pytest.param(
        {"route": True},
        {},
        ClusterFailure,
        "the cluster has no Routes (route.openshift.io/v1); it is not OpenShift",
        id="no Routes",
    ),
    pytest.param(
        {"wishes": Wishes(gpus=3)},
        {},
        InvalidInput,
        "--gpus 3: the model has 8 attention heads, which cannot be split over 3 GPUs",
        id="heads",
    ),
    pytest.param(
        {},
        {"forbidden": {("list", "persistentvolumeclaims")}},
        NotAuthorised,
        "cannot list persistentvolumeclaims in namespace models: the cluster does not allow dev to list "
        "persistentvolumeclaims",
        id="rbac",
    ),
]


class TestRefusals:
    """What cannot be had is refused before anything is made."""

    @pytest.mark.parametrize(("more", "setup", "error", "message"), REFUSALS)
    def test_nothing_is_made(self, stage, more, setup, error, message):
        """Neither objects nor a release."""
        for name, value in setup.items():
            setattr(stage.api, name, value)
        with pytest.raises(error) as caught:
            stage.install(**more)
        assert (caught.value.message, stage.made, stage.helm.requests) == (message, [], [])

    def test_a_claim_that_is_going(self, stage, api):
        """helm would take over a claim that is gone a moment later."""
        api.add("persistentvolumeclaims", claim(deletionTimestamp="2026-11-24T10:00:00Z"))
        with pytest.raises(ClusterFailure) as caught:
            stage.install()
        assert (caught.value.message, stage.made) == (
            "cannot install g: its claim g-modelcar-models is still being deleted",
            [],
        )

    @pytest.mark.parametrize(
        ("plural", "name"), [("secrets", "g-pull"), ("secrets", "g-api-key"), ("configmaps", "g-registry-ca")]
    )
    def test_names_that_are_taken(self, stage, api, plural, name):
        """What somebody else has is found out before the first object, the namespace included."""
        api.apis.add(ROUTES)
        api.add(plural, {"metadata": {"name": name}, "data": {}})
        stage.image.needs_credentials = True
        with pytest.raises(ClusterFailure) as caught:
            stage.install(registry_ca="PEM")
        assert (caught.value.message.endswith("is somebody else's, and we need that name"), stage.made) == (True, [])

    @pytest.mark.parametrize(
        "contents",
        [{}, {"model.safetensors": "x"}, {"sub/config.json": "{}"}],
        ids=["empty", "no config", "config elsewhere"],
    )
    def test_no_modelcar(self, stage, contents):
        """An image without a model at its place."""
        stage.image = Image(contents)
        with pytest.raises(NotFoundOrRefused) as caught:
            stage.install()
        assert (caught.value.message, stage.made) == (
            "quay.io/me/granite is no modelcar: it holds no model with a config.json",
            [],
        )

    def test_the_chart_refuses(self, stage):
        """Values that the chart does not take are found out before Secrets are made."""
        stage.image.needs_credentials = True
        stage.helm.refusal = InvalidInput("the chart cannot install that")
        with pytest.raises(InvalidInput):
            stage.install()
        assert stage.made == []

    @pytest.mark.parametrize(
        "name", ["", "G", "a_b", "-a", "a-", "a.b", "a" * 54, "a\n", "ä", "--set", "../x"], ids=ascii
    )
    def test_names(self, name):
        """A name that is no DNS label, or too long for helm."""
        with pytest.raises(InvalidInput) as caught:
            InstallRequest(name, "models", "quay.io/me/granite")
        assert caught.value.message == f"{name!r} cannot be the name of a release"

    @pytest.mark.parametrize("name", ["g", "granite-3", "3", "a" * 53], ids=str)
    def test_good_names(self, name):
        """Up to helm's 53 characters."""
        assert InstallRequest(name, "models", "quay.io/me/granite").name == name


class TestPreview:
    """What would be applied."""

    def preview(self, stage, *, cluster=True, server=False, **more):
        request = InstallRequest("g", "models", "quay.io/me/granite", **more)
        return preview(request, stage.image, stage.cluster if cluster else None, stage.helm, server=server)

    @pytest.mark.parametrize(("server", "kind"), [(False, "Rendered"), (True, "Tried")])
    def test_nothing_is_made(self, stage, api, server, kind):
        """Not even the Secrets."""
        api.apis.add(ROUTES)
        stage.image.needs_credentials = True
        shown = self.preview(stage, server=server)
        assert (shown.manifests, stage.made, stage.helm.requests) == (
            f"---\nkind: {kind}\nmetadata: {{name: g}}\n",
            [],
            [],
        )

    @pytest.mark.parametrize(
        ("route_asked", "expected"), [(None, False), (True, True)], ids=["as plain Kubernetes", "as asked"]
    )
    def test_without_a_cluster(self, stage, route_asked, expected):
        """What was not asked for is as on plain Kubernetes."""
        shown = self.preview(stage, cluster=False, route=route_asked)
        assert (shown.values["route"]["enabled"], stage.api.requests) == (expected, [])

    def test_reasons(self, stage):
        """Every computed number has one."""
        shown = self.preview(stage, cluster=False, wishes=Wishes(accelerator=Accelerator.CPU))
        assert str(shown.reasons[0]) == "accelerator.count = 0: --accelerator cpu"

    def test_server_needs_the_namespace(self, stage, api):
        """A dry run on the server is refused where the real one would be."""
        api.namespaces.clear()
        with pytest.raises(NotFoundOrRefused):
            self.preview(stage, server=True)
