"""Challenges and what is sent in answer to them, and to whom never."""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import IDENTITY_TOKEN, PASSWORD, USER, FakeRegistry, Fault
from tests.puller.conftest import QUICK
from tests.puller.images import REPOSITORY, ours, put

LOGIN = puller.Credential(USER, PASSWORD)
WRONG = puller.Credential(USER, "wrong")
SCOPE = "repository:org/model:pull"
PUSH = "repository:org/model:pull,push"


@pytest.fixture
def bearer():
    """Serve a registry with tokens."""
    with FakeRegistry("bearer") as registry:
        put(registry, ours({"config.json": b"{}"}))
        yield registry


@pytest.fixture
def basic():
    """Serve a registry with passwords."""
    with FakeRegistry("basic") as registry:
        put(registry, ours({"config.json": b"{}"}))
        yield registry


def read(registry: FakeRegistry, credential: puller.Credential | None) -> puller.Manifest:
    """Read the image v1 with a login."""
    return puller.resolve(puller.Registry(registry.url, REPOSITORY, credential, patience=QUICK), "v1")


class TestReading:
    """Reading a private image."""

    def test_basic_is_sent_ahead_once_it_is_known(self, basic):
        """One refusal, and no more."""
        source = puller.Registry(basic.url, REPOSITORY, LOGIN)
        manifest = puller.resolve(source, "v1")
        puller.read_file(source, manifest, "config.json")
        assert [request.status for request in basic.log] == [401, 200, 200]

    def test_a_token_is_fetched_once(self, bearer):
        """One refusal, one token."""
        source = puller.Registry(bearer.url, REPOSITORY, LOGIN)
        manifest = puller.resolve(source, "v1")
        puller.read_file(source, manifest, "config.json")
        assert [(r.path.partition("?")[0], r.status) for r in bearer.log][:3] == [
            ("/v2/org/model/manifests/v1", 401),
            ("/token", 200),
            ("/v2/org/model/manifests/v1", 200),
        ]
        assert len(bearer.requests("GET", "/token")) == 1

    def test_an_identity_token_is_posted(self, bearer):
        """As docker does for logins through a browser; it is in the body, not in the address."""
        read(bearer, puller.Credential("<token>", IDENTITY_TOKEN))
        (request,) = bearer.requests(path="/token")
        assert (request.method, request.path) == ("POST", "/token")
        assert "authorization" not in request.headers

    def test_a_public_image_needs_no_login(self):
        """A token is given to anybody there."""
        with FakeRegistry("bearer", anonymous_pull=True) as registry:
            put(registry, ours({"config.json": b"{}"}))
            assert read(registry, None).layers

    @pytest.mark.parametrize("kind", ["basic", "bearer"])
    def test_a_wrong_password_ends_at_once(self, kind):
        """Within three requests; who said no, for whom, and what next."""
        with FakeRegistry(kind) as registry:
            started = time.monotonic()
            with pytest.raises(puller.PullError) as caught:
                read(registry, WRONG)
            assert time.monotonic() - started < 2
        assert caught.value.exit_code == 3
        assert "does not accept the credentials" in caught.value.message
        assert registry.host in caught.value.message
        assert len(registry.log) <= 3

    @pytest.mark.parametrize("kind", ["basic", "bearer"])
    def test_no_login_where_one_is_needed(self, kind):
        """The hint says what to do."""
        with FakeRegistry(kind) as registry, pytest.raises(puller.PullError) as caught:
            read(registry, None)
        assert caught.value.exit_code == 3
        assert registry.host in caught.value.hint

    def test_an_identity_token_is_of_no_use_for_basic(self, basic):
        """It is not sent as if it were a password."""
        with pytest.raises(puller.PullError, match="asks for a user name and a password"):
            read(basic, puller.Credential("<token>", IDENTITY_TOKEN))
        assert [request.headers.get("authorization") for request in basic.log] == [None]

    def test_an_unknown_scheme_is_named(self, bearer):
        """Kerberos, say."""
        bearer.challenge = "Negotiate"
        with pytest.raises(puller.PullError, match="asks for a login in a way that is not known: Negotiate"):
            read(bearer, LOGIN)

    def test_a_token_that_ran_out_is_renewed(self, bearer):
        """The registry's own clock decides; its 401 costs one token, not the pull."""
        bearer.token_lifetime = 0.2
        source = puller.Registry(bearer.url, REPOSITORY, LOGIN)
        manifest = puller.resolve(source, "v1")
        time.sleep(0.3)
        assert puller.read_file(source, manifest, "config.json") == b"{}"
        assert len(bearer.requests(path="/token")) == 2

    def test_a_failing_token_service_is_asked_again(self, bearer):
        """It is part of the registry."""
        bearer.faults.append(Fault(path="/token", status=503, times=2))
        assert read(bearer, LOGIN).layers

    @pytest.mark.parametrize(
        ("status", "body", "code"),
        [
            (200, b"<html>", 6),
            (200, b"{}", 3),
            (200, b'{"token": 7}', 3),
            (200, b'{"token": "a\\r\\nb"}', 3),
            (302, b"", 4),
            (404, b"", 4),
        ],
        ids=["no JSON", "no token", "a number", "a token that breaks a header", "elsewhere", "nothing"],
    )
    def test_a_token_service_that_is_none(self, bearer, status, body, code):
        """In words, and no redirect with a password in hand."""
        bearer.faults.append(Fault(path="/token", status=status, body=body, headers={"Location": "/token"}, times=-1))
        with pytest.raises(puller.PullError) as caught:
            read(bearer, LOGIN)
        assert (caught.value.exit_code, len(bearer.requests(path="/token"))) == (code, 1)


