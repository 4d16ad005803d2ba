"""I3 and I4: secrets of 32 characters in every place for one, and then looked for wherever they must not be."""

import base64
import json
import os
import random
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes import registry_answers
from tests.fakes.proxy import FakeProxy
from tests.fakes.registry import USER, FakeRegistry, Fault
from tests.faults.program import environment_of, model, start

COMMANDS = ("push folder", "push hub", "pull", "inspect", "verify")
LOGINS = ("basic", "bearer", "identity token", "helper", "authfile")
ECHO = b'{"errors": [{"code": "DENIED", "message": "no"}]}'


def canary(name: str) -> str:
    """Return a secret that is found wherever it goes: 32 characters, no other like it."""
    return "Canary" + "".join(random.Random(name).choices("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789", k=26))  # noqa: S311


SECRETS = {
    name: canary(name) for name in ("password", "identity", "helper", "hub", "proxy", "realm", "broken", "location")
}
BAD_PROXIES = {"no address": "[::1", "no port": "127.0.0.1:port", "a space": "a b:1"}
HELPER = """#!/bin/sh
read -r server
tr '\\0' ' ' < /proc/$$/cmdline >> {seen}
tr '\\0' ' ' < /proc/$PPID/cmdline >> {seen}
echo '{{"ServerURL": "x", "Username": "{user}", "Secret": "{secret}"}}'
"""


def fails(registry, **what):
    """Have every request for a blob, a manifest or an upload meet a fault, after the first that are needed for it."""
    registry.faults.append(Fault(path="/(manifests|blobs)/", times=-1, **what))


def nothing(_registry):
    """Let everything succeed."""


def permanent(status):
    def break_(registry):
        fails(registry, status=status, body=ECHO)

    break_.__name__ = f"status {status}"
    return break_


def for_ever_busy(registry):
    fails(registry, status=503)


def reset(registry):
    registry.faults.append(Fault(method="P(ATCH|UT)", path="uploads", times=-1, cut_request_after=10, reset=True))
    registry.faults.append(Fault(method="GET", path="/blobs/sha", times=-1, cut_after=3, reset=True))
    registry.faults.append(Fault(method="HEAD", path="/blobs/sha", times=-1, lose_answer=True))


def hang_up(registry):
    fails(registry, lose_answer=True)


def at_storage(registry):
    registry.rules.redirects = frozenset({"GET", "HEAD", "PATCH", "PUT"})


def storage_fails(registry):
    at_storage(registry)
    registry.storage.faults.append(Fault(times=-1, status=403))


def storage_hangs_up(registry):
    at_storage(registry)
    registry.storage.faults.append(Fault(times=-1, lose_answer=True))


def sent_elsewhere(url):
    def break_(registry):
        location = url.format(registry=registry) + f"?sig={SECRETS['location']}&_state={SECRETS['location']}"
        registry.faults.append(
            Fault("POST", "uploads", times=-1, after=1, apply=True, status=202, headers={"Location": location})
        )
        registry.faults.append(
            Fault("GET|HEAD", "/(blobs|manifests)/", times=-1, status=307, headers={"Location": location})
        )

    break_.__name__ = f"sent to {url.partition('/v2')[0]}"
    return break_


def token_is_no_json(registry):
    body = f'{{"token": "{SECRETS["broken"]}"'.encode()
    registry.faults.append(Fault(path="/token", times=-1, status=200, body=body))


def token_is_no_text(registry):
    body = json.dumps({"token": [SECRETS["broken"]], "expires_in": SECRETS["broken"]}).encode()
    registry.faults.append(Fault(path="/token", times=-1, status=200, body=body))


def token_refused(registry):
    registry.faults.append(Fault(path="/token", times=-1, status=403, body=ECHO))


def token_server_hangs_up(registry):
    registry.faults.append(Fault(path="/token", times=-1, lose_answer=True))


def token_of_another_host(registry):
    registry.realm = f"https://127.0.0.1:1/token?sig={SECRETS['realm']}"


def token_by_userinfo(registry):
    registry.realm = f"http://user:{SECRETS['realm']}@{registry.host}/token"


def damaged(registry):
    registry.faults.append(Fault("GET", "/manifests/", times=-1, extra=b"!"))
    registry.faults.append(Fault("P(ATCH|UT)", "uploads", times=-1, corrupt_request_at=600))


