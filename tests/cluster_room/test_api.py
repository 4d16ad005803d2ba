"""Tests of talking to an API server, against the fake one."""

import socket
import ssl
import stat
import sys

import httpx
import pytest
import trustme

from kubectl_modelcar.cluster import ClusterOptions, connect
from kubectl_modelcar.cluster.objects import PODS, SECRETS
from kubectl_modelcar.cluster.refusals import Conflict
from kubectl_modelcar.errors import ClusterFailure, LocalFailure, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from tests.fakes.kube_api import FakeKubeApi, Fault


@pytest.fixture
def client(api, tmp_path):
    """Connect to the fake server."""
    return connect(ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "kubeconfig"))))


def secret(name, **labels):
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


class TestObjects:
    """Reading and changing objects."""

    def test_life_of_an_object(self, client):
        """Each verb does what it says."""
        steps = [
            client.get(SECRETS, "x"),
            client.create(SECRETS, secret("x"))["data"],
            client.merge(SECRETS, "x", {"data": {"b": "2"}})["data"],
            client.get(SECRETS, "x")["data"],
            client.delete(SECRETS, "x"),
            client.delete(SECRETS, "x"),
        ]
        assert steps == [None, {"a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2"}, True, False]

    def test_list(self, client, api):
        """Selectors go to the server."""
        api.add("secrets", secret("x", app="one"))
        api.add("secrets", secret("y", app="two"))
        found = [
            client.list(SECRETS, labels={"app": "two"}),
            client.list(SECRETS, fields={"metadata.name": "x"}),
        ]
        assert [[item["metadata"]["name"] for item in items] for items in found] == [["y"], ["x"]]

    def test_names_are_quoted(self, client, api):
        """A name cannot leave its place in the path."""
        client.get(SECRETS, "../configmaps/x?y")
        assert api.requests[-1].path == "/api/v1/namespaces/models/secrets/..%2Fconfigmaps%2Fx%3Fy"

    def test_log(self, client, api):
        """A log, or nothing where there is none."""
        api.logs["p", "server"] = "1\n2\n3"
        api.logs["p", "server previous"] = "old"
        logs = [
            client.log("p", "server", lines=2),
            client.log("p", "server", lines=2, previous=True),
            client.log("p", "puller", lines=2),
        ]
        assert logs == ["2\n3", "old", ""]

    def test_offers(self, client, api):
        """Whether the cluster has an API."""
        before = client.offers("route.openshift.io/v1")
        api.apis.add("route.openshift.io/v1")
        assert (before, client.offers("route.openshift.io/v1")) == (False, True)


class TestNamespace:
    """The namespace itself."""

    @pytest.mark.parametrize(
        ("namespaces", "forbidden", "expected"),
        [
            pytest.param({"models": "Active"}, set(), "Active", id="there"),
            pytest.param({"models": "Terminating"}, set(), "Terminating", id="going"),
            pytest.param({}, set(), None, id="absent"),
            pytest.param({}, {("get", "namespaces")}, "Active", id="not for us to see"),
        ],
    )
    def test_phase(self, client, api, namespaces, forbidden, expected):
        """What can be known about it."""
        api.namespaces, api.forbidden = namespaces, forbidden
        assert client.namespace_phase() == expected

    def test_create(self, client, api):
        """It can be made."""
        api.namespaces.clear()
        client.create_namespace()
        assert api.namespaces == {"models": "Active"}

    def test_a_bad_login_is_no_unseen_namespace(self, api, tmp_path):
        """401 is told apart from 403."""
        kubeconfig = str(api.kubeconfig(tmp_path / "kubeconfig"))
        with pytest.raises(NotAuthorised):
            connect(ClusterOptions(kubeconfig=kubeconfig, token="wrong")).namespace_phase()


