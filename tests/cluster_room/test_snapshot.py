"""Tests of looking at a release, against the fake API server."""

import pytest

from kubectl_modelcar.cluster import ClusterOptions, connect, read_snapshot
from kubectl_modelcar.errors import NotAuthorised
from tests.fakes.cluster_objects import (
    POD,
    claim,
    deployment,
    ended,
    event,
    pod,
    replica_set,
    route,
    running,
    waiting,
)


@pytest.fixture
def client(api, tmp_path):
    """Connect to a fake cluster that has the release, and another one."""
    api.add("deployments", deployment())
    api.add("deployments", deployment(name="other"))
    api.add("replicasets", replica_set())
    api.add("replicasets", replica_set(uid="rs-1", revision="1"))
    api.add("persistentvolumeclaims", claim())
    return connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))


def names(bodies):
    return [body["metadata"]["name"] for body in bodies]


class TestReadSnapshot:
    """What belongs to a release."""

    def test_no_release(self, client):
        """Nothing of that name."""
        assert read_snapshot(client, "absent").deployment is None

    def test_objects(self, client, api):
        """Deployment, claim and Route by the release's labels."""
        api.apis.add("route.openshift.io/v1")
        api.add("routes", route(admitted=True))
        found = read_snapshot(client, "g")
        assert (found.deployment["metadata"]["name"], found.claim["metadata"]["name"], names(found.routes)) == (
            "g-modelcar",
            "g-modelcar-models",
            ["g-modelcar"],
        )

    def test_pods_of_the_newest_revision(self, client, api):
        """Pods of older revisions, and those on their way out, do not count."""
        api.add("pods", pod(name="new"))
        api.add("pods", pod(name="old", owner="rs-1"))
        api.add("pods", pod(name="leaving", deletionTimestamp="2026-11-24T10:00:00Z"))
        api.add("pods", {**pod(name="evicted"), "status": {"phase": "Failed"}})
        assert names(read_snapshot(client, "g").pods) == ["new"]

    def test_events_only_where_something_is_stuck(self, client, api):
        """A pod whose puller runs needs none."""
        api.add("events", event(POD, "Pulling", "x"))
        api.add("pods", pod(puller=waiting()))
        stuck = read_snapshot(client, "g").events
        api.add("pods", pod(puller=running()))
        assert (len(stuck), read_snapshot(client, "g").events) == (1, [])

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            pytest.param(pod(puller=waiting()), {}, id="nothing runs"),
            pytest.param(pod(puller=running()), {(POD, "puller"): "pull"}, id="puller"),
            pytest.param(
                pod(puller=ended(), server=running(started=False)),
                {(POD, "puller"): "pull", (POD, "server"): "serve"},
                id="server",
            ),
            pytest.param(
                pod(puller=ended(), server=waiting("CrashLoopBackOff", restarts=1, last={"exitCode": 1})),
                {(POD, "puller"): "pull", (POD, "server"): "crash"},
                id="the log of the crash",
            ),
            pytest.param(pod(puller=ended(), server=running()), {}, id="all is well"),
        ],
    )
    def test_logs_only_where_they_say_something(self, client, api, body, expected):
        """Which log is read depends on what runs."""
        api.logs |= {(POD, "puller"): "pull", (POD, "server"): "serve", (POD, "server previous"): "crash"}
        api.add("pods", body)
        assert dict(read_snapshot(client, "g").logs) == expected

    def test_refusal(self, client, api):
        """What we may not see is an error."""
        api.forbidden.add(("list", "pods"))
        with pytest.raises(NotAuthorised) as caught:
            read_snapshot(client, "g")
        assert caught.value.message == (
            "cannot list pods in namespace models: the cluster does not allow dev to list pods"
        )