class TestAuthenticator:
    """The part that pushing uses, too."""

    def test_scopes_are_joined(self, bearer):
        """What the challenge asks for and what the caller will need, in one token."""
        authenticator = puller.Authenticator(bearer.url, LOGIN)
        challenge = f'Bearer realm="{bearer.realm}?a=b",service="fake",scope="repository:other:pull"'
        header = authenticator.answer(challenge, PUSH)
        query = parse_qs(bearer.log[0].path.partition("?")[2])
        assert query == {
            "a": ["b"],
            "service": ["fake"],
            "scope": ["repository:org/model:pull,push", "repository:other:pull"],
        }
        assert authenticator.header(PUSH) == header
        assert authenticator.header("repository:other:pull repository:org/model:push") == header
        assert authenticator.header("repository:third:pull") is None

    def test_a_token_for_less_is_not_taken_for_more(self, bearer):
        """A token to pull does not push."""
        authenticator = puller.Authenticator(bearer.url, LOGIN)
        authenticator.answer(f'Bearer realm="{bearer.realm}"', SCOPE)
        assert authenticator.header(SCOPE)
        assert authenticator.header(PUSH) is None

    def test_nothing_is_known_at_first(self, bearer):
        """The first request goes out without."""
        assert puller.Authenticator(bearer.url, LOGIN).header(SCOPE) is None

    @pytest.mark.parametrize(
        ("said", "used"),
        [
            (300, 270),
            (61, 31),
            (60, 30),
            (59, 29.5),
            (1, 0.5),
            (0.2, 0.1),
            (None, 30),
            (0, 30),
            (-5, 30),
            ("300", 30),
            (float("nan"), 30),
            (float("inf"), 86370),
            (10**400, 86370),
        ],
    )
    def test_tokens_are_not_used_to_their_last_second(self, said, used):
        """Half a minute before the end counts as the end, or half of a short life; without a number it is a minute."""
        assert puller._lifetime(said) == used

    @pytest.mark.parametrize(("lifetime", "before", "after"), [(300, 269, 271), (2, 0.9, 1.1)], ids=["usual", "short"])
    def test_a_token_is_renewed_before_it_runs_out(self, bearer, monkeypatch, lifetime, before, after):
        """By one request to the token service: no request of the registry is refused for it."""
        bearer.token_lifetime = lifetime
        authenticator = puller.Authenticator(bearer.url, LOGIN)
        old = authenticator.answer(f'Bearer realm="{bearer.realm}",service="fake"', SCOPE)
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + before)
        assert (authenticator.header(SCOPE), len(bearer.log)) == (old, 1)
        monkeypatch.setattr(time, "monotonic", lambda: now + after)
        with ThreadPoolExecutor(8) as pool:
            new = set(pool.map(lambda _: authenticator.header(SCOPE), range(8)))
        assert (len(new), old in new, None in new, len(bearer.log)) == (1, False, False, 2)
        assert bearer.log[0].path == bearer.log[1].path

    def test_a_renewal_that_fails_is_left_to_the_next_challenge(self, bearer, monkeypatch):
        """It says why; `header` has nothing to say then, and does not ask again and again."""
        authenticator = puller.Authenticator(bearer.url, LOGIN)
        authenticator.answer(f'Bearer realm="{bearer.realm}"', SCOPE)
        bearer.faults.append(Fault(path="/token", status=401, times=-1))
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 300)
        assert [authenticator.header(SCOPE) for _ in range(3)] == [None] * 3
        assert len(bearer.log) == 2

    def test_a_token_service_that_refuses_the_nameless_is_named(self, bearer):
        """Some give a token that is good for nothing, others a 401."""
        bearer.faults.append(Fault(path="/token", status=401))
        with pytest.raises(puller.PullError) as caught:
            read(bearer, None)
        assert caught.value.message == f"127.0.0.1 gives nobody access to {bearer.host} without a login"
        assert caught.value.exit_code == 3

    @pytest.mark.parametrize("refused", [False, True], ids=["at first", "when it was refused"])
    def test_many_threads_fetch_one_token(self, bearer, refused):
        """And they all get it."""
        authenticator = puller.Authenticator(bearer.url, LOGIN)
        challenge = f'Bearer realm="{bearer.realm}"'
        old = authenticator.answer(challenge, SCOPE) if refused else None
        before = len(bearer.log)
        with ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(lambda _: authenticator.answer(challenge, SCOPE, rejected=old), range(8)))
        assert (len(answers), old in answers, len(bearer.log) - before) == (1, False, 1)

    def test_a_token_that_is_called_invalid_is_not_given_again(self, bearer):
        """Also to a caller who does not say which one was refused."""
        authenticator = puller.Authenticator(bearer.url, LOGIN)
        challenge = f'Bearer realm="{bearer.realm}"'
        old = authenticator.answer(challenge, SCOPE)
        assert authenticator.answer(challenge + ',error="invalid_token"', SCOPE) != old

    def test_a_refused_basic_login_is_not_sent_again(self, basic):
        """The second refusal is the last."""
        authenticator = puller.Authenticator(basic.url, LOGIN)
        header = authenticator.answer("Basic", SCOPE)
        assert header == "Basic dXNlcjpjb3JyZWN0IGhvcnNl"
        with pytest.raises(puller.PullError, match="does not accept the credentials of user"):
            authenticator.answer("Basic", SCOPE, rejected=header)

    def test_no_secret_is_in_an_error(self, bearer):
        """Not the password, not the token."""
        bearer.faults.append(Fault(path="/token", status=403, body=PASSWORD.encode()))
        with pytest.raises(puller.PullError) as caught:
            read(bearer, LOGIN)
        assert PASSWORD not in caught.value.message + caught.value.hint
