"""Tests of reading kubeconfigs the way kubectl does."""

from pathlib import Path

import pytest
import yaml

from kubectl_modelcar.cluster import ClusterOptions
from kubectl_modelcar.cluster.kubeconfig import cut_down, read_kubeconfig
from kubectl_modelcar.errors import ClusterFailure, LocalFailure, NotFoundOrRefused

ONE = {
    "current-context": "one",
    "contexts": [
        {"name": "one", "context": {"cluster": "c1", "user": "u1", "namespace": "n1"}},
        {"name": "bare", "context": {"cluster": "c1", "user": "u1"}},
    ],
    "clusters": [{"name": "c1", "cluster": {"server": "https://one", "certificate-authority": "ca.crt"}}],
    "users": [{"name": "u1", "user": {"client-certificate": "me.crt", "client-key": "/keys/me.key"}}],
}
TWO = {
    "current-context": "two",
    "contexts": [{"name": "two", "context": {"cluster": "c2", "user": "u2"}}],
    "clusters": [{"name": "c2", "cluster": {"server": "https://two"}}, {"name": "c1", "cluster": {"server": "no"}}],
    "users": [{"name": "u2", "user": {"token": "t2", "as": "boss"}}],
}
FILES = [(Path("/a/one"), ONE), (Path("/b/two"), TWO)]


def cut(**options):
    """Return cluster, user and namespace for these options."""
    config = cut_down(FILES, ClusterOptions(**options))
    return (
        config["clusters"][0]["cluster"],
        config["users"][0]["user"],
        config["contexts"][0]["context"].get("namespace"),
    )


C1 = {"server": "https://one", "certificate-authority": "/a/ca.crt"}
U1 = {"client-certificate": "/a/me.crt", "client-key": "/keys/me.key"}
C2 = {"server": "https://two"}
U2 = {"token": "t2", "as": "boss"}


