"""Tests of what push, pull and inspect say when a registry is not there, is not trusted, or says no."""

import base64
import json
import socket

import pytest
import trustme

from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Fault

pytestmark = pytest.mark.usefixtures("here")

COMMANDS = {"push": ("./model", "{}"), "pull": ("{}", "pulled"), "inspect": ("{}",)}


@pytest.fixture(params=COMMANDS)
def run(request, refused, here):
    """Give a function that runs one command with an image, and returns code, error and hint; nothing is made."""

    def run(image, *options):
        arguments = [argument.format(image) for argument in COMMANDS[request.param]]
        return refused(request.param, *arguments, *options)

    yield run
    assert [path.name for path in here.iterdir()] == ["model"]


@pytest.fixture
def log_in(sealed):
    """Give a function that writes docker's login for a registry."""

    def log_in(host, password):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        path.write_text(json.dumps({"auths": {host: {"auth": login}}}), "utf-8")

    return log_in


def said(found, *parts):
    """Return the exit code, after looking for parts of what was said."""
    code, error, hint = found
    missing = [part for part in parts if part not in f"{error}\n{hint}"]
    assert missing == [], f"{error}\n{hint}"
    return code


class TestNotThere:
    def test_closed_port(self, run, waits):
        """Exit code 5, without a wait: it stays closed."""
        with socket.create_server(("127.0.0.1", 0)) as closed:
            host = f"127.0.0.1:{closed.getsockname()[1]}"
        found = run(f"{host}/org/m:1", "--plain-http")
        assert said(found, f"{host} refuses the connection", "check the name and the port") == 5
        assert waits == []

    def test_unknown_host(self, run, waits, monkeypatch):
        """Exit code 5, without a wait, and not a word of TLS."""

        def unknown(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # the seam: what a resolver would answer
        found = run("registry.invalid/org/m:1")
        assert said(found, "there is no host registry.invalid", "check the name and the network") == 5
        assert waits == []

    def test_out_of_order(self, run, registry):
        """Exit code 5, after a few more attempts, as soon as the registry allows them."""
        registry.faults.append(Fault(status=503, headers={"Retry-After": "0"}, times=-1))
        found = run(f"{registry.host}/org/m:1", "--plain-http")
        assert said(found, registry.host, "503") == 5
        assert 2 <= len(registry.log) <= 6

    def test_out_of_order_for_long(self, run, registry):
        """Exit code 5 at once where the registry asks for more time than anybody waits."""
        registry.faults.append(Fault(status=503, headers={"Retry-After": "86400"}, times=-1))
        found = run(f"{registry.host}/org/m:1", "--plain-http")
        assert said(found, registry.host, "503") == 5
        assert len(registry.log) <= 2  # one without a name, one with


class TestTls:
    def test_unknown_authority(self, run):
        """Exit code 5, and the option that helps."""
        with FakeRegistry(tls=trustme.CA()) as registry:
            found = run(f"{registry.host}/org/m:1")
        assert said(found, registry.host, "certificate", "not trusted", "--ca-file") == 5

    def test_other_name(self, run, tmp_path, monkeypatch):
        """A certificate of somebody else, though of a known authority."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "model" / "ca.pem"))
        monkeypatch.setattr(authority, "issue_cert", lambda *_: trustme.CA.issue_cert(authority, "other.example"))
        with FakeRegistry(tls=authority) as registry:
            found = run(f"{registry.host}/org/m:1", "--ca-file", "model/ca.pem")
        assert said(found, registry.host, "IP address mismatch") == 5

    def test_registry_without(self, run, registry):
        """Exit code 5, and the option that helps."""
        found = run(f"{registry.host}/org/m:1")
        assert said(found, registry.host, "does not speak TLS", "--plain-http") == 5

    @pytest.mark.parametrize("text", [None, "", "no certificate"], ids=["no file", "empty file", "other text"])
    def test_ca_file(self, run, here, text):
        """Exit code 7: a file of this machine."""
        if text is not None:
            (here / "model" / "ca.pem").write_text(text)
        code, error, hint = run("127.0.0.1:1/org/m:1", "--ca-file", "model/ca.pem")
        assert (code, hint) == (7, "--ca-file takes a PEM file")
        assert error.startswith("cannot read certificates from model/ca.pem: ")


@pytest.mark.parametrize("auth", ["basic", "bearer"])
class TestLogin:
    def test_none(self, run, auth):
        """Exit code 3."""
        with FakeRegistry(auth=auth) as registry:
            found = run(f"{registry.host}/org/m:1", "--plain-http")
            assert registry.tags == {}
        assert said(found, registry.host, "log") == 3

    def test_wrong_password(self, run, log_in, waits, auth):
        """Exit code 3, without a wait, and the password is not shown."""
        with FakeRegistry(auth=auth) as registry:
            log_in(registry.host, "a-wrong-one")
            code, error, hint = run(f"{registry.host}/org/m:1", "--plain-http")
        assert (code, waits) == (3, [])
        assert registry.host in error
        assert "log" in hint
        assert "a-wrong-one" not in error + hint

    @pytest.mark.parametrize("text", [None, "{", "[]"], ids=["no file", "no JSON", "no object"])
    def test_authfile(self, run, here, auth, text):
        """Exit code 7: a file of this machine."""
        if text is not None:
            (here / "model" / "auth.json").write_text(text)
        with FakeRegistry(auth=auth) as registry:
            found = run(f"{registry.host}/org/m:1", "--plain-http", "--authfile", "model/auth.json")
        assert said(found, "model/auth.json") == 7


class TestRefused:
    BODY = json.dumps({"errors": [{"code": "DENIED", "message": "no quota \x1b[31m\r for you"}]}).encode()

    def test_denied(self, run, registry):
        """Exit code 3, and the registry's own words, harmless."""
        registry.faults.append(Fault(status=403, body=self.BODY, times=-1))
        code, error, hint = run(f"{registry.host}/org/m:1", "--plain-http")
        assert code == 3
        assert r"DENIED no quota \x1b[31m" in error
        assert f"{error}{hint}".isprintable()

    def test_page_of_a_proxy(self, run, registry):
        """Exit code 4, and nothing of a page that no registry wrote."""
        page = b"<html><title>\x1b]0;you\x07</title>"
        registry.faults.append(Fault(status=404, body=page, times=-1))
        code, error, hint = run(f"{registry.host}/org/m:1", "--plain-http")
        assert code == 4
        assert registry.host in error
        assert "<" not in error + hint

    @pytest.mark.parametrize("image", ["org/nothing:1", "org/m:2", f"org/m@sha256:{64 * '0'}"])
    @pytest.mark.parametrize("command", ["pull", "inspect"])
    def test_unknown_image(self, invoke, refused, registry, command, image):
        """Exit code 4, naming what was asked for and who has not got it."""
        assert invoke("push", "./model", f"{registry.host}/org/m:1", "--plain-http", "-q").code == 0
        repository, target = image.replace("@", ":", 1).split(":", 1)
        arguments = (f"{registry.host}/{image}", *(["pulled"] if command == "pull" else []))
        code, error, hint = refused(command, *arguments, "--plain-http")
        assert code == 4
        assert error.startswith(
            f"reading the manifest {target} from {registry.host}/{repository}: {registry.host} does not have it"
        )
        assert hint == "check the name, or the login if it is private"


def test_passwords_work(invoke, log_in):
    """The fake that refuses takes the right one, so that it was the password that was refused."""
    with FakeRegistry(auth="basic") as registry:
        log_in(registry.host, PASSWORD)
        assert invoke("push", "./model", f"{registry.host}/org/m:1", "--plain-http", "-q").code == 0