class TestIdentity:
    """Who we are to the server."""

    def test_impersonation(self, api, tmp_path):
        """User, uid and every group go as headers."""
        options = ClusterOptions(
            kubeconfig=str(api.kubeconfig(tmp_path / "k")), as_user="a", as_groups=("g", "h"), as_uid="7"
        )
        connect(options).get(SECRETS, "x")
        request = api.requests[-1]
        assert (request.headers["impersonate-user"], request.headers["impersonate-uid"], request.groups) == (
            "a",
            "7",
            ("g", "h"),
        )

    def test_headers_for_another_client(self, api, tmp_path):
        """A chat through the API server carries the same identity."""
        options = ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k")), as_user="a", as_groups=("g",))
        assert connect(options).headers() == {
            "Authorization": "Bearer t0ken",
            "Impersonate-User": "a",
            "Impersonate-Group": "g",
        }

    def test_several_groups_for_another_client(self, api, tmp_path):
        """What a mapping cannot carry is refused, not dropped."""
        options = ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k")), as_groups=("g", "h"))
        with pytest.raises(ClusterFailure):
            connect(options).headers()

    def plugin(self, tmp_path, script):
        program = tmp_path / "get-token"
        program.write_text(f"#!{sys.executable}\n{script}")
        program.chmod(stat.S_IRWXU)
        return {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": "./get-token",
                "interactiveMode": "Never",
            }
        }

    def kubeconfig(self, api, tmp_path, user):
        path = api.kubeconfig(tmp_path / "k")
        import yaml  # noqa: PLC0415  only here

        content = yaml.safe_load(path.read_text())
        content["users"][0]["user"] = user
        path.write_text(yaml.safe_dump(content))
        return ClusterOptions(kubeconfig=str(path))

    def test_exec_plugin(self, api, tmp_path):
        """The kubeconfig's login program gives the token."""
        user = self.plugin(
            tmp_path,
            "import json\n"
            "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
            " 'status': {'token': 't0ken'}}))\n",
        )
        assert connect(self.kubeconfig(api, tmp_path, user)).get(SECRETS, "x") is None

    def test_failing_exec_plugin(self, api, tmp_path, capfd):
        """Its own words are in the error, and nothing is printed."""
        user = self.plugin(tmp_path, "import sys\nsys.exit('token \\x1b[31mexpired')\n")
        with pytest.raises(NotAuthorised) as caught:
            connect(self.kubeconfig(api, tmp_path, user))
        assert (caught.value.message, capfd.readouterr()) == (
            "the kubeconfig's login program failed: exec: process returned 1. token \\x1b[31mexpired",
            ("", ""),
        )

    def test_absent_exec_plugin(self, api, tmp_path):
        """A program that is not there is named."""
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-program"}}
        with pytest.raises(NotAuthorised) as caught:
            connect(self.kubeconfig(api, tmp_path, user))
        assert "no-such-program" in caught.value.message

    @pytest.mark.parametrize(
        "user", [{"token": 7}, {"client-certificate-data": "%%%", "client-key-data": "x"}], ids=["number", "base64"]
    )
    def test_damaged_login(self, api, tmp_path, user):
        """A kubeconfig's wrong values are errors of ours."""
        with pytest.raises((ClusterFailure, NotAuthorised, LocalFailure)):
            connect(self.kubeconfig(api, tmp_path, user)).get(SECRETS, "x")


class TestProxy:
    """The way that the kubeconfig prescribes."""

    def options(self, api, tmp_path, url):
        return ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k", **{"proxy-url": url})))

    def test_for_another_client(self, api, client, tmp_path):
        """A chat through the API server goes by the same proxy; without one, as the environment says."""
        assert (connect(self.options(api, tmp_path, "http://p:3128")).proxy, client.proxy) == ("http://p:3128", None)

    @pytest.mark.parametrize("url", ["socks5://me:s3cret@p:1080", "p:3128", "ftp://p"], ids=["socks", "bare", "ftp"])
    def test_of_another_kind(self, api, tmp_path, url):
        """What neither client speaks is refused, and no password shown."""
        with pytest.raises(ClusterFailure) as caught:
            connect(self.options(api, tmp_path, url))
        assert (caught.value.message, caught.value.hint) == (
            f"the kubeconfig's proxy-url {url.partition(':')[0]}:... is no proxy that speaks HTTP",
            "name one that begins with http:// or https://",
        )


REFUSALS = [
    pytest.param(
        {"token": "other"},
        NotAuthorised,
        "the cluster at {url} does not accept our login (cannot make secrets x)",
        "it may have expired: log in again (oc login)",
        id="401",
    ),
    pytest.param(
        {"forbidden": {("create", "secrets")}},
        NotAuthorised,
        "cannot make secrets x in namespace models: the cluster does not allow dev to create secrets",
        "check -n, or ask for the role edit; see: kubectl auth can-i create secrets -n models",
        id="403",
    ),
    pytest.param(
        {"namespaces": {}},
        NotFoundOrRefused,
        "cannot make secrets x: there is no namespace models",
        "check -n, or add --create-namespace",
        id="no namespace",
    ),
    pytest.param(
        {"namespaces": {"models": "Terminating"}},
        ClusterFailure,
        "cannot make secrets x: namespace models is being deleted",
        "wait until it is gone, or use another",
        id="terminating namespace",
    ),
    pytest.param(
        {"faults": [Fault("secrets", 403, b'{"message": "secrets \\"x\\" is forbidden: exceeded quota: q, used: 1"}')]},
        ClusterFailure,
        "cannot make secrets x in namespace models: the cluster says: "
        'secrets "x" is forbidden: exceeded quota: q, used: 1',
        None,
        id="quota",
    ),
    pytest.param(
        {"faults": [Fault("secrets", 422, b'{"message": "bad\\u001b[31m name"}')]},
        ClusterFailure,
        "cannot make secrets x: the cluster says: bad\\x1b[31m name",
        None,
        id="422, its text made plain",
    ),
    pytest.param(
        {"faults": [Fault("secrets", 500, b"<html>")]},
        NetworkGaveUp,
        "cannot make secrets x: the cluster at {url} is in trouble (an answer that is no JSON)",
        "try again",
        id="500",
    ),
    pytest.param(
        {"faults": [Fault("secrets", 200, b"<html>log in</html>")]},
        NetworkGaveUp,
        "what answers at {url} is no Kubernetes API server",
        "check the server's URL, and proxies on the way",
        id="a login page",
    ),
    pytest.param(
        {"faults": [Fault("secrets", 302, b"")]},
        ClusterFailure,
        "cannot make secrets x: the cluster says: an answer that is no JSON",
        None,
        id="redirect is not followed",
    ),
]


