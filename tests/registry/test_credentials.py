"""Tests of whose name is given to a registry."""

import base64
import json
import os
import sys

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import LocalFailure, NotAuthorised
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import find_credential

ME = puller.Credential("me", "s3cr3t")
HELPER = """#!{python}
import json, sys
server = sys.stdin.read()
open({log!r}, "a").write(" ".join(sys.argv[1:]) + " " + server + "\\n")
{body}
"""


def basic(user="me", password=ME.password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def find(image, authfile=None):
    return find_credential(parse_location(image), authfile)


@pytest.fixture
def docker(sealed):
    """Write docker's config.json and return its path."""

    def write(config):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    return write


@pytest.fixture
def helper(monkeypatch, tmp_path):
    """Put a credential helper on PATH; return what it was asked."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    log = tmp_path / "asked"

    def write(name, body):
        program = tmp_path / f"docker-credential-{name}"
        program.write_text(HELPER.format(python=sys.executable, log=str(log), body=body))
        program.chmod(0o755)
        return lambda: log.read_text().splitlines()

    return write


ANSWER = 'print(json.dumps({"ServerURL": server, "Username": "me", "Secret": "s3cr3t"}))'


class TestAuths:
    """Entries of `auths`."""

    @pytest.mark.parametrize(
        "key",
        [
            "quay.io",
            "https://quay.io",
            "http://quay.io",
            "https://quay.io/v1/",
            "https://quay.io/v2/",
            "quay.io/org",
            "quay.io/org/team",
            "quay.io/org/team/m",
        ],
    )
    def test_keys(self, docker, key):
        """A host, or a path above or at the repository."""
        docker({"auths": {key: basic()}})
        assert find("quay.io/org/team/m:1") == ME

    @pytest.mark.parametrize(
        "key", ["quay.io/org/te", "quay.io/org/team/m2", "quay.io/org/team/m/x", "quay.i", "xquay.io", "quay.io:443"]
    )
    def test_other_keys(self, docker, key):
        """What begins alike is somebody else's."""
        docker({"auths": {key: basic()}})
        assert find("quay.io/org/team/m:1") is None

    def test_the_longest_wins(self, docker):
        """The most specific entry, in whatever order they stand."""
        docker({"auths": {"quay.io": basic("host"), "quay.io/org/m": basic("repo"), "quay.io/org": basic("org")}})
        assert [find(f"quay.io/{name}").username for name in ("org/m", "org/x", "x")] == ["repo", "org", "host"]

    def test_port(self, docker):
        """Another port is another registry."""
        docker({"auths": {"localhost:5000": basic(), "localhost": basic("other")}})
        assert find("localhost:5000/m") == ME

    @pytest.mark.parametrize(
        "key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io", "docker.io/me"]
    )
    @pytest.mark.parametrize("host", ["docker.io", "index.docker.io", "registry-1.docker.io"])
    def test_docker_hub(self, docker, key, host):
        """Its many names, of which docker writes the oldest."""
        docker({"auths": {key: basic()}})
        assert find(f"{host}/me/m") == (ME if "/me" not in key or host == "docker.io" else None)

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            pytest.param({"username": "me", "password": "s3cr3t"}, ME, id="in clear"),
            pytest.param({"identitytoken": "tok"}, puller.Credential("<token>", "tok"), id="identity token"),
            pytest.param({**basic(), "identitytoken": "tok"}, puller.Credential("<token>", "tok"), id="both"),
            pytest.param(basic(password="a:b:c"), puller.Credential("me", "a:b:c"), id="colons in the password"),
            pytest.param(basic(password="pässwörd"), puller.Credential("me", "pässwörd"), id="other alphabets"),
            pytest.param({}, None, id="left empty by docker"),
            pytest.param({"auth": ""}, None, id="left empty by podman"),
            pytest.param("text", None, id="no object"),
        ],
    )
    def test_entries(self, docker, entry, expected):
        """Every form in which a login is kept."""
        docker({"auths": {"quay.io": entry}})
        assert find("quay.io/m") == expected

    @pytest.mark.parametrize(
        "auth",
        [
            pytest.param("!!!", id="no base64"),
            pytest.param(base64.b64encode(b"no colon").decode(), id="no colon"),
            pytest.param(base64.b64encode(b"\xff:\xff").decode(), id="not UTF-8"),
            pytest.param(7, id="a number"),
        ],
    )
    def test_unreadable_entry(self, docker, auth):
        """The file and the entry are named; what is in it is not."""
        path = docker({"auths": {"quay.io": {"auth": auth}}})
        with pytest.raises(LocalFailure) as caught:
            find("quay.io/m")
        assert (caught.value.message, caught.value.hint) == (
            f"credentials file {path} has an unreadable entry for quay.io",
            "log in to that registry again",
        )

    @pytest.mark.parametrize("config", [{}, {"auths": None}, {"auths": []}, {"auths": {"quay.io": None}}])
    def test_nothing(self, docker, config):
        """A file that knows nobody."""
        docker(config)
        assert find("quay.io/m") is None

    def test_repr(self, docker):
        """A password is never in a traceback."""
        docker({"auths": {"quay.io": basic()}})
        assert "s3cr3t" not in repr(find("quay.io/m"))


