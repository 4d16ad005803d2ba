"""Tests of what a release's pods are given beside the chart."""

import base64

import pytest

from kubectl_modelcar.cluster import (
    ClusterOptions,
    check_free,
    connect,
    ensure_api_key,
    give_ca,
    give_pull_secret,
    take_back,
)
from kubectl_modelcar.errors import ClusterFailure

CONFIG = b'{"auths": {"quay.io": {"auth": "bWU6cHc="}}}'


@pytest.fixture
def client(api, tmp_path):
    return connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))


class TestPullSecret:
    """Credentials of the model's registry."""

    def test_made(self, client, api):
        """A Secret of the kubelet's own type, marked as ours."""
        give_pull_secret(client, "g", CONFIG)
        assert api.get("secrets", "g-pull") == {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "g-pull",
                "labels": {
                    "app.kubernetes.io/part-of": "modelcar",
                    "app.kubernetes.io/instance": "g",
                    "app.kubernetes.io/managed-by": "kubectl-modelcar",
                },
            },
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": base64.b64encode(CONFIG).decode()},
        }

    def test_refreshed(self, client, api):
        """Made again, it has the new credentials."""
        give_pull_secret(client, "g", b"{}")
        give_pull_secret(client, "g", CONFIG)
        assert base64.b64decode(api.get("secrets", "g-pull")["data"][".dockerconfigjson"]) == CONFIG

    def test_somebody_elses(self, client, api):
        """A Secret that is not ours is left alone."""
        api.add("secrets", {"metadata": {"name": "g-pull"}, "data": {"a": "1"}})
        with pytest.raises(ClusterFailure) as caught:
            give_pull_secret(client, "g", CONFIG)
        assert (caught.value.message, api.get("secrets", "g-pull")["data"]) == (
            "Secret g-pull in namespace models is somebody else's, and we need that name",
            {"a": "1"},
        )


class TestApiKey:
    """The key that requests must carry."""

    def key(self, api, release="g"):
        return base64.b64decode(api.get("secrets", f"{release}-api-key")["data"]["api-key"]).decode()

    def test_random(self, client, api):
        """Long, printable, and another one each time."""
        ensure_api_key(client, "g")
        ensure_api_key(client, "h")
        assert (len(self.key(api)), self.key(api).isascii(), self.key(api) == self.key(api, "h")) == (43, True, False)

    def test_kept(self, client, api):
        """An upgrade does not lock those out who have the key."""
        ensure_api_key(client, "g")
        before = self.key(api)
        ensure_api_key(client, "g")
        assert self.key(api) == before

    @pytest.mark.parametrize("data", [None, {}, {"api-key": ""}, {"api-key": "%"}], ids=str)
    def test_useless(self, client, api, data):
        """A Secret of ours that has lost its key gets another one."""
        ensure_api_key(client, "g")
        api.get("secrets", "g-api-key")["data"] = data
        ensure_api_key(client, "g")
        assert len(self.key(api)) == 43

    def test_somebody_elses(self, client, api):
        """A Secret that is not ours is left alone, whatever key it has."""
        api.add("secrets", {"metadata": {"name": "g-api-key"}, "data": {"api-key": "a2V5"}})
        with pytest.raises(ClusterFailure) as caught:
            ensure_api_key(client, "g")
        assert (caught.value.message, api.get("secrets", "g-api-key")["data"]) == (
            "Secret g-api-key in namespace models is somebody else's, and we need that name",
            {"api-key": "a2V5"},
        )


class TestCheckFree:
    """Whose the names are, before anything is made."""

    NAMES = ("g-pull", "g-api-key", "g-registry-ca")

    def test_free(self, client, api):
        """Names that nobody has, or that are ours, are fine."""
        give_ca(client, "g", "PEM")
        ensure_api_key(client, "g")
        check_free(client, "g", self.NAMES)
        assert {request.method for request in api.requests[-3:]} == {"GET"}

    @pytest.mark.parametrize(
        ("plural", "name", "word"),
        [
            ("secrets", "g-pull", "Secret"),
            ("secrets", "g-api-key", "Secret"),
            ("configmaps", "g-registry-ca", "ConfigMap"),
        ],
    )
    def test_somebody_elses(self, client, api, plural, name, word):
        """One that somebody else has is refused, if we need it."""
        api.add(plural, {"metadata": {"name": name}})
        check_free(client, "g", [None])
        with pytest.raises(ClusterFailure) as caught:
            check_free(client, "g", self.NAMES)
        assert caught.value.message == f"{word} {name} in namespace models is somebody else's, and we need that name"


class TestTakeBack:
    """Uninstalling."""

    def test_ours_and_no_others(self, client, api):
        """What we made for this release goes, and nothing else."""
        give_pull_secret(client, "g", CONFIG)
        ensure_api_key(client, "g")
        give_ca(client, "g", "PEM")
        ensure_api_key(client, "other")
        api.add("secrets", {"metadata": {"name": "mine"}})
        removed = take_back(client, "g")
        left = [name for plural in ("secrets", "configmaps") for name in api.objects["models", plural]]
        assert (sorted(removed), sorted(left)) == (["g-api-key", "g-pull", "g-registry-ca"], ["mine", "other-api-key"])
