"""Tests of waiting for a release, with a fake API server and time that passes only by waiting."""

import pytest

from kubectl_modelcar.cluster import ClusterOptions, connect, wait_for_release
from kubectl_modelcar.errors import ClusterFailure, NotAuthorised, WaitTimedOut
from tests.fakes.cluster_objects import (
    POD,
    claim,
    deployment,
    ended,
    pod,
    replica_set,
    route,
    running,
    waiting,
)
from tests.fakes.kube_api import Fault
from tests.fakes.watcher import FakeTime, Watcher

READY = pod(puller=ended(), server=running(), ready=True)
REFUSED = pod(puller=waiting("ErrImagePull", "unauthorized"))


@pytest.fixture
def client(api, tmp_path):
    """Connect to a fake cluster that has the release."""
    api.add("deployments", deployment())
    api.add("replicasets", replica_set())
    api.add("persistentvolumeclaims", claim())
    return connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k"))))


@pytest.fixture
def watcher():
    return Watcher()


def wait(client, watcher, time, timeout=100.0):
    return wait_for_release(client, "g", progress=watcher, timeout=timeout, clock=time)


class TestWaitForRelease:
    """Until all is done, or cannot be."""

    def test_stages_as_they_come(self, client, api, watcher):
        """Each change is told once."""
        api.add("pods", pod(scheduled=False, message="no node"))
        time = FakeTime(
            lambda: api.add("pods", pod(puller=running())),
            lambda: api.logs.update({(POD, "puller"): "puller: 50% 1/2\n"}),
            lambda: None,
            lambda: api.logs.update({(POD, "puller"): "puller: done in 1.4 s\n"}),
            lambda: api.add("pods", pod(puller=ended(), server=running(started=False))),
            lambda: api.add("pods", READY),
        )
        wait(client, watcher, time)
        assert watcher.lines == [
            "done release: quay.io/me/granite:1@sha256:11",
            "done claim: g-modelcar-models, 20Gi",
            "waiting node: no node",
            "done node: node1",
            "done server image",
            "waiting model: the puller starts",
            "waiting model: 50% 1/2",
            "waiting model: done in 1.4 s",
            "done model: done in 1.4 s",
            "waiting server: it starts",
            "done server",
            "done ready",
        ]

    def test_timeout(self, client, api, watcher):
        """The stage that is stuck is named, with its cause and its hint."""
        api.add("pods", pod(scheduled=False, message="1 Insufficient nvidia.com/gpu."))
        time = FakeTime()
        with pytest.raises(WaitTimedOut) as caught:
            wait(client, watcher, time, timeout=5.0)
        hint = (
            "no node has that many free GPUs: ask for fewer (--gpus), or use --accelerator cpu; "
            "the install goes on, watch it: kubectl modelcar status g -n models -w"
        )
        assert (caught.value.message, caught.value.hint, time.seconds) == (
            "g was not ready within 5 s; it waits for: node (1 Insufficient nvidia.com/gpu.)",
            hint,
            5.0,
        )

    def test_final_failure(self, client, api, watcher):
        """What cannot get better ends the wait at once."""
        message = "puller: error: not there\npuller: hint: push it\n"
        api.add("pods", pod(puller=ended(4, reason="Error", message=message)))
        time = FakeTime()
        with pytest.raises(ClusterFailure) as caught:
            wait(client, watcher, time)
        assert (caught.value.message, caught.value.hint, time.seconds) == (
            "g cannot start (model): not there",
            "push it",
            0.0,
        )

    def test_patience(self, client, api, watcher):
        """What is tried again by itself ends the wait when it lasts."""
        api.add("pods", REFUSED)
        time = FakeTime()
        with pytest.raises(ClusterFailure) as caught:
            wait(client, watcher, time)
        assert (caught.value.message, time.seconds) == ("g cannot start (server image): unauthorized", 30.0)

    def test_patience_begins_anew(self, client, api, watcher):
        """A failure that went away in between is a new one."""
        api.add("pods", REFUSED)
        calm = [lambda: None] * 20
        time = FakeTime(
            *calm, lambda: api.add("pods", pod(puller=running())), lambda: api.add("pods", REFUSED), *calm, *calm
        )
        with pytest.raises(ClusterFailure):
            wait(client, watcher, time)
        assert time.seconds == 52.0

    def test_api_server_restarts(self, client, api, watcher):
        """A server that is away for a while is waited for, and told once."""
        api.add("pods", READY)
        api.faults.append(Fault("deployments", 503, times=3))
        wait(client, watcher, FakeTime())
        assert [line for line in watcher.lines if line.startswith("warning")] == [
            f"warning: cannot list deployments: the cluster at {api.url} is in trouble (no reason given); still trying"
        ]

    def test_api_server_has_no_roles_yet(self, client, api, watcher):
        """After a restart it refuses everybody for a while, which is not believed."""
        denial = b'{"message": "deployments is forbidden: User \\"dev\\" cannot list resource \\"deployments\\""}'
        api.add("pods", READY)
        api.faults += [Fault("deployments", 503), Fault("deployments", 403, denial, times=3)]
        wait(client, watcher, FakeTime())
        assert watcher.lines[-1] == "done ready"

    def test_rights_that_are_gone(self, client, api, watcher):
        """Without a restart a refusal is one."""
        api.forbidden.add(("list", "deployments"))
        with pytest.raises(NotAuthorised):
            wait(client, watcher, FakeTime())

    def test_api_server_stays_away(self, client, api, watcher):
        """The timeout holds then too."""
        api.faults.append(Fault("deployments", 503, times=1000))
        with pytest.raises(WaitTimedOut) as caught:
            wait(client, watcher, FakeTime(), timeout=3.0)
        assert caught.value.message == (
            "g was not ready within 3 s; it waits for: cluster (the API server does not answer)"
        )

    def test_no_router(self, client, api, watcher):
        """A Route that no router looks at does not hold up a model that answers otherwise."""
        api.apis.add("route.openshift.io/v1")
        api.add("routes", route())
        api.add("pods", READY)
        time = FakeTime()
        wait(client, watcher, time, timeout=1000.0)
        assert (watcher.lines[-1], time.seconds) == (
            "warning: no router has admitted the Route",
            60.0,
        )

    def test_stopped(self, client, api, watcher):
        """A release without replicas is not waited for."""
        api.add("deployments", deployment(replicas=0))
        time = FakeTime()
        wait(client, watcher, time)
        assert time.seconds == 0.0

    def test_interrupt(self, client, api, watcher):
        """^C says that the install goes on, and how to look again."""

        def interrupt():
            raise KeyboardInterrupt

        api.add("pods", pod(puller=running()))
        with pytest.raises(KeyboardInterrupt):
            wait(client, watcher, FakeTime(interrupt))
        assert watcher.lines[-1] == (
            "warning: Stopped watching; the install goes on. Resume: kubectl modelcar status g -n models -w"
        )
