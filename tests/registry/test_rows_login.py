"""Rows R14 to R18 and R28 of the fault matrix: who we are, and what a registry says to that."""

import math
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import ModelcarError, NotAuthorised
from tests.fakes.registry import IDENTITY_TOKEN, PASSWORD, USER, FakeRegistry, Fault, digest_of
from tests.registry.sending import BLOB, DIGEST, MIB, Stream, big, publish, published, send, target, wasted

BIG = big(8 * MIB)


class TestTokens:
    """Tokens that run out."""

    @pytest.mark.parametrize("uses", range(1, 11))
    def test_r14_token_expires_after_k_requests(self, log_in, waits, uses):
        """It is renewed when it has to be, and a body goes twice at most for that."""
        with FakeRegistry(auth="bearer", token_uses=uses) as registry:
            log_in(registry.host)
            assert publish(target(registry), BIG) == published(BIG)
            tokens, asked = len(registry.requests(path="^/token")), len(registry.requests(path="^/v2/"))
            assert tokens <= math.ceil(asked / uses) + 1
            assert wasted(registry, BIG) <= len(BIG) + 2 * len(b"{}")
        assert waits == []

    def test_r14_body_of_a_refused_request(self, log_in, waits):
        """An answer that comes early ends the body: what a registry does not want is not sent to it."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            challenge = f'Bearer realm="{registry.realm}",service="fake",error="invalid_token"'
            registry.faults.append(Fault("PATCH", status=401, early=True, headers={"WWW-Authenticate": challenge}))
            data = big()
            assert send(registry, content=Stream(data, MIB)) == digest_of(data)
            assert wasted(registry, data) == 0
        assert waits == []

    def test_r14_token_of_one_second(self, log_in, waits):
        """It is renewed before it runs out, so that no body is refused."""
        with FakeRegistry(auth="bearer", token_lifetime=1) as registry:
            log_in(registry.host)
            there = target(registry)
            there.prepare()
            time.sleep(1.1)
            assert there.upload(Stream(BIG, MIB)) == digest_of(BIG)
            assert [request.status for request in registry.requests("POST|PATCH|PUT|HEAD")].count(401) == 1
            assert wasted(registry, BIG) == 0
        assert waits == []

    def test_r14_token_server_is_busy(self, log_in, waits):
        """It is waited for as for the registry, and a stop ends that."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            registry.faults.append(Fault(path="^/token", status=503, times=2, headers={"Retry-After": "3"}))
            target(registry).prepare()
        assert waits == [3.0, 3.0]

    def test_r15_pull_scope_challenge_on_head(self, log_in):
        """One token does: to push is asked for at once, whatever the challenge says."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            there = target(registry)
            there.has_blob(DIGEST)
            there.upload(Stream())
            tokens = registry.requests(path="^/token")
            assert len(tokens) <= 2
            assert parse_qs(urlsplit(tokens[0].path).query)["scope"] == ["repository:org/m:pull,push"]


class TestIdentityTokens:
    """An OAuth2 refresh token in the place of a password."""

    ME = puller.Credential("<token>", IDENTITY_TOKEN)

    def test_r14_is_exchanged_again(self, log_in, waits):
        """For every new token, in a body, and never sent to the registry itself or in an address."""
        with FakeRegistry(auth="bearer", token_uses=2) as registry:
            log_in(registry.host, self.ME)
            assert publish(target(registry), BLOB) == published(BLOB)
            tokens = registry.requests(path="^/token")
            assert {(token.method, token.path) for token in tokens} == {("POST", "/token")}
            assert len(tokens) > 1
            sent = [request.headers.get("authorization", "") for request in registry.log]
            assert not any(IDENTITY_TOKEN in header or header.startswith("Basic") for header in sent)
        assert waits == []

    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    def test_r17_not_accepted(self, log_in, waits, auth):
        """One that was taken back, or a registry that knows names and passwords alone."""
        token = "another token" if auth == "bearer" else IDENTITY_TOKEN
        with FakeRegistry(auth=auth) as registry:
            log_in(registry.host, puller.Credential("<token>", token))
            with pytest.raises(NotAuthorised) as caught:
                target(registry).prepare()
            assert (caught.value.exit_code, len(registry.log) <= 3, waits) == (3, True, [])
        assert token not in caught.value.message + caught.value.hint
        assert caught.value.hint.startswith("log in again: podman login ")

    def test_mount_asks_for_both(self, log_in):
        """One exchange, for both repositories."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host, self.ME)
            registry.add_blob("org/other", BLOB)
            assert target(registry).mount(DIGEST, "org/other") is True
            assert len(registry.requests(path="^/token")) == 1


