"""The cluster is a real one: what OpenShift and Kubernetes refuse or fill in, it refuses or fills in."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster import Cluster, ClusterError, cgroups, images
from tests.cluster.cluster import PRIVATE_PASSWORD, PRIVATE_USER
from tests.cluster.fixtures import UID_RANGE_START
from tests.llm.prepare import NAME, ROOT
from tests.tools import tool

pytestmark = pytest.mark.cluster

POST = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.stdin.buffer.read(), {"Content-Type": "application/json"})
sys.stdout.buffer.write(urllib.request.urlopen(request).read())
"""
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def pod(image, *command, volumes=(), mounts=(), container=None, **spec):
    """Return a pod of one container that fits Pod Security `restricted` unless told otherwise."""
    container = {
        "name": "main",
        "image": image,
        "securityContext": RESTRICTED,
        "volumeMounts": list(mounts),
        **({"command": list(command)} if command else {}),
        **(container or {}),
    }
    user = {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod"},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": user,
            "containers": [container],
            "volumes": list(volumes),
            **spec,
        },
    }


def create(cluster, namespace, *objects):
    """Create objects in a namespace."""
    content = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(content))


def finish(cluster, namespace):
    """Wait until the pod has succeeded and return its log."""
    cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/pod", "--timeout=60s")
    return cluster.kubectl("-n", namespace, "logs", "pod")


class TestNode:
    """One node, ready for pods that want GPUs."""

    def test_ready(self, cluster):
        """The node is Ready and has eight GPUs to give."""
        (node,) = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
        ready = next(condition["status"] for condition in node["status"]["conditions"] if condition["type"] == "Ready")
        assert (ready, node["status"]["allocatable"]["nvidia.com/gpu"]) == ("True", "8")

    def test_pod_with_a_claim(self, cluster, namespace):
        """A restricted pod that asks for a GPU runs, and another one reads what it left on the claim."""
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
        }
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
        mount = {"name": "data", "mountPath": "/data"}
        busybox = f"{cluster.registry}/busybox:1"
        gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        write = pod(busybox, "sh", "-c", "id -u > /data/uid", volumes=[volume], mounts=[mount], container=gpu)
        create(cluster, namespace, claim, write)
        finish(cluster, namespace)
        cluster.kubectl("-n", namespace, "delete", "pod", "pod")
        create(cluster, namespace, pod(busybox, "cat", "/data/uid", volumes=[volume], mounts=[mount]))
        assert finish(cluster, namespace) == "1000\n"

    def test_memory_limit(self, cluster, namespace):
        """A limit is the kernel's: a pod that takes more is killed."""
        limited = {"resources": {"limits": {"memory": "16Mi"}}}
        grow = "x=0123456789abcdef; while :; do x=$x$x; done"
        create(cluster, namespace, pod(f"{cluster.registry}/busybox:1", "sh", "-c", grow, container=limited))
        cluster.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.phase}=Failed", "pod/pod", "--timeout=60s")
        ended = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
        assert cluster.kubectl("-n", namespace, "get", "pod", "pod", "-o", ended) == "OOMKilled"

    def test_service(self, cluster, namespace):
        """A pod reaches a service by its name: CoreDNS, kube-proxy and the pod network work together."""
        service = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }
        busybox = f"{cluster.registry}/busybox:1"
        web = pod(busybox, "httpd", "-f", "-p", "8080", "-h", "/etc")
        web["metadata"] = {"name": "web", "labels": {"app": "web"}}
        create(cluster, namespace, service, web)
        cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        get = "until wget -q -O - http://web.$0.svc.cluster.local/passwd; do sleep 0.2; done"
        create(cluster, namespace, pod(busybox, "sh", "-c", get, namespace))
        assert finish(cluster, namespace) == "root:x:0:0:root:/:/bin/sh\n"


class TestAdmission:
    """Who may run what."""

    @pytest.mark.parametrize(
        "container",
        [
            pytest.param({"securityContext": {"privileged": True}}, id="privileged"),
            pytest.param({"securityContext": {**RESTRICTED, "runAsUser": 0}}, id="root"),
        ],
    )
    def test_pod_security(self, cluster, namespace, container):
        """Pod Security refuses what `restricted` does not allow."""
        refused = pod(f"{cluster.registry}/busybox:1", "true", container=container)
        with pytest.raises(ClusterError, match=r'pods "pod" is forbidden: violates PodSecurity "restricted:latest"'):
            create(cluster, namespace, refused)

    def test_uid_of_the_range(self, cluster, openshift_namespace):
        """A pod that says nothing about users gets the namespace's uid and group, as on OpenShift."""
        plain = pod(f"{cluster.registry}/busybox:1", "id", securityContext={}, container={"securityContext": {}})
        create(cluster, openshift_namespace, plain)
        uid = UID_RANGE_START
        assert finish(cluster, openshift_namespace) == f"uid={uid} gid=0 groups=0,{uid}\n"

    def test_uid_outside_the_range(self, cluster, openshift_namespace):
        """A pod that names a uid of its own is refused in OpenShift's words."""
        with pytest.raises(
            ClusterError, match=r"runAsUser: Invalid value: 1000: must be in the ranges: \[1000680000, "
        ):
            create(cluster, openshift_namespace, pod(f"{cluster.registry}/busybox:1", "id"))

    def test_rights_of_dev(self, cluster, namespace):
        """The user "dev" administers the test's namespace, Routes included, and nothing else."""
        kubectl = (tool("kubectl"), "--kubeconfig", cluster.dev_kubeconfig, "auth", "can-i", "create")
        inside = [cluster.run(*kubectl, kind, "-n", namespace) for kind in ("deployments", "routes", "services/proxy")]
        assert inside == ["yes\n"] * 3
        with pytest.raises(ClusterError):
            cluster.run(*kubectl, "deployments", "-n", "default")


