"""Tests of what a release is waiting for, and why."""

import pytest

from kubectl_modelcar.cluster import stages_of
from kubectl_modelcar.cluster.snapshot import Snapshot
from kubectl_modelcar.cluster.stages import stuck_at
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

CLAIM = "g-modelcar-models"
PULLED = ended()
OOM = {"exitCode": 137, "reason": "OOMKilled"}
CRASH = {"exitCode": 1, "reason": "Error", "message": "ValueError: To serve at least one request with max seq len (1)"}


def snapshot(*pods, **more):
    """Return a snapshot whose claim is bound, unless told otherwise."""
    return Snapshot(**({"deployment": deployment(), "pods": pods, "claim": claim()} | more))


def told(*pods, **more):
    """Return name, state and detail of the stage that a release is stuck at."""
    stuck = stuck_at(stages_of(snapshot(*pods, **more)))
    return None if stuck is None else (stuck.name, stuck.state, stuck.detail)


def replica_failure(message):
    return deployment(conditions=[{"type": "ReplicaFailure", "status": "True", "message": message}])


PULL_FAILED = 'Failed to pull image "quay.io/v/vllm:9": '
PULLER_ERROR = "puller: pulling x\npuller: error: not authorised\npuller: hint: log in\n"
SHARDS = "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01]\n"

