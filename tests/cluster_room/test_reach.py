"""Tests of finding the way to a release."""

import base64

import httpx
import pytest

from kubectl_modelcar.cluster import ClusterOptions, release_finder
from kubectl_modelcar.errors import ClusterFailure, InvalidInput, NotAuthorised, NotFoundOrRefused
from tests.fakes.cluster_objects import deployment, route, service

KEY = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "g-api-key", "key": "api-key"}}}


@pytest.fixture
def finder(api, tmp_path):
    return release_finder(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))


def install(api, name="g", **more):
    api.add("deployments", deployment(name=name, **more))
    api.add("services", service(name))


def secret(data):
    return {"metadata": {"name": "g-api-key"}, "data": data}


class TestServiceProxy:
    """Without a Route, through the API server."""

    def test_way(self, finder, api):
        """Its URL, with the kubeconfig's own login."""
        install(api)
        reached = finder.reach("g")
        assert (reached.url, reached.headers, reached.model, reached.via, reached.inside, reached.public_url) == (
            f"{api.url}/api/v1/namespaces/models/services/http:g-modelcar:http/proxy",
            {"Authorization": "Bearer t0ken"},
            "granite",
            "service proxy",
            "http://g-modelcar.models.svc:8000",
            None,
        )

    def test_it_leads_there(self, finder, api):
        """A request by that way arrives."""
        install(api)
        api.proxied["http:g-modelcar:http/v1/models"] = b"models"
        reached = finder.reach("g")
        answer = httpx.get(f"{reached.url}/v1/models", headers=reached.headers, trust_env=False)
        assert answer.content == b"models"

    def test_a_route_that_nobody_admitted(self, finder, api):
        """It does not count."""
        api.apis.add("route.openshift.io/v1")
        install(api)
        api.add("routes", route())
        assert finder.reach("g").via == "service proxy"

    def test_api_key(self, finder, api):
        """The proxy cannot carry a key, so there is no way; the hint has another."""
        install(api, env=[KEY])
        with pytest.raises(ClusterFailure) as caught:
            finder.reach("g")
        assert caught.value.hint == (
            "kubectl port-forward service/g-modelcar 8000:http -n models, then "
            "kubectl modelcar chat --url http://localhost:8000 --api-key-env VARIABLE"
        )


class TestRoute:
    """With a Route."""

    @pytest.fixture(autouse=True)
    def routed(self, api):
        api.apis.add("route.openshift.io/v1")
        api.add("routes", route(admitted=True))

    def test_way(self, finder, api):
        """Its host, without the kubeconfig's login."""
        install(api)
        reached = finder.reach("g")
        assert (reached.url, reached.headers, reached.via, reached.public_url) == (
            "https://g.apps.example.com",
            {},
            "route",
            "https://g.apps.example.com/v1",
        )

    def test_api_key(self, finder, api):
        """The release's own key goes along."""
        install(api, env=[KEY])
        api.add("secrets", secret({"api-key": base64.b64encode(b"k3y\n").decode()}))
        reached = finder.reach("g")
        assert (reached.headers, "k3y" in repr(reached)) == ({"Authorization": "Bearer k3y"}, False)

    @pytest.mark.parametrize(
        "data", [None, {}, {"api-key": "%"}, {"api-key": base64.b64encode(b"\xff").decode()}], ids=str
    )
    def test_useless_key(self, finder, api, data):
        """A Secret that is gone or has no key in it."""
        install(api, env=[KEY])
        if data is not None:
            api.add("secrets", secret(data))
        with pytest.raises(NotFoundOrRefused) as caught:
            finder.reach("g")
        assert caught.value.message == "release g asks for the API key in Secret g-api-key, which has no usable api-key"

    def test_key_that_we_may_not_read(self, finder, api):
        """RBAC decides who may use the key."""
        install(api, env=[KEY])
        api.forbidden.add(("get", "secrets"))
        with pytest.raises(NotAuthorised):
            finder.reach("g")


class TestWhich:
    """Which release is meant."""

    def test_the_only_one(self, finder, api):
        """No name is needed for it."""
        install(api)
        assert "g-modelcar" in finder.reach(None).url

    def test_several(self, finder, api):
        """They are listed."""
        install(api)
        install(api, "other")
        with pytest.raises(InvalidInput) as caught:
            finder.reach(None)
        assert caught.value.message == "namespace models has several releases: g, other"

    def test_none(self, finder):
        """There is nothing to talk to."""
        with pytest.raises(NotFoundOrRefused) as caught:
            finder.reach(None)
        assert caught.value.message == "there is no release in namespace models"

    def test_another_name(self, finder, api):
        """What there is instead is listed."""
        install(api)
        with pytest.raises(NotFoundOrRefused) as caught:
            finder.reach("x")
        assert (caught.value.message, caught.value.hint) == (
            "there is no release x in namespace models",
            "there is: g",
        )

    def test_stopped(self, finder, api):
        """A release without replicas cannot answer."""
        install(api, replicas=0)
        with pytest.raises(ClusterFailure) as caught:
            finder.reach("g")
        assert caught.value.message == "release g is stopped: it has no replicas"