class TestRefusals:
    """What the server, or the way there, says no to."""

    @pytest.mark.parametrize(("setup", "error", "message", "hint"), REFUSALS)
    def test_told_in_words(self, tmp_path, setup, error, message, hint):
        """Which, what, who refused, what next."""
        with FakeKubeApi(**setup) as api:
            options = ClusterOptions(kubeconfig=str(api.kubeconfig(tmp_path / "k")), token="t")
            with pytest.raises(error) as caught:
                connect(options).create(SECRETS, secret("x"))
            assert (caught.value.message, caught.value.hint) == (message.format(url=api.url), hint)

    def test_conflict(self, client, api):
        """An object that is there already is told apart."""
        api.add("secrets", secret("x"))
        with pytest.raises(Conflict):
            client.create(SECRETS, secret("x"))

    def test_nobody_there(self):
        """A refused connection ends at once."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.raises(NetworkGaveUp) as caught:
            connect(ClusterOptions(server=f"http://127.0.0.1:{port}")).get(PODS, "x")
        assert caught.value.message == f"cannot reach the cluster at http://127.0.0.1:{port}: Connection refused"

    def test_silent_server(self):
        """--request-timeout ends a request that nobody answers."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            server = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(NetworkGaveUp) as caught:
                connect(ClusterOptions(server=server, request_timeout=0.2)).get(PODS, "x")
        assert caught.value.message == f"the cluster at {server} does not answer in time"


class TestTls:
    """Whom we trust."""

    @pytest.fixture
    def authority(self):
        return trustme.CA()

    @pytest.fixture
    def server(self, authority):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1", "kube.example").configure_cert(context)
        with FakeKubeApi(tls=context) as api:
            yield api

    @pytest.fixture
    def ca_file(self, authority, tmp_path):
        authority.cert_pem.write_to_path(tmp_path / "ca.crt")
        return "ca.crt"

    def options(self, server, tmp_path, **cluster):
        return ClusterOptions(kubeconfig=str(server.kubeconfig(tmp_path / "k", **cluster)))

    def test_authority_of_the_kubeconfig(self, server, ca_file, tmp_path):
        """A relative path is relative to the kubeconfig."""
        options = self.options(server, tmp_path, **{"certificate-authority": ca_file})
        assert connect(options).get(SECRETS, "x") is None

    def test_unknown_authority(self, server, tmp_path):
        """The cause is named, and the option that helps."""
        with pytest.raises(NetworkGaveUp) as caught:
            connect(self.options(server, tmp_path)).get(SECRETS, "x")
        assert caught.value.message == (
            f"cannot trust the cluster at {server.url}: unable to get local issuer certificate"
        )

    def test_another_name(self, server, ca_file, tmp_path):
        """--tls-server-name is what the certificate must be for."""
        right = self.options(server, tmp_path, **{"certificate-authority": ca_file, "tls-server-name": "kube.example"})
        assert connect(right).get(SECRETS, "x") is None
        wrong = self.options(server, tmp_path, **{"certificate-authority": ca_file, "tls-server-name": "other.example"})
        with pytest.raises(NetworkGaveUp):
            connect(wrong).get(SECRETS, "x")

    @pytest.mark.parametrize(
        ("cluster", "trusted"),
        [
            pytest.param({"certificate-authority": "ca.crt"}, True, id="authority"),
            pytest.param({"certificate-authority": "ca.crt", "tls-server-name": "kube.example"}, True, id="name"),
            pytest.param({"certificate-authority": "ca.crt", "tls-server-name": "other.example"}, False, id="no name"),
            pytest.param({"insecure-skip-tls-verify": True}, True, id="insecure"),
            pytest.param({}, False, id="system"),
        ],
    )
    @pytest.mark.usefixtures("ca_file")
    def test_context_for_another_client(self, server, tmp_path, cluster, trusted):
        """A chat through the API server trusts as the kubeconfig does."""
        context = connect(self.options(server, tmp_path, **cluster)).ssl_context()
        try:
            with httpx.Client(verify=context, trust_env=False) as client:
                reached = client.get(server.url + "/api/v1/namespaces/models/secrets").status_code == 200
        except httpx.ConnectError:
            reached = False
        assert reached == trusted


class TestImports:
    """What the door costs."""

    def test_the_door_is_light(self, run_python):
        """Importing the door imports neither kubernetes nor yaml."""
        heavy = run_python(
            "import sys, kubectl_modelcar.cluster\n"
            "print([name for name in ('kubernetes', 'yaml', 'requests') if name in sys.modules])"
        )
        assert heavy == "[]\n"

    @pytest.fixture
    def run_python(self):
        import subprocess  # noqa: PLC0415  only here

        def run(code):
            return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

        return run