class TestFiles:
    """Where the files are."""

    PLACES = (
        ("REGISTRY_AUTH_FILE", "elsewhere/auth.json"),
        ("XDG_RUNTIME_DIR", "run/containers/auth.json"),
        ("XDG_CONFIG_HOME", ".config/containers/auth.json"),
        ("DOCKER_CONFIG", ".docker/config.json"),
        ("HOME", ".dockercfg"),
    )

    def write(self, sealed, place, user):
        path = sealed / place
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = {"quay.io": basic(user)}
        path.write_text(json.dumps(entries if path.name == ".dockercfg" else {"auths": entries}))
        return path

    @pytest.mark.parametrize(("name", "place"), PLACES)
    def test_each(self, sealed, monkeypatch, name, place):
        """Any of them may be the only one."""
        path = self.write(sealed, place, "me")
        if name == "REGISTRY_AUTH_FILE":
            monkeypatch.setenv(name, str(path))
        assert find("quay.io/m") == ME

    def test_order(self, sealed, monkeypatch):
        """podman's before docker's, as `oc` looks; the first that knows the registry speaks."""
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(sealed / "elsewhere/auth.json"))
        found = []
        for _, place in reversed(self.PLACES):
            self.write(sealed, place, place)
            found.append(find("quay.io/m").username)
        assert found == [place for _, place in reversed(self.PLACES)]

    def test_docker_config(self, tmp_path, monkeypatch):
        """DOCKER_CONFIG is a folder."""
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        (tmp_path / "config.json").write_text(json.dumps({"auths": {"quay.io": basic()}}))
        assert find("quay.io/m") == ME

    def test_authfile_is_the_only_one(self, docker, tmp_path):
        """Who names a file does not want another's login used."""
        docker({"auths": {"quay.io": basic()}})
        authfile = tmp_path / "auth.json"
        authfile.write_text('{"auths": {}}')
        assert find("quay.io/m", authfile) is None

    def test_authfile_that_is_not_there(self, tmp_path):
        """Is said, unlike that of a file that nobody named."""
        with pytest.raises(LocalFailure) as caught:
            find("quay.io/m", tmp_path / "auth.json")
        assert (caught.value.message, caught.value.hint) == (
            f"cannot read credentials from {tmp_path / 'auth.json'}: No such file or directory",
            "check --authfile",
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            pytest.param("{", "credentials file {} is not JSON", id="cut"),
            pytest.param("[]", "credentials file {} is not a JSON object", id="an array"),
            pytest.param("\udcff", "credentials file {} is not JSON", id="not text"),
        ],
    )
    def test_broken_file(self, docker, text, message):
        """Which file, and how to have it written anew."""
        path = docker("{}")
        path.write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(LocalFailure) as caught:
            find("quay.io/m")
        assert (caught.value.message, caught.value.hint) == (
            message.format(path),
            "log in again to have it written anew",
        )