OUTCOMES = [
    nothing,
    *map(permanent, (400, 401, 403, 404, 405, 413, 415)),
    for_ever_busy,
    reset,
    hang_up,
    at_storage,
    storage_fails,
    storage_hangs_up,
    sent_elsewhere("ftp://127.0.0.1/v2/x"),
    sent_elsewhere("http://127.0.0.1:1/v2/x"),
    sent_elsewhere("http://[::1/v2/x"),
    sent_elsewhere("http://user:" + SECRETS["location"] + "@127.0.0.1:1/v2/x"),
    sent_elsewhere("{registry.url}/v2/org/m/blobs/uploads/x"),
    token_is_no_json,
    token_is_no_text,
    token_refused,
    token_server_hangs_up,
    token_of_another_host,
    token_by_userinfo,
    damaged,
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Have a home, temporary files and caches that can be searched."""
    for name, value in environment_of(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "home" / "tmp"))
    return tmp_path / "home"


@pytest.fixture
def log_in(tmp_path, monkeypatch):
    """Give a function that logs in to a registry in one of the ways."""
    monkeypatch.setattr(registry_answers, "PASSWORD", SECRETS["password"])
    monkeypatch.setattr(registry_answers, "IDENTITY_TOKEN", SECRETS["identity"])

    def log_in(host, way):
        file = tmp_path / "login" / "config.json"
        file.parent.mkdir(exist_ok=True)
        monkeypatch.setenv("DOCKER_CONFIG", str(file.parent))
        entry = {"auth": base64.b64encode(f"{USER}:{SECRETS['password']}".encode()).decode()}
        if way == "identity token":
            entry = {"identitytoken": SECRETS["identity"]}
        config = {"auths": {host: entry}}
        if way == "helper":
            program = tmp_path / "login" / "docker-credential-canary"
            program.write_text(HELPER.format(seen=tmp_path / "argv", user=USER, secret=SECRETS["password"]))
            program.chmod(0o755)
            monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
            config = {"credHelpers": {host: "canary"}}
        file.write_text(json.dumps(config))
        return ["--authfile", file] if way == "authfile" else []

    return log_in


@pytest.fixture
def commands(tmp_path, hub, monkeypatch):
    """Give a function that returns the arguments of a command."""
    folder = model(tmp_path / "model", 2, 120_000)
    monkeypatch.setenv("HF_TOKEN", SECRETS["hub"])
    hub.tokens.add(SECRETS["hub"])
    hub.commit("org/m", {path.name: path.read_bytes() for path in folder.iterdir()})

    def arguments(command, image):
        return {
            "push folder": ["push", folder, f"{image}:new"],
            "push hub": ["push", "org/m", f"{image}:new"],
            "pull": ["pull", f"{image}:there", tmp_path / "home" / "pulled"],
            "inspect": ["inspect", f"{image}:there"],
            "verify": ["verify", f"{image}:there", "--deep"],
        }[command]

    return arguments


def secrets_of(*logs) -> set[str]:
    """Return all that was secret on the wire: credentials, and what signs a URL."""
    found = set(SECRETS.values())
    for request in [request for log in logs for request in log]:
        given = request.headers.get("authorization", "")
        found |= {given, given.partition(" ")[2]}
        query = parse_qs(urlsplit(request.path).query)
        found |= {value for name in ("_state", "X-Amz-Signature", "sig", "Signature") for value in query.get(name, [])}
    found |= {base64.b64encode(f"{USER}:{SECRETS['password']}".encode()).decode()}
    return {secret for secret in found if len(secret) >= 6}


def places(home: Path, done, *more: Path) -> dict[str, bytes]:
    """Return all that a command said and wrote."""
    files = [path for path in home.rglob("*") if path.is_file()] + [path for path in more if path.exists()]
    texts = {str(path.relative_to(home.parent)): path.read_bytes() for path in files}
    return {**texts, "stdout": done.out.encode(), "stderr": done.err.encode()}


def hits(places: dict[str, bytes], secrets: set[str]) -> list[tuple[str, str]]:
    """Return where which secret was found."""
    return [(place, secret) for place, text in places.items() for secret in secrets if secret.encode() in text]


def strangers(registry: FakeRegistry, hub) -> list:
    """Return the requests that brought a credential to another origin than its own."""
    cdn = [request for request in hub.cdn_log if "authorization" in request.headers]
    here = [request for request in registry.log if SECRETS["hub"] in str(request.headers)]
    ours = {*secrets_of(registry.log), *registry.tokens} - {SECRETS["hub"], f"Bearer {SECRETS['hub']}"}
    there = [request for request in hub.log if any(secret in str(request.headers) for secret in ours)]
    return registry.leaks() + cdn + here + there


@pytest.mark.usefixtures("nobody_waits")
class TestCanaries:
    @pytest.fixture(autouse=True)
    def _layers(self, monkeypatch):
        monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)

    @pytest.fixture
    def check(self, invoke, commands, log_in, home, hub, tmp_path):  # noqa: PLR0917  pytest passes them by name
        """Give a function that runs a command on a registry that is prepared for it, and searches."""

        def check(command, way, break_):
            auth = "basic" if way in ("basic", "helper", "authfile") else "bearer"
            with FakeRegistry(auth) as registry:
                options = ["--plain-http", *log_in(registry.host, way)]
                image = f"{registry.host}/org/m"
                if not command.startswith("push"):
                    pushed = invoke(*commands("push folder", image)[:2], f"{image}:there", *options, "--base", "none")
                    assert pushed.code == 0, pushed.err
                registry.realm += f"?sig={SECRETS['realm']}"
                break_(registry)
                base = ["--base", "none"] if command.startswith("push") else []
                done = invoke(*commands(command, image), *options, *base, "-v", "--progress", "plain")
                said = places(home, done, tmp_path / "argv")
                assert hits(said, secrets_of(registry.log, registry.storage.log, hub.log, hub.cdn_log)) == []
                assert strangers(registry, hub) == []
                assert "this is a bug" not in done.err
            return done

        return check

    @pytest.mark.parametrize("break_", OUTCOMES, ids=lambda one: one.__name__.replace("_", " "))
    @pytest.mark.parametrize("command", COMMANDS)
    def test_failures(self, check, command, break_):
        """With a token: whatever goes wrong, no secret is shown or kept, and none goes to another origin."""
        check(command, "bearer", break_)

    @pytest.mark.parametrize("way", LOGINS)
    @pytest.mark.parametrize("command", COMMANDS)
    def test_logins(self, check, command, way):
        """Whatever holds the secret, it works, and nobody sees it."""
        assert check(command, way, nothing).code == 0


@pytest.mark.usefixtures("nobody_waits")
class TestProxies:
    """A proxy's password is in its URL, which the environment holds."""

    @pytest.mark.parametrize("outcome", ["works", "closed port", "no proxy", *BAD_PROXIES])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_password(self, invoke, commands, home, hub, authority, monkeypatch, tmp_path, command, outcome):  # noqa: PLR0917
        """It is neither shown nor kept, nor sent through the proxy."""
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        with FakeProxy() as proxy, FakeRegistry(tls=authority) as registry, FakeRegistry() as other:
            image = f"{registry.host}/org/m"
            options = ["--ca-file", tmp_path / "ca.pem", *(["--base", "none"] if command.startswith("push") else [])]
            pushed = invoke(*commands("push folder", image)[:2], f"{image}:there", *options[:2], "--base", "none")
            assert pushed.code == 0, pushed.err
            hosts = {"works": proxy.url[7:], "closed port": "127.0.0.1:1", "no proxy": other.host, **BAD_PROXIES}
            for scheme in ("https", *(["http"] if outcome != "works" else [])):
                monkeypatch.setenv(f"{scheme}_proxy", f"http://user:{SECRETS['proxy']}@{hosts[outcome]}")
            done = invoke(*commands(command, image), *options, "-v", "--progress", "plain")
            assert (done.code == 0) == (outcome == "works"), done.err
            assert hits(places(home, done), secrets_of(hub.log, hub.cdn_log)) == []
            through = [*registry.log, *hub.log, *hub.cdn_log]
            assert [one for one in through if "proxy-authorization" in one.headers] == []
            assert "this is a bug" not in done.err


class TestProcesses:
    """What everybody on this machine may look at: the arguments of processes."""

    @pytest.fixture
    def seen(self):
        """Collect the arguments of all processes of this machine, again and again, until the test ends."""
        seen: set[bytes] = set()
        over = threading.Event()

        def look():
            while not over.wait(0.005):
                for path in Path("/proc").glob("[0-9]*/cmdline"):
                    with suppress(OSError):
                        seen.add(path.read_bytes())

        thread = threading.Thread(target=look)
        thread.start()
        yield seen
        over.set()
        thread.join()

    @pytest.mark.parametrize("command", COMMANDS)
    def test_arguments(self, seen, commands, log_in, home, hub, tmp_path, command):  # noqa: PLR0917
        """No secret is among them, neither ours nor those of a credential helper."""
        with FakeRegistry("basic") as registry:
            log_in(registry.host, "helper")
            image = f"{registry.host}/org/m"
            said = tmp_path / "said"
            options = ("--plain-http", "-v", "--progress", "plain")
            pushed = start(said, *commands("push folder", image)[:2], f"{image}:there", *options).wait()
            assert pushed.code == 0, pushed.err
            done = start(said, *commands(command, image), *options).wait()
            assert done.code == 0, done.err
            everything = places(home, done, tmp_path / "argv") | {str(one): one for one in seen}
            assert hits(everything, secrets_of(registry.log, hub.log, hub.cdn_log)) == []
            assert (tmp_path / "argv").read_text().count("docker-credential-canary get") >= 2