class TestRegistries:
    """The open registry, and the one that wants a password."""

    def test_private(self, cluster, tmp_path):
        """The private registry refuses who has no password and takes images from who has."""
        image = f"{cluster.private_registry}/busybox:1"
        copy = (tool("crane"), "copy", "--insecure", f"{cluster.registry}/busybox:1", image)
        with pytest.raises(ClusterError, match="401 Unauthorized"):
            cluster.run("env", f"DOCKER_CONFIG={tmp_path}", *copy)
        login = {cluster.private_registry: {"username": PRIVATE_USER, "password": PRIVATE_PASSWORD}}
        (tmp_path / "config.json").write_text(json.dumps({"auths": login}))
        cluster.run("env", f"DOCKER_CONFIG={tmp_path}", *copy)
        tags = (tool("crane"), "ls", "--insecure", image.removesuffix(":1"))
        assert cluster.run("env", f"DOCKER_CONFIG={tmp_path}", *tags) == "1\n"


@pytest.mark.model
class TestServerImage:
    """The model server runs in a pod."""

    def test_answers(self, cluster, openshift_namespace, server_image, smollm2):
        """With any uid, on a read-only root, it loads the model from a volume and answers with its words."""
        model = {"name": "model", "image": {"reference": cluster.push(images.files(smollm2), "model:1")}}
        scratch = {"name": "scratch", "emptyDir": {}}
        server = {
            "args": ["--model=/mnt/models/models", f"--served-model-name={NAME}", "--max-model-len=512"],
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
            "securityContext": {"readOnlyRootFilesystem": True},
            "resources": {"limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}},
        }
        mounts = [{"name": "model", "mountPath": "/mnt/models"}, {"name": "scratch", "mountPath": "/tmp"}]  # noqa: S108  # in the pod
        spec = pod(server_image, volumes=[model, scratch], mounts=mounts, container=server, securityContext={})
        create(cluster, openshift_namespace, spec)
        cluster.kubectl("-n", openshift_namespace, "wait", "--for=condition=Ready", "pod/pod", "--timeout=120s")
        question = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
        address = cluster.kubectl("-n", openshift_namespace, "get", "pod", "pod", "-o", "jsonpath={.status.podIP}")
        url = f"http://{address}:8000/v1/chat/completions"
        answer = json.loads(cluster.run(sys.executable, "-c", POST, url, stdin=json.dumps(question)))
        assert answer["choices"][0]["message"]["content"] == "The capital of France is Paris."


def processes(group: Path) -> list[str]:
    """Return the processes in a cgroup and those below it."""
    return [number for file in group.rglob("cgroup.procs") for number in file.read_text().split()]


class TestEnd:
    """Nothing stays behind."""

    def test_down(self, cluster, tmp_path):
        """A second cluster beside the first goes with all its processes and cgroups, and the first one stays."""
        second = Cluster.up(tmp_path / "state", gpus=1)
        running = processes(next(group for group in second.groups if group.parent.name == "pids"))
        assert Cluster.load(tmp_path / "state") == second
        second.down()
        with pytest.raises(ClusterError, match=r"^no cluster is up in "):
            Cluster.load(tmp_path / "state")
        assert len(running) > 10
        assert [number for number in running if Path(f"/proc/{number}").exists()] == []
        assert [group for group in second.groups if group.exists()] == []
        assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
            *("bin", "conf", "dev.kubeconfig", "kubeconfig", "log", "pki"),
        ]
        assert cluster.kubectl("get", "nodes", "-o", "name") == "node/node1\n"

    def test_killed_run(self, tmp_path):
        """A run that is killed takes its cluster with it, and the next one removes the cgroups that it left."""
        code = "import pathlib, sys; from tests.cluster import Cluster; Cluster.up(pathlib.Path(sys.argv[1]))"
        run = subprocess.Popen([sys.executable, "-c", code, tmp_path / "state"], cwd=ROOT, env=os.environ)
        own = cgroups.own_cgroups(Path("/proc/self/cgroup").read_text())
        mine = cgroups.ROOT / "pids" / own["pids"].strip("/")
        try:
            (group,) = _eventually(lambda: list(mine.glob(f"{cgroups.PREFIX}{run.pid}-*")))
            _eventually(lambda: len(processes(group)) > 5)
        finally:
            run.send_signal(signal.SIGKILL)
            run.wait()
        _eventually(lambda: not processes(group))
        left = [folder for folder in cgroups.leftovers(own) if folder.name == group.name]
        assert len(left) == len(own)
        for folder in left:
            cgroups.remove(folder)
        assert [folder for folder in left if folder.exists()] == []


def _eventually(look, seconds=20):
    """Return what `look` gives once it is true."""
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return seen
