"""Tests of helm's command lines."""

from pathlib import Path

import pytest

from kubectl_modelcar.cluster import ClusterOptions
from kubectl_modelcar.cluster import helm_arguments as arguments
from kubectl_modelcar.cluster.helm_arguments import HelmVersion
from kubectl_modelcar.cluster.release import Overrides, ReleaseRequest


def words(text):
    return text.split()


REQUEST = ReleaseRequest(
    "g",
    "models",
    Path("/chart"),
    {"replicas": 1},
    Overrides((Path("/a.yaml"), Path("/b.yaml")), ("replicas=2", "server.port=1")),
)
WHAT = words("--namespace models --values - --values /a.yaml --values /b.yaml --set replicas=2 --set server.port=1")


class TestCommands:
    """What is run; versions 3 and 4 take the same."""

    @pytest.mark.parametrize(
        ("command", "expected"),
        [
            pytest.param(
                arguments.upgrade(REQUEST),
                [
                    *("upgrade", "--install", "g", "/chart"),
                    *WHAT,
                    *("--output", "json", "--history-max", "10", "--timeout", "5m"),
                ],
                id="upgrade",
            ),
            pytest.param(
                arguments.dry_run(REQUEST),
                [
                    *("upgrade", "--install", "g", "/chart"),
                    *WHAT,
                    *("--output", "json", "--history-max", "10", "--timeout", "5m", "--dry-run=server"),
                ],
                id="dry run",
            ),
            pytest.param(arguments.render(REQUEST), ["template", "g", "/chart", *WHAT, "--no-hooks"], id="render"),
            pytest.param(
                arguments.uninstall("g", "models"),
                words("uninstall g --namespace models --timeout 5m"),
                id="uninstall",
            ),
        ],
    )
    def test_argv(self, command, expected):
        """The user's values come after ours, so that they win."""
        assert command == expected

    def test_never_waits(self):
        """helm's --wait means something else in each version and says nothing meanwhile; ours shows stages."""
        assert [
            argument for argument in arguments.upgrade(REQUEST) if argument.startswith(("--wait", "--atomic"))
        ] == []


class TestConnection:
    """The same cluster and user as ours."""

    @pytest.mark.parametrize(
        ("options", "kubeconfig", "expected"),
        [
            pytest.param(ClusterOptions(), None, [], id="nothing said"),
            pytest.param(
                ClusterOptions(
                    kubeconfig="k", context="c", server="https://s", certificate_authority="ca", tls_server_name="n"
                ),
                None,
                words(
                    "--kubeconfig k --kube-context c --kube-apiserver https://s "
                    "--kube-ca-file ca --kube-tls-server-name n"
                ),
                id="where",
            ),
            pytest.param(
                ClusterOptions(as_user="a", as_groups=("g", "h"), insecure_skip_tls_verify=True),
                None,
                words("--kube-as-user a --kube-as-group g --kube-as-group h --kube-insecure-skip-tls-verify"),
                id="who",
            ),
            pytest.param(ClusterOptions(token="s3cret"), None, [], id="token is not on the command line"),
            pytest.param(ClusterOptions(context="c", as_uid="7"), "own", ["--kubeconfig", "own"], id="own kubeconfig"),
        ],
    )
    def test_flags(self, options, kubeconfig, expected):
        """Each option has its flag."""
        assert arguments.connection(options, kubeconfig) == expected

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (ClusterOptions(context="c", server="s", token="t", as_user="a", request_timeout=1.0), False),
            (ClusterOptions(cluster="c"), True),
            (ClusterOptions(user="u"), True),
            (ClusterOptions(as_uid="7"), True),
        ],
        ids=["flags are enough", "cluster", "user", "uid"],
    )
    def test_needs_own_kubeconfig(self, options, expected):
        """What helm has no flag for."""
        assert arguments.needs_own_kubeconfig(options) == expected

    def test_token_by_environment(self):
        """The token goes by the environment, and the user's HELM_KUBE* cannot point helm elsewhere."""
        env = arguments.environment(ClusterOptions(token="s3cret"), own_kubeconfig=False)
        assert env == {
            "HELM_KUBEAPISERVER": "",
            "HELM_KUBEASGROUPS": "",
            "HELM_KUBEASUSER": "",
            "HELM_KUBECAFILE": "",
            "HELM_KUBECONTEXT": "",
            "HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "",
            "HELM_KUBETLS_SERVER_NAME": "",
            "HELM_KUBETOKEN": "s3cret",
            "NO_COLOR": "1",
            "HELM_COLOR": "never",
        }


class TestHelmVersion:
    """Which helm is good enough."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("v3.18.4", True),
            ("v3.18.3", False),
            ("v3.21.4+gabc", True),
            ("v2.17.0", False),
            ("v4.1.4", True),
            ("v4.1.3", False),
            ("v4.0.9", False),
            ("v4.2.4", True),
            ("v5.0.0", True),
        ],
    )
    def test_supported(self, text, expected):
        """From 3.18.4, 4.1.4, or a later major version."""
        assert HelmVersion.parse(text).is_supported == expected

    @pytest.mark.parametrize("text", ["", "3.18.4", "vX", "helm v3"])
    def test_no_version(self, text):
        """Something else than helm."""
        assert HelmVersion.parse(text) is None