class TestHelpers:
    """Real programs on PATH, by docker's protocol."""

    def test_for_a_registry(self, docker, helper):
        """`credHelpers` names one for each."""
        asked = helper("vault", ANSWER)
        docker({"credHelpers": {"quay.io": "vault"}})
        assert (find("quay.io/org/m"), asked()) == (ME, ["get quay.io"])

    @pytest.mark.parametrize(("key", "who"), [("quay.io", "me"), ("quay.io/org", "other")])
    def test_for_a_namespace(self, docker, helper, key, who):
        """There is none: `auths` alone has keys with paths, and the registry's helper wins over them."""
        helper("vault", ANSWER)
        docker({"credHelpers": {key: "vault"}, "auths": {"quay.io/org": basic("other")}})
        assert find("quay.io/org/m").username == who

    def test_for_all(self, docker, helper):
        """`credsStore` is asked for the rest."""
        helper("all", ANSWER)
        asked = helper("vault", "sys.exit(1)")
        docker({"credsStore": "all", "credHelpers": {"quay.io": "vault"}})
        assert (find("ghcr.io/org/m"), asked()) == (ME, ["get ghcr.io"])

    @pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
    def test_docker_hub(self, docker, helper, key):
        """Docker Hub's login is kept under its oldest name."""
        asked = helper("vault", ANSWER)
        docker({"credHelpers": {key: "vault"}})
        assert (find("docker.io/org/m"), asked()) == (ME, ["get https://index.docker.io/v1/"])

    def test_identity_token(self, docker, helper):
        """The helper's marker for one is docker's."""
        helper("vault", 'print(json.dumps({"Username": "<token>", "Secret": "tok"}))')
        docker({"credsStore": "vault"})
        assert find("quay.io/m") == puller.Credential("<token>", "tok")

    def test_knows_nobody(self, docker, helper):
        """Then the file's own entries are asked."""
        helper("vault", 'print("credentials not found in native keychain"); sys.exit(1)')
        docker({"credsStore": "vault", "auths": {"quay.io": basic()}})
        assert find("quay.io/m") == ME

    @pytest.mark.parametrize(
        ("body", "message", "hint"),
        [
            pytest.param(
                'print("locked, s3cr3t", file=sys.stderr); sys.exit(1)',
                "cannot get credentials for quay.io: docker-credential-vault failed",
                "run: echo quay.io | docker-credential-vault get",
                id="fails",
            ),
            pytest.param(
                'print("s3cr3t")',
                "cannot get credentials for quay.io: docker-credential-vault gave no JSON with Username and Secret",
                "run: echo quay.io | docker-credential-vault get",
                id="no JSON",
            ),
            pytest.param(
                'print("[]")',
                "cannot get credentials for quay.io: docker-credential-vault gave no JSON with Username and Secret",
                "run: echo quay.io | docker-credential-vault get",
                id="no object",
            ),
        ],
    )
    def test_broken(self, docker, helper, body, message, hint):
        """What it said may be a secret and is not repeated."""
        helper("vault", body)
        docker({"credsStore": "vault"})
        with pytest.raises(NotAuthorised) as caught:
            find("quay.io/m")
        assert (caught.value.message, caught.value.hint) == (message, hint)

    def test_not_there(self, docker):
        """A config.json that came from another machine."""
        docker({"credsStore": "desktop"})
        with pytest.raises(NotAuthorised) as caught:
            find("quay.io/m")
        assert (caught.value.message, caught.value.hint) == (
            "cannot get credentials for quay.io: cannot run docker-credential-desktop: No such file or directory",
            "log in again, or use --authfile FILE",
        )

    def test_hangs(self, docker, helper, monkeypatch):
        """A keyring that waits for somebody who is not there."""
        monkeypatch.setattr("kubectl_modelcar.registry.credentials._HELPER_TIMEOUT", 0.2)
        helper("vault", "import time; time.sleep(60)")
        docker({"credsStore": "vault"})
        with pytest.raises(NotAuthorised) as caught:
            find("quay.io/m")
        assert "docker-credential-vault had not ended after 0.2 s" in caught.value.message

    @pytest.mark.parametrize("name", ["../evil", "a b", "x;y", 7])
    def test_no_name(self, docker, name):
        """A name that could be another program."""
        docker({"credsStore": name})
        with pytest.raises(LocalFailure) as caught:
            find("quay.io/m")
        assert caught.value.message == f"credential helper {name!r} is no name of a program"

    @pytest.mark.parametrize("config", [{"credHelpers": None}, {"credHelpers": []}, {"credsStore": ""}])
    def test_none(self, docker, config):
        """A file without any."""
        docker({**config, "auths": {"quay.io": basic()}})
        assert find("quay.io/m") == ME
