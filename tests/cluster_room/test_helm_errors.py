"""Tests of what helm says, in our words."""

import pytest

from kubectl_modelcar.cluster.helm_errors import helm_error, says_not_found
from kubectl_modelcar.errors import ClusterFailure, InvalidInput, NetworkGaveUp, NotAuthorised

CASES = [
    pytest.param(
        "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress\n",
        ClusterFailure,
        "cannot install g: helm says: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
        "wait if another helm is at work; if one was killed: helm rollback g -n models (the claim stays)",
        id="pending",
    ),
    pytest.param(
        "WARNING: old\nError: execution error at (modelcar/templates/deployment.yaml:1:4): \n\n"
        "  replicas is 2, but the claim is ReadWriteOnce\n\n\nUse --debug flag to render out invalid YAML\n",
        InvalidInput,
        "the chart cannot install that: replicas is 2, but the claim is ReadWriteOnce",
        None,
        id="the chart's own fail",
    ),
    pytest.param(
        "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nmodelcar:\n"
        "- at '': additional properties 'x' not allowed\n",
        InvalidInput,
        "cannot install g: helm says: values don't meet the specifications of the schema(s) in the following "
        "chart(s): modelcar: - at '': additional properties 'x' not allowed",
        "correct what -f and --set say; the chart's values.yaml has every key",
        id="schema",
    ),
    pytest.param(
        'Error: query: failed to query with labels: secrets is forbidden: User "dev" cannot list resource "secrets" '
        'in API group "" in the namespace "models"',
        NotAuthorised,
        "cannot install g in namespace models: the cluster does not allow dev to list secrets",
        "check -n, or ask for the role edit; see: kubectl auth can-i list secrets -n models",
        id="rbac",
    ),
    pytest.param(
        'Error: kubernetes cluster unreachable: Get "http://127.0.0.1:1/version": connect: connection refused\n',
        NetworkGaveUp,
        'cannot install g: helm says: kubernetes cluster unreachable: Get "http://127.0.0.1:1/version": connect: '
        "connection refused",
        "is it up? check VPN and proxy too",
        id="unreachable",
    ),
    pytest.param(
        'Error: "g" has no deployed releases',
        ClusterFailure,
        'cannot install g: helm says: "g" has no deployed releases',
        "the first install failed: kubectl modelcar uninstall g -n models (the claim stays), then install again",
        id="no release to upgrade",
    ),
    pytest.param(
        "Error: cannot patch: only dynamically provisioned pvc can be resized",
        ClusterFailure,
        "cannot install g: helm says: cannot patch: only dynamically provisioned pvc can be resized",
        "kubectl modelcar uninstall g -n models --delete-storage, then install again",
        id="a claim that cannot grow",
    ),
    pytest.param(
        "Error: failed to parse /a.yaml: cannot unmarshal yaml document: error converting YAML to JSON: yaml: x",
        InvalidInput,
        "the values file /a.yaml cannot be understood: cannot unmarshal yaml document: error converting YAML to "
        "JSON: yaml: x",
        "correct it; it has to be YAML",
        id="a file that is no YAML",
    ),
    pytest.param(
        'Error: failed parsing --set data: key "x" has no value',
        InvalidInput,
        'a --set cannot be understood: key "x" has no value',
        "write it like server.port=9000",
        id="a bad --set",
    ),
    pytest.param(
        "Error: something\x1b[31m new",
        ClusterFailure,
        "cannot install g in namespace models: helm says: something\\x1b[31m new",
        "look at the release: helm status g -n models",
        id="unknown, made plain",
    ),
    pytest.param(
        "",
        ClusterFailure,
        "cannot install g in namespace models: helm says: nothing",
        "look at the release: helm status g -n models",
        id="silent",
    ),
]


class TestHelmError:
    """Errors of helm."""

    @pytest.mark.parametrize(("stderr", "error", "message", "hint"), CASES)
    def test_in_our_words(self, stderr, error, message, hint):
        """The last error counts, and known ones have a way out."""
        found = helm_error(stderr, doing="install", name="g", namespace="models")
        assert (type(found), found.message, found.hint) == (error, message, hint)


class TestSaysNotFound:
    """No such release."""

    @pytest.mark.parametrize(
        ("stderr", "expected"),
        [
            ("Error: release: not found\n", True),
            ("Error: uninstall: Release not loaded: g: release: not found\n", True),
            ("Error: namespaces not found\n", False),
            ("", False),
        ],
    )
    def test_texts(self, stderr, expected):
        """Both of helm's ways to say it."""
        assert says_not_found(stderr) == expected