CASES = [
    pytest.param({"deployment": None, "claim": None}, ("release", "waiting", "its Deployment is not there"), id="none"),
    pytest.param(
        {"deployment": deployment(observed=1)},
        ("release", "waiting", "the cluster has not looked at it yet"),
        id="controller has not looked",
    ),
    pytest.param(
        {"deployment": replica_failure('pods "x" is forbidden: exceeded quota: q')},
        ("release", "failed", 'pods "x" is forbidden: exceeded quota: q'),
        id="quota",
    ),
    pytest.param(
        {"deployment": replica_failure('pods "x" is forbidden: violates PodSecurity "restricted:latest"')},
        ("release", "failed", 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'),
        id="pod security",
    ),
    pytest.param({"claim": None}, ("node", "waiting", "there is no pod yet"), id="claim not made yet"),
    pytest.param(
        {"claim": claim(phase="Pending"), "events": [event(CLAIM, "WaitForFirstConsumer", "waiting")]},
        ("node", "waiting", "there is no pod yet"),
        id="waiting for the first consumer is no error",
    ),
    pytest.param(
        {
            "claim": claim(phase="Pending"),
            "events": [event(CLAIM, "FailedBinding", "no storage class is set")],
        },
        ("claim", "failed", "no storage class is set"),
        id="no storage class",
    ),
    pytest.param(
        {
            "claim": claim(phase="Pending"),
            "events": [
                event(CLAIM, "ProvisioningFailed", "no space", at="2026-11-24T10:00:02Z"),
                event(CLAIM, "WaitForFirstConsumer", "waiting", at="2026-11-24T10:00:01Z"),
            ],
        },
        ("claim", "failed", "no space"),
        id="provisioning failed, by the newest event",
    ),
    pytest.param({"claim": claim(phase="Lost")}, ("claim", "failed", f"the volume of {CLAIM} is gone"), id="lost"),
    pytest.param(
        {"deployment": deployment(replicas=0)}, ("node", "waiting", "replicas is 0, so nothing runs"), id="stopped"
    ),
]

POD_CASES = [
    pytest.param(
        pod(scheduled=False, message="0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
        {},
        ("node", "waiting", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
        id="no gpu",
    ),
    pytest.param(
        pod(scheduled=False, message="pod has unbound immediate PersistentVolumeClaims."),
        {"claim": claim(phase="Pending")},
        ("node", "waiting", "the claim has no volume yet"),
        id="unbound claim",
    ),
    pytest.param(pod(), {}, ("server image", "waiting", "the node prepares the pod"), id="just scheduled"),
    pytest.param(
        pod(puller=waiting()),
        {"events": [event(POD, "Pulling", 'Pulling image "x"')]},
        ("server image", "waiting", 'Pulling image "x"'),
        id="pulling",
    ),
    pytest.param(
        pod(puller=waiting()),
        {
            "events": [
                event(POD, "FailedMount", 'MountVolume.SetUp failed for volume "auth": secret "g-pull" not found')
            ]
        },
        ("server image", "failed", 'MountVolume.SetUp failed for volume "auth": secret "g-pull" not found'),
        id="a secret is missing",
    ),
    pytest.param(
        pod(puller=waiting("ErrImagePull", PULL_FAILED + "unauthorized")),
        {},
        ("server image", "failed", PULL_FAILED + "unauthorized"),
        id="image refused",
    ),
    pytest.param(
        pod(puller=waiting("ImagePullBackOff", 'Back-off pulling image "quay.io/v/vllm:9"')),
        {"events": [event(POD, "Failed", PULL_FAILED + "manifest unknown: not found")]},
        ("server image", "failed", PULL_FAILED + "manifest unknown: not found"),
        id="image absent, said by the event",
    ),
    pytest.param(
        pod(puller=waiting("ImagePullBackOff", PULL_FAILED + "i/o timeout")),
        {},
        ("server image", "waiting", PULL_FAILED + "i/o timeout"),
        id="registry unreachable may pass",
    ),
    pytest.param(
        pod(puller=waiting("InvalidImageName", "couldn't parse")),
        {},
        ("server image", "failed", "InvalidImageName: couldn't parse"),
        id="no image name",
    ),
    pytest.param(
        pod(puller=PULLED, server=waiting("CreateContainerConfigError", 'secret "k" not found')),
        {},
        ("server image", "failed", 'CreateContainerConfigError: secret "k" not found'),
        id="config error of the server",
    ),
    pytest.param(
        pod(puller=running()),
        {"logs": {(POD, "puller"): "puller: pulling\npuller: 42% 113.0/269.0 MB\n"}},
        ("model", "waiting", "42% 113.0/269.0 MB"),
        id="model is pulled",
    ),
    pytest.param(
        pod(puller=ended(3, reason="Error", message=PULLER_ERROR)),
        {},
        ("model", "failed", "not authorised"),
        id="puller was refused",
    ),
    pytest.param(
        pod(puller=waiting("CrashLoopBackOff", restarts=1, last={"exitCode": 5, "message": PULLER_ERROR})),
        {},
        ("model", "waiting", "try 2: not authorised"),
        id="puller tries again after a network fault",
    ),
    pytest.param(
        pod(puller=running(restarts=1, last={"exitCode": 5, "message": PULLER_ERROR})),
        {"logs": {(POD, "puller"): "puller: 50% x\n"}},
        ("model", "waiting", "try 2: 50% x"),
        id="second try runs",
    ),
    pytest.param(
        pod(puller=waiting("CrashLoopBackOff", restarts=3, last={"exitCode": 5, "message": PULLER_ERROR})),
        {},
        ("model", "failed", "not authorised"),
        id="puller gave up",
    ),
    pytest.param(
        pod(puller=ended(137, reason="OOMKilled", restarts=3)),
        {},
        ("model", "failed", "the puller was killed: it is over its memory limit"),
        id="puller out of memory",
    ),
    pytest.param(
        pod(puller=waiting("CrashLoopBackOff", restarts=1, last={"exitCode": 2, "message": "\x1b[2Jpython3: no"})),
        {},
        ("model", "failed", "\\x1b[2Jpython3: no"),
        id="puller never came to say anything",
    ),
    pytest.param(
        pod(puller=PULLED, server=running(started=False)),
        {"logs": {(POD, "server"): SHARDS}},
        ("server", "waiting", "loading weights 1/2"),
        id="weights",
    ),
    pytest.param(
        pod(puller=PULLED, server=waiting("CrashLoopBackOff", restarts=2, last=CRASH)),
        {},
        ("server", "waiting", "start 3: ValueError: To serve at least one request with max seq len (1)"),
        id="crashed twice",
    ),
    pytest.param(
        pod(puller=PULLED, server=waiting("CrashLoopBackOff", restarts=3, last=CRASH)),
        {
            "logs": {
                (POD, "server"): "(Worker pid=1) ERROR 11-24 19:47:01 [a.py:1] OSError: disk\nRuntimeError: x "
                "Engine core initialization failed. See root cause above.\n"
            }
        },
        ("server", "failed", "it ended 3 times: OSError: disk"),
        id="crash loop, cause from the log",
    ),
    pytest.param(
        pod(puller=PULLED, server=running(started=False, restarts=1, last=OOM)),
        {"logs": {(POD, "server"): SHARDS}},
        ("server", "waiting", "start 2: loading weights 1/2"),
        id="out of memory once",
    ),
    pytest.param(
        pod(puller=PULLED, server=running(started=False, restarts=2, last=OOM)),
        {"logs": {(POD, "server"): SHARDS}},
        ("server", "failed", "it ended 2 times: it was killed: it is over its memory limit"),
        id="out of memory twice",
    ),
    pytest.param(
        pod(puller=PULLED, server=running()),
        {},
        ("ready", "waiting", "the server does not answer /health yet"),
        id="not ready",
    ),
    pytest.param(
        pod(puller=PULLED, server=running(), ready=True),
        {"routes": [route()]},
        ("route", "waiting", "no router has admitted it"),
        id="no router",
    ),
    pytest.param(
        pod(puller=PULLED, server=running(), ready=True),
        {"routes": [route(admitted=False, reason="HostAlreadyClaimed", message="taken")]},
        ("route", "failed", "HostAlreadyClaimed: taken"),
        id="route refused",
    ),
    pytest.param(
        pod(puller=PULLED, server=running(), ready=True), {"routes": [route(admitted=True)]}, None, id="all done"
    ),
]


class TestStuckAt:
    """The one stage that holds everything up, with its cause."""

    @pytest.mark.parametrize(("more", "expected"), CASES)
    def test_before_there_is_a_pod(self, more, expected):
        """The Deployment and the claim."""
        assert told(**more) == expected

    @pytest.mark.parametrize(("body", "more", "expected"), POD_CASES)
    def test_with_a_pod(self, body, more, expected):
        """From the scheduler to the router."""
        assert told(body, **more) == expected


class TestStagesOf:
    """All stages together."""

    def test_those_behind_are_pending(self):
        """Nothing is said of what has not begun."""
        stages = stages_of(snapshot(pod(puller=running())))
        assert [(stage.name, stage.state) for stage in stages] == [
            ("release", "done"),
            ("claim", "done"),
            ("node", "done"),
            ("server image", "done"),
            ("model", "waiting"),
            ("server", "pending"),
            ("ready", "pending"),
        ]

    def test_details_of_what_is_done(self):
        """A finished stage says what came of it."""
        body = pod(puller=PULLED, server=running(), ready=True)
        stages = stages_of(snapshot(body, routes=[route(admitted=True)]))
        assert {stage.name: stage.detail for stage in stages if stage.detail} == {
            "release": "quay.io/me/granite:1@sha256:11",
            "claim": f"{CLAIM}, 20Gi",
            "node": "node1",
            "route": "https://g.apps.example.com",
        }

    def test_the_pod_that_is_furthest_behind(self):
        """Two pods are ready when both are."""
        fast = pod(puller=PULLED, server=running(), ready=True, name="fast")
        slow = pod(puller=running(), name="slow")
        stages = stages_of(snapshot(fast, slow, deployment=deployment(replicas=2)))
        assert stuck_at(stages).name == "model"

    def test_some_pods_are_ready(self):
        """The count is in the detail."""
        ready = pod(puller=PULLED, server=running(), ready=True, name="a")
        almost = pod(puller=PULLED, server=running(), name="b")
        assert told(ready, almost, deployment=deployment(replicas=2)) == ("ready", "waiting", "1 of 2 pods")

    def test_without_a_claim(self):
        """A model that is not on a claim has no such stage."""
        stages = stages_of(snapshot(deployment=deployment(claim=None), claim=None))
        assert "claim" not in [stage.name for stage in stages]

    @pytest.mark.parametrize(
        ("body", "hint"),
        [
            pytest.param(
                pod(scheduled=False, message="0/1 nodes: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes"),
                "no node has that many free GPUs: ask for fewer (--gpus), or use --accelerator cpu",
                id="gpu",
            ),
            pytest.param(
                pod(scheduled=False, message="0/1 nodes: 1 Insufficient memory. preemption: 0/1 nodes"),
                "no node has that much free: --set server.resources.requests...",
                id="memory",
            ),
            pytest.param(
                pod(puller=ended(3, reason="Error", message=PULLER_ERROR)), "log in", id="the puller's own hint"
            ),
            pytest.param(
                pod(puller=PULLED, server=waiting("CrashLoopBackOff", restarts=3, last=CRASH)),
                "give it less context (--context-length N) or more GPUs (--gpus N)",
                id="context",
            ),
        ],
    )
    def test_hints(self, body, hint):
        """What to do about it."""
        assert stuck_at(stages_of(snapshot(body))).hint == hint


class TestPatience:
    """How long a failure may last before it is believed."""

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (pod(puller=waiting("ErrImagePull", "unauthorized")), True),
            (pod(puller=waiting("InvalidImageName", "x")), False),
            (pod(puller=ended(3, reason="Error")), False),
        ],
        ids=["the kubelet asks again", "a name stays wrong", "the puller's no is final"],
    )
    def test_only_where_something_tries_again(self, body, expected):
        """What is final is believed at once."""
        assert (stuck_at(stages_of(snapshot(body))).patience > 0) == expected


class TestRevision:
    """Which pods count; see also test_snapshot."""

    def test_replica_sets_have_their_revision(self):
        """The helper makes what the code reads."""
        assert replica_set()["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "2"}
