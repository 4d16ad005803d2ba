"""A real registry that asks for a password, and one whose certificate nobody knows."""

import base64
import json
import os
from pathlib import Path

import pytest

from tests.real.models import MODEL, tree
from tests.real.registry import PASSWORD, USER

pytestmark = pytest.mark.real

COMMANDS = ("push", "pull", "inspect")
LOGIN = f"{USER}:{PASSWORD}"
HELPER = """#!/bin/sh
read -r server
[ "$1" = get ] && [ "$server" = "{server}" ] || {{ echo "credentials not found in native keychain"; exit 1; }}
echo '{{"ServerURL": "{server}", "Username": "{user}", "Secret": "{password}"}}'
"""


def auths(host, login=LOGIN):
    return {"auths": {host: {"auth": base64.b64encode(login.encode()).decode()}}}


def written(path: Path, config) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config), "utf-8")
    return path


def docker_config(host, home, _monkeypatch):
    written(home / ".docker" / "config.json", auths(host))


def docker_config_elsewhere(host, home, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(written(home / "elsewhere" / "config.json", auths(host)).parent))


def login_of_the_repository(host, home, _monkeypatch):
    both = auths(host, "somebody:else")["auths"] | auths(f"{host}/team")["auths"]
    written(home / ".docker" / "config.json", {"auths": both})


def credential_helper(host, home, monkeypatch):
    program = home / "bin" / "docker-credential-tests"
    program.parent.mkdir()
    program.write_text(HELPER.format(server=host, user=USER, password=PASSWORD), "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    written(home / ".docker" / "config.json", {"auths": {host: {}}, "credHelpers": {host: "tests"}})


def credential_store(host, home, monkeypatch):
    credential_helper(host, home, monkeypatch)
    written(home / ".docker" / "config.json", {"auths": {host: {}}, "credsStore": "tests"})


def podman_at_run_time(host, _home, _monkeypatch):
    written(Path(os.environ["XDG_RUNTIME_DIR"], "containers", "auth.json"), auths(host))


def podman_that_stays(host, _home, _monkeypatch):
    written(Path(os.environ["XDG_CONFIG_HOME"], "containers", "auth.json"), auths(host))


def registry_auth_file(host, home, monkeypatch):
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(written(home / "any.json", auths(host))))


LOGINS = [
    docker_config,
    docker_config_elsewhere,
    login_of_the_repository,
    credential_helper,
    credential_store,
    podman_at_run_time,
    podman_that_stays,
    registry_auth_file,
]


@pytest.fixture
def pulled(tmp_path) -> Path:
    """Return where `pull` writes to."""
    return tmp_path / "pulled"


@pytest.fixture
def run(invoke, model, pulled):
    """Give a function that runs push, pull or inspect with an image."""

    def run(command, image, *options):
        arguments = {"push": (model, image), "pull": (image, pulled), "inspect": (image,)}[command]
        return invoke(command, *arguments, *options)

    return run


def complaint(done, code):
    """Return the error and the hint of a command that failed with `code` and left nothing on stdout."""
    assert (done.code, done.out) == (code, "")
    error, hint = done.err.splitlines()
    return error.removeprefix("error: "), hint.removeprefix("hint: ")


class TestLogin:
    """Where people's logins are."""

    @pytest.fixture(params=LOGINS, ids=lambda login: login.__name__.replace("_", " "))
    def image(self, request, private, sealed, monkeypatch):
        """Log in one way; return the name of an image."""
        request.param(private.host, sealed, monkeypatch)
        return f"{private.host}/team/{request.param.__name__}:1"

    def test_pushes_and_pulls(self, run, image, pulled):
        """With it the model goes there and comes back, and no secret is shown."""
        pushed = run("push", image, "--plain-http", "--progress", "plain", "-v")
        assert (pushed.code, pushed.out[:-65]) == (0, f"{image.removesuffix(':1')}@sha256:"), pushed.err
        back = run("pull", image, "--plain-http", "--progress", "plain", "-v")
        assert (back.code, back.out, tree(pulled)) == (0, f"{pulled}\n", dict(MODEL))
        assert PASSWORD not in pushed.err + back.err

    def test_authfile(self, run, private, tmp_path):
        """The one that is typed is the one that is read."""
        options = ("--plain-http", "-q", "--authfile", written(tmp_path / "auth.json", auths(private.host)))
        codes = [run(command, f"{private.host}/team/authfile:1", *options).code for command in COMMANDS]
        assert codes == [0, 0, 0]

    @pytest.mark.parametrize("command", COMMANDS)
    @pytest.mark.parametrize("login", [None, f"{USER}:wrong-one"], ids=["nobody", "wrong password"])
    def test_refused(self, run, private, sealed, pulled, command, login):  # noqa: PLR0917  pytest passes them by name
        """Exit code 3, one error and one hint that name the registry, and nothing is made."""
        if login:
            written(sealed / ".docker" / "config.json", auths(private.host, login))
        error, hint = complaint(run(command, f"{private.host}/team/refused:1", "--plain-http"), 3)
        assert private.host in error
        assert "log" in hint
        assert "wrong-one" not in error + hint
        assert not pulled.exists()


class TestCertificate:
    """TLS by an authority that this machine does not know."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_unknown(self, run, secure, pulled, command):
        """Exit code 5, and the hint is the option that helps."""
        error, hint = complaint(run(command, f"{secure.host}/team/unknown:1"), 5)
        assert secure.host in error
        assert "certificate" in error
        assert "not trusted" in error
        assert "--ca-file" in hint
        assert not pulled.exists()

    @pytest.mark.parametrize("options", [("--ca-file", "ca.pem"), ("--insecure",)], ids=lambda options: options[0])
    def test_options(self, run, secure, authority, monkeypatch, tmp_path, options):  # noqa: PLR0917  as above
        """With either of them the model goes there and comes back."""
        monkeypatch.chdir(tmp_path)
        authority.cert_pem.write_to_path("ca.pem")
        codes = [run(command, f"{secure.host}/team/known:1", "-q", *options).code for command in COMMANDS]
        assert codes == [0, 0, 0]

    def test_environment(self, run, secure, authority, monkeypatch, tmp_path):
        """SSL_CERT_FILE, which other programs know too, does it as well."""
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        codes = [run(command, f"{secure.host}/team/environment:1", "-q").code for command in COMMANDS]
        assert codes == [0, 0, 0]
