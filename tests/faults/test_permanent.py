"""What another attempt cannot cure ends within two seconds and three requests, with its own code and a hint."""

import base64
import json
import socket
import time

import pytest

from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Fault
from tests.faults.program import model, start

COMMANDS = ("push", "pull", "inspect", "verify")
SOON = 2.0  # seconds, by the matrix
FEW = 3  # requests, by the matrix
STATUSES = {403: (3, "DENIED"), 404: (4, "NAME_UNKNOWN"), 405: (4, "UNSUPPORTED"), 413: (4, ""), 415: (4, "")}


def arguments(command, image, tmp_path):
    """Return how a command is typed."""
    return {
        "push": ("push", tmp_path / "model", image, "--base", "none"),
        "pull": ("pull", image, tmp_path / "pulled"),
        "inspect": ("inspect", image),
        "verify": ("verify", image),
    }[command]


@pytest.fixture
def refused(invoke, tmp_path):
    """Give a function that runs a command that must fail soon; it returns exit code, error and hint."""
    model(tmp_path / "model", 1, 20_000)

    def refused(command, image, *options):
        before = time.monotonic()
        done = invoke(*arguments(command, image, tmp_path), "--progress", "none", *options)
        took = time.monotonic() - before
        assert took < SOON
        error, hint = done.err.splitlines()
        assert (done.out, error[:7], hint[:6], (tmp_path / "pulled").exists()) == ("", "error: ", "hint: ", False)
        return done.code, error[7:], hint[6:]

    return refused


@pytest.fixture
def log_in(sealed):
    """Give a function that leaves a login for a registry."""

    def log_in(host, password=PASSWORD):
        place = sealed / ".docker" / "config.json"
        place.parent.mkdir(exist_ok=True)
        auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
        place.write_text(json.dumps({"auths": {host: {"auth": auth}}}))

    return log_in


@pytest.mark.parametrize("command", COMMANDS)
class TestPermanent:
    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    @pytest.mark.parametrize("password", [None, "wrong"], ids=["no credentials", "wrong password"])
    def test_login(self, refused, log_in, command, auth, password):
        """Exit code 3; the hint is how to log in there."""
        with FakeRegistry(auth) as registry:
            if password:
                log_in(registry.host, password)
            code, error, hint = refused(command, f"{registry.host}/org/m:1", "--plain-http")
            assert (code, registry.host in error) == (3, True)
            assert "log in" in hint or "login" in hint
            # Who reads asks as nobody first: it is not known before whether the login, or its helper, is needed.
            assert len(registry.log) <= (FEW if command == "push" or auth == "basic" else FEW + 2)

    @pytest.mark.parametrize("status", STATUSES)
    def test_status(self, refused, log_in, command, status):
        """The registry's own code is shown where it gives one."""
        expected, code_shown = STATUSES[status]
        body = json.dumps({"errors": [{"code": code_shown, "message": "no"}]}).encode() if code_shown else b""
        with FakeRegistry("basic") as registry:
            log_in(registry.host)
            registry.faults.append(Fault(times=-1, status=status, body=body))
            code, error, _ = refused(command, f"{registry.host}/org/m:1", "--plain-http")
            assert (code, str(status) in error or code_shown in error) == (expected, True), error
            assert len(registry.log) <= FEW

    def test_tls(self, refused, authority, command):
        """A certificate that is not trusted is not asked for twice."""
        with FakeRegistry(tls=authority) as registry:
            code, error, hint = refused(command, f"{registry.host}/org/m:1")
            assert (code, "certificate" in error, "--ca-file" in hint, registry.log) == (5, True, True, [])

    def test_no_tls(self, refused, registry, command):
        """Nor is a registry that speaks in clear."""
        code, _, hint = refused(command, f"{registry.host}/org/m:1")
        assert (code, "--plain-http" in hint, len(registry.log) <= FEW) == (5, True, True)

    def test_closed_port(self, refused, command):
        """Nobody listens there."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            host = f"127.0.0.1:{free.getsockname()[1]}"
        code, error, _ = refused(command, f"{host}/org/m:1")
        assert (code, host in error) == (5, True)

    def test_no_such_host(self, refused, command, monkeypatch):
        """The name is not asked for again and again."""
        asked = []

        def getaddrinfo(host, *_arguments, **_options):
            asked.append(host)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        code, error, _ = refused(command, "registry.invalid/org/m:1")
        assert (code, "registry.invalid" in error, len(asked) <= 2) == (5, True, True)


class TestProcess:
    """The same as it is lived: the program's own start included."""

    @pytest.mark.parametrize("command", COMMANDS)
    def test_wrong_password(self, registry, log_in, tmp_path, command):
        """Two seconds after the last answer the process is gone."""
        registry.auth = "basic"
        log_in(registry.host, "wrong")
        model(tmp_path / "model", 1, 20_000)
        typed = arguments(command, f"{registry.host}/org/m:1", tmp_path)
        running = start(tmp_path / "said", *typed, "--plain-http", "--progress", "none", small=False)
        asked = []
        while not running.ended:
            if registry.log and not asked:
                asked.append(time.monotonic())
            time.sleep(0.01)
        assert (running.wait().code, time.monotonic() - asked[0] < SOON, len(registry.log) <= FEW) == (3, True, True)
