"""Tests of removing a release."""

from pathlib import Path

import pytest

from kubectl_modelcar.cluster import ClusterOptions, ReleaseRequest, connect, ensure_api_key
from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.uninstall import Uninstalled, uninstall
from tests.fakes.cluster_objects import claim
from tests.fakes.helm import FakeHelm
from tests.fakes.kube_api import FakeKubeApi

CLAIM = "g-modelcar-models"


@pytest.fixture
def api():
    with FakeKubeApi() as server:
        yield server


@pytest.fixture
def cluster(api, tmp_path):
    return connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))


@pytest.fixture
def helm():
    return FakeHelm()


@pytest.fixture
def installed(cluster, api, helm):
    """Leave what an install leaves."""
    helm.upgrade(ReleaseRequest("g", "models", Path("/chart"), {}))
    ensure_api_key(cluster, "g")
    api.add("persistentvolumeclaims", claim())


@pytest.mark.usefixtures("installed")
class TestUninstall:
    """A release that is there."""

    def test_the_claim_stays(self, cluster, api, helm):
        """The model is kept, our Secrets are not."""
        done = uninstall("g", cluster, helm, delete_storage=False)
        assert (done, api.get("secrets", "g-api-key"), api.get("persistentvolumeclaims", CLAIM) is None) == (
            Uninstalled("g", "models", ["g-api-key"], [], [CLAIM]),
            None,
            False,
        )

    def test_the_claim_goes_when_asked(self, cluster, api, helm):
        """--delete-storage."""
        done = uninstall("g", cluster, helm, delete_storage=True)
        assert (done.deleted_claims, done.kept_claims, api.objects["models", "persistentvolumeclaims"]) == (
            [CLAIM],
            [],
            {},
        )

    def test_the_claim_goes_later(self, cluster, helm):
        """A claim that an earlier uninstall kept can still be deleted."""
        uninstall("g", cluster, helm, delete_storage=False)
        assert uninstall("g", cluster, helm, delete_storage=True).deleted_claims == [CLAIM]

    def test_a_claim_that_is_going(self, cluster, api, helm):
        """A claim that waits for its pod to end counts as gone."""
        api.add("persistentvolumeclaims", claim(deletionTimestamp="2026-11-24T10:00:00Z"))
        assert uninstall("g", cluster, helm, delete_storage=False).kept_claims == []

    def test_twice(self, cluster, helm):
        """The second time there is only the claim, and that is said."""
        uninstall("g", cluster, helm, delete_storage=False)
        with pytest.raises(NotFoundOrRefused) as caught:
            uninstall("g", cluster, helm, delete_storage=False)
        assert (caught.value.message, caught.value.hint) == (
            f"there is no release g in namespace models; its claim {CLAIM} is still there",
            "delete the claim: add --delete-storage",
        )


class TestNothing:
    """A release that is not there."""

    def test_what_a_failed_install_left(self, cluster, api, helm):
        """Secrets without a release go."""
        ensure_api_key(cluster, "g")
        done = uninstall("g", cluster, helm, delete_storage=False)
        assert (done, api.objects["models", "secrets"]) == (Uninstalled("g", "models", ["g-api-key"], [], []), {})

    @pytest.mark.parametrize("delete_storage", [False, True])
    def test_refused(self, cluster, helm, delete_storage):
        """With or without --delete-storage."""
        with pytest.raises(NotFoundOrRefused) as caught:
            uninstall("x", cluster, helm, delete_storage=delete_storage)
        assert caught.value.message == "there is no release x in namespace models"
