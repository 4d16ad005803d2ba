"""Every pod of the chart against Pod Security `restricted` and OpenShift's restricted-v2.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted) and of the
restricted-v2 SecurityContextConstraints (openshift/cluster-kube-apiserver-operator).
"""

import pytest

from tests.chart.rendering import merged

pytestmark = pytest.mark.real

FULL = {
    "model": {"image": {"pullSecret": "pull", "ca": {"configMap": "bundle"}}},
    "server": {"apiKey": {"existingSecret": "keys"}},
    "puller": {"image": {"repository": "python", "tag": "3.13"}},
    "tests": {"image": {"repository": "python", "tag": "3.13"}},
}
ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


@pytest.fixture(scope="module", params=["least", "everything on", "writable root"])
def rendered(request, render):
    """The chart in the forms that change a pod's security."""
    values = {
        "least": {},
        "everything on": FULL,
        "writable root": merged(FULL, {"server": {"readOnlyRootFilesystem": False}}),
    }
    return render(values[request.param])


def contexts(rendered):
    """Give each container's own security context with its pod's below it, as the kubelet sees it."""
    for pod in rendered.pods().values():
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield {**pod["securityContext"], **container["securityContext"]}


class TestPodSecurityRestricted:
    def test_runs_as_non_root(self, rendered):
        """Root is refused whatever the image says."""
        assert [one["runAsNonRoot"] for one in contexts(rendered)] == [True] * 3

    def test_never_gains_privileges(self, rendered):
        """No set-uid program helps."""
        assert [one["allowPrivilegeEscalation"] for one in contexts(rendered)] == [False] * 3

    def test_drops_all_capabilities(self, rendered):
        """None is left and none added."""
        assert [one["capabilities"] for one in contexts(rendered)] == [{"drop": ["ALL"]}] * 3

    def test_has_the_runtimes_seccomp_profile(self, rendered):
        """System calls are filtered."""
        assert [one["seccompProfile"] for one in contexts(rendered)] == [{"type": "RuntimeDefault"}] * 3

    def test_mounts_only_what_is_allowed(self, rendered):
        """Volumes are of the allowed kinds: none of the node's own."""
        used = {
            kind
            for pod in rendered.pods().values()
            for volume in pod.get("volumes", [])
            for kind in set(volume) - {"name"}
        }
        assert used <= ALLOWED_VOLUMES

    def test_shares_nothing_with_the_node(self, rendered):
        """No namespace and no port of the node, no privileged container, no host's user."""
        forbidden = {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace", "hostAliases"}
        assert [set(), set()] == [forbidden & set(pod) for pod in rendered.pods().values()]
        assert [one for one in contexts(rendered) if "privileged" in one or "procMount" in one] == []
        ports = [port for one in rendered.containers().values() for port in one.get("ports", [])]
        assert [port for port in ports if "hostPort" in port] == []


class TestRestrictedV2:
    def test_names_no_user_or_group(self, rendered):
        """OpenShift gives each namespace its own range and refuses a pod that names another."""
        fixed = {"runAsUser", "runAsGroup", "fsGroup", "supplementalGroups", "seLinuxOptions"}
        assert [set()] * 3 == [fixed & set(one) for one in contexts(rendered)]


class TestBeyond:
    def test_root_filesystem(self, rendered, request):
        """Containers can't change their own image, but for the server where it is switched off."""
        read_only = {
            name: one["securityContext"]["readOnlyRootFilesystem"] for name, one in rendered.containers().items()
        }
        switched_off = "writable root" in request.node.name
        assert {"puller": True, "server": not switched_off, "one-token": True} == read_only

    def test_has_no_token_of_the_cluster(self, rendered):
        """A server that runs strangers' prompts has no way into the API."""
        assert [pod["automountServiceAccountToken"] for pod in rendered.pods().values()] == [False, False]

    def test_no_secret_is_rendered(self, rendered):
        """Secrets are named; none is made, and none stands in an argument or a variable."""
        assert "Secret" not in rendered.kinds()
        variables = [one for container in rendered.containers().values() for one in container.get("env", [])]
        assert [one["name"] for one in variables if "KEY" in one["name"] and "value" in one] == []

    def test_every_container_has_resources(self, rendered):
        """A quota that counts them lets every pod in."""
        for container in rendered.containers().values():
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"]["requests"])
            assert {"memory", "ephemeral-storage"} <= set(container["resources"]["limits"])

    def test_scratch_is_limited(self, rendered):
        """No volume of the node's disk or memory is without an end."""
        scratch = [volume["emptyDir"] for volume in rendered.pod()["volumes"] if "emptyDir" in volume]
        assert ["sizeLimit" in one for one in scratch] == [True] * 3
