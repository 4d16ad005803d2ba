"""Tests of looking at a release."""

import pytest

from kubectl_modelcar.cluster import ClusterOptions, connect
from kubectl_modelcar.errors import ClusterFailure, NotFoundOrRefused
from kubectl_modelcar.status import status
from tests.fakes.cluster_objects import claim, deployment, ended, pod, replica_set, running, service
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.watcher import Watcher

KEY = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "g-api-key", "key": "api-key"}}}
READY = pod(puller=ended(), server=running(), ready=True)


@pytest.fixture
def api():
    with FakeKubeApi() as server:
        server.add("deployments", deployment())
        server.add("replicasets", replica_set())
        server.add("services", service())
        server.add("persistentvolumeclaims", claim())
        yield server


@pytest.fixture
def cluster(api, tmp_path):
    return connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))


class TestStatus:
    """A release at one moment, or until it is ready."""

    def test_ready(self, cluster, api):
        """All stages are done, and the way to it is known."""
        api.add("pods", READY)
        found = status("g", cluster, Watcher())
        assert (found.is_ready, found.reached.via) == (True, "service proxy")

    def test_on_its_way(self, cluster, api):
        """The stages say how far it is; nobody waits."""
        api.add("pods", pod(puller=running()))
        watcher = Watcher()
        found = status("g", cluster, watcher)
        assert (found.is_ready, found.reached, found.stages[4].state, watcher.lines) == (False, None, "waiting", [])

    def test_key_without_a_route(self, cluster, api):
        """It is ready although no way of ours leads to it."""
        api.add("deployments", deployment(env=[KEY]))
        api.add("pods", READY)
        found = status("g", cluster, Watcher())
        assert (found.is_ready, found.reached) == (True, None)

    def test_watching(self, cluster, api):
        """Stages are told while it waits."""
        api.add("pods", READY)
        watcher = Watcher()
        status("g", cluster, watcher, watch_for=1.0)
        assert watcher.lines[-1] == "done ready"

    def test_watching_what_cannot_start(self, cluster, api):
        """A failure ends the wait."""
        api.add("pods", pod(puller=ended(3, reason="Error", message="puller: error: no")))
        with pytest.raises(ClusterFailure):
            status("g", cluster, Watcher(), watch_for=1.0)

    def test_no_release(self, cluster):
        """A name that nothing has."""
        with pytest.raises(NotFoundOrRefused) as caught:
            status("x", cluster, Watcher())
        assert (caught.value.message, caught.value.hint) == (
            "there is no release x in namespace models",
            "check -n, or make one: kubectl modelcar install NAME IMAGE",
        )