class TestBasic:
    """A registry with names and passwords."""

    def test_r16_body_goes_once(self, log_in):
        """After the first challenge the login goes with every request."""
        with FakeRegistry(auth="basic") as registry:
            log_in(registry.host)
            publish(target(registry), BIG)
            assert registry.received_of_blobs() <= 1.01 * len(BIG)
            assert [request.status for request in registry.log].count(401) == 1

    def test_r16_body_goes_once_without_a_first_request(self, log_in):
        """A blob's first request has no body."""
        with FakeRegistry(auth="basic") as registry:
            log_in(registry.host)
            send(registry, DIGEST)
            assert wasted(registry, BLOB) == 0

    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    def test_r17_wrong_password(self, log_in, waits, auth):
        """Is said within two seconds and three requests, with the way to be somebody else."""
        with FakeRegistry(auth=auth) as registry:
            log_in(registry.host, puller.Credential(USER, "wr0ng"))
            started = time.monotonic()
            with pytest.raises(NotAuthorised) as caught:
                target(registry).prepare()
            assert time.monotonic() - started <= 2
            assert (caught.value.exit_code, len(registry.log) <= 3, waits) == (3, True, [])
        assert caught.value.message.startswith(f"cannot push to {registry.host}/org/m: ")
        assert USER in caught.value.message
        assert f"oc registry login --registry={registry.host}" in caught.value.hint
        assert "wr0ng" not in caught.value.message + caught.value.hint

    @pytest.mark.parametrize("auth", ["basic", "bearer"])
    def test_r17_no_login(self, waits, auth):
        """Which files were looked at is said, and nothing of what is in them."""
        with FakeRegistry(auth=auth) as registry, pytest.raises(NotAuthorised) as caught:
            target(registry).prepare()
        assert f"no login for {registry.host} was found in " in caught.value.message
        assert caught.value.message.endswith("~/.docker/config.json, ~/.dockercfg")
        assert caught.value.hint.startswith(f"log in: podman login {registry.host}")
        assert waits == []

    def test_r17_no_login_in_the_authfile(self, tmp_path):
        """The only file that was looked at."""
        path = tmp_path / "auth.json"
        path.write_text("{}")
        with FakeRegistry(auth="basic") as registry, pytest.raises(NotAuthorised) as caught:
            target(registry, authfile=path).prepare()
        assert caught.value.message.endswith(f"no login for {registry.host} was found in {path}")


@pytest.mark.parametrize("login", [True, False], ids=["logged in", "nobody"])
@pytest.mark.parametrize(
    ("status", "code", "exit_code", "hint"),
    [
        pytest.param(401, "UNAUTHORIZED", 3, "log in", id="401"),
        pytest.param(403, "DENIED", 3, "log in", id="403"),
        pytest.param(404, "NAME_UNKNOWN", 4, "create the repository first", id="404"),
        pytest.param(405, "UNSUPPORTED", 4, "it takes no pushes", id="405"),
        pytest.param(413, "SIZE_INVALID", 4, "limits the size of a request or of a layer", id="413"),
        pytest.param(415, "MANIFEST_INVALID", 4, "--format image", id="415"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_r18_permanent(log_in, waits, login, status, code, exit_code, hint, method):  # noqa: PLR0917  the table's columns
    """Within two seconds, in the registry's own words, with what to do; the secret is in none of them."""
    with FakeRegistry() as registry:
        if login:
            log_in(registry.host)
        body = f'{{"errors":[{{"code":"{code}","message":"no\\u001b[2J"}}]}}'.encode()
        path = "/manifests/" if status == 415 else "/uploads/"
        method = "PUT" if status == 415 else method
        registry.faults.append(Fault(method, path, status=status, body=body, times=-1))
        started = time.monotonic()
        with pytest.raises(ModelcarError) as caught:
            publish(target(registry), BLOB)
        assert time.monotonic() - started <= 2
    if status == 404 and method != "POST":
        return  # of an upload it means that the session is gone, which R6 is about
    assert caught.value.exit_code == exit_code
    assert f"{registry.host} answered HTTP {status}: {code} no\\x1b[2J" in caught.value.message
    assert hint in caught.value.hint
    assert PASSWORD not in caught.value.message + caught.value.hint
    assert waits == []


@pytest.mark.parametrize(
    "realm",
    [
        pytest.param("http://{host}/token", id="in clear"),
        pytest.param("ftp://{host}/token", id="another scheme"),
        pytest.param("https://169.254.169.254/token", id="link-local"),
        pytest.param("https://127.0.0.2/token", id="another loopback address"),
        pytest.param("https://10.0.0.1/token", id="a neighbour"),
        pytest.param("https://localhost/token", id="this machine"),
        pytest.param("https://me:too@{host}/token", id="with a login of its own"),
        pytest.param("Registry Realm", id="no address"),
    ],
)
def test_r28_realm_that_is_not_safe(log_in, waits, authority, realm):
    """Is refused before a byte of the credential is sent."""
    with FakeRegistry(auth="bearer", tls=authority) as registry, authority.cert_pem.tempfile() as ca_file:
        log_in(registry.host)
        registry.challenge = f'Bearer realm="{realm.format(host=registry.host)}",service="fake"'
        started = time.monotonic()
        with pytest.raises(NotAuthorised) as caught:
            target(registry, ca_file=Path(ca_file)).prepare()
        assert time.monotonic() - started <= 2
        assert [request.headers.get("authorization") for request in registry.log] == [None]
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith(f"cannot push to {registry.host}/org/m: {registry.host} sends logins to ")
    assert waits == []