class TestCutDown:
    """Which cluster, user and namespace are meant."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            pytest.param({}, (C1, U1, "n1"), id="the first file's current context; paths relative to their file"),
            pytest.param({"context": "two"}, (C2, U2, None), id="context"),
            pytest.param({"context": "bare"}, (C1, U1, None), id="context without namespace"),
            pytest.param({"namespace": "x"}, (C1, U1, "x"), id="namespace"),
            pytest.param({"cluster": "c2"}, (C2, U1, "n1"), id="cluster"),
            pytest.param({"user": "u2"}, (C1, U2, "n1"), id="user"),
            pytest.param(
                {"server": "https://x"}, ({**C1, "server": "https://x"}, U1, "n1"), id="server keeps the authority"
            ),
            pytest.param({"token": "t"}, (C1, {"token": "t"}, "n1"), id="token replaces the certificate"),
            pytest.param(
                {"token": "t", "context": "two"}, (C2, {"token": "t", "as": "boss"}, None), id="token keeps as"
            ),
            pytest.param(
                {"as_user": "a", "as_groups": ("g", "h"), "as_uid": "1"},
                (C1, {**U1, "as": "a", "as-groups": ["g", "h"], "as-uid": "1"}, "n1"),
                id="impersonation",
            ),
            pytest.param(
                {"insecure_skip_tls_verify": True},
                ({"server": "https://one", "insecure-skip-tls-verify": True}, U1, "n1"),
                id="insecure drops the authority",
            ),
            pytest.param(
                {"certificate_authority": "/x.crt", "tls_server_name": "n"},
                (
                    {
                        "server": "https://one",
                        "certificate-authority": "/x.crt",
                        "insecure-skip-tls-verify": False,
                        "tls-server-name": "n",
                    },
                    U1,
                    "n1",
                ),
                id="authority and name",
            ),
        ],
    )
    def test_chosen(self, options, expected):
        """Files merge with the first one winning; options win over files."""
        assert cut(**options) == expected

    @pytest.mark.parametrize(
        ("options", "message", "hint"),
        [
            ({"context": "x"}, "the kubeconfig has no context 'x'", "it has: bare, one, two"),
            ({"cluster": "x"}, "the kubeconfig has no cluster 'x'", "it has: c1, c1, c2"),
            ({"user": "x"}, "the kubeconfig has no user 'x'", "it has: u1, u2"),
        ],
    )
    def test_unknown_names(self, options, message, hint):
        """A name that is not there is an error that lists those that are."""
        with pytest.raises(NotFoundOrRefused) as caught:
            cut(**options)
        assert (caught.value.message, caught.value.hint) == (message, hint.replace("c1, c1", "c1"))

    def test_exec_commands(self):
        """A plugin with a slash is relative to its file; a bare name is looked up in PATH."""
        plugins = [
            cut_down(
                [
                    (
                        Path("/a/one"),
                        ONE | {"users": [{"name": "u1", "user": {"exec": {"command": command}}}]},
                    )
                ],
                ClusterOptions(),
            )["users"][0]["user"]["exec"]["command"]
            for command in ("./get-token", "/bin/get-token", "get-token")
        ]
        assert plugins == ["/a/get-token", "/bin/get-token", "get-token"]

    @pytest.mark.parametrize(
        "damage",
        [
            pytest.param({"contexts": None}, id="no contexts"),
            pytest.param({"contexts": 3}, id="contexts are no list"),
            pytest.param({"contexts": ["one"]}, id="a context is no mapping"),
            pytest.param({"clusters": [{"name": "c1", "cluster": ["x"]}]}, id="a cluster is no mapping"),
            pytest.param({"users": [None]}, id="a user is nothing"),
        ],
    )
    def test_damaged(self, damage):
        """Wrong shapes are errors of ours."""
        with pytest.raises((NotFoundOrRefused, ClusterFailure)):
            cut_down([(Path("/a/one"), ONE | damage)], ClusterOptions())

    def test_no_server(self):
        """A kubeconfig without a current context does not say which cluster is meant."""
        with pytest.raises(ClusterFailure) as caught:
            cut_down([(Path("/a/one"), {"kind": "Config"})], ClusterOptions())
        assert caught.value.message == "the kubeconfig names no cluster for the current context"


class TestReadKubeconfig:
    """Which files are read."""

    def write(self, path, content):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    def server(self, login):
        return login.kubeconfig["clusters"][0]["cluster"]["server"]

    def test_home(self):
        """Without anything said it is the one in the home directory."""
        self.write(Path.home() / ".kube" / "config", ONE)
        login = read_kubeconfig(ClusterOptions())
        assert (self.server(login), login.namespace) == ("https://one", "n1")

    def test_list(self, monkeypatch, tmp_path):
        """KUBECONFIG lists files, of which some need not be there."""
        two = self.write(tmp_path / "two", TWO)
        one = self.write(tmp_path / "one", ONE)
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent:{two}::{one}")
        login = read_kubeconfig(ClusterOptions())
        assert (self.server(login), login.namespace) == ("https://two", "default")

    def test_option_beats_the_list(self, monkeypatch, tmp_path):
        """--kubeconfig is the only file then."""
        monkeypatch.setenv("KUBECONFIG", str(self.write(tmp_path / "two", TWO)))
        login = read_kubeconfig(ClusterOptions(kubeconfig=str(self.write(tmp_path / "one", ONE))))
        assert self.server(login) == "https://one"

    def test_namespace_option(self):
        """-n wins over the context."""
        self.write(Path.home() / ".kube" / "config", ONE)
        assert read_kubeconfig(ClusterOptions(namespace="x")).namespace == "x"

    def test_server_alone(self):
        """A server and a token need no file."""
        login = read_kubeconfig(ClusterOptions(server="https://x", token="t"))
        assert (self.server(login), login.kubeconfig["users"][0]["user"]) == ("https://x", {"token": "t"})

    def test_in_a_pod(self, monkeypatch, tmp_path):
        """Without a kubeconfig a pod is its service account, in its own namespace."""
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        (tmp_path / "namespace").write_text("mine\n")
        login = read_kubeconfig(ClusterOptions(), in_cluster=tmp_path)
        assert (login.kubeconfig, login.namespace, dict(login.impersonation)) == (None, "mine", {})

    @pytest.mark.parametrize(
        ("content", "error", "message"),
        [
            pytest.param(None, ClusterFailure, "no kubeconfig was found, so it is unknown which cluster is meant"),
            pytest.param("", ClusterFailure, "no kubeconfig was found, so it is unknown which cluster is meant"),
            pytest.param("a: [", LocalFailure, "the kubeconfig {path} is not YAML"),
            pytest.param("\0", LocalFailure, "the kubeconfig {path} is not YAML"),
            pytest.param("- 1", LocalFailure, "the kubeconfig {path} is not a kubeconfig"),
        ],
        ids=["absent", "empty", "no yaml", "nul", "a list"],
    )
    def test_useless_files(self, content, error, message):
        """No file, or one that says nothing."""
        path = Path.home() / ".kube" / "config"
        if content is not None:
            self.write(path, content)
        with pytest.raises(error) as caught:
            read_kubeconfig(ClusterOptions())
        assert caught.value.message == message.format(path=path)

    def test_named_file_is_absent(self):
        """A file that was named must be there."""
        with pytest.raises(LocalFailure) as caught:
            read_kubeconfig(ClusterOptions(kubeconfig="/nowhere/config"))
        assert caught.value.message == "cannot read the kubeconfig /nowhere/config: there is no such file"

    def test_repr_shows_no_token(self):
        """A login in a traceback is no leak."""
        assert "s3cret" not in repr(read_kubeconfig(ClusterOptions(server="https://x", token="s3cret")))
