"""Challenges: how they are read, and where they may send a login to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_modelcar.chart import puller
from tests.puller.weights import LOGIN

SCOPE = "repository:org/model:pull"

REALMS = {
    "another scheme": "http://auth.example.com/token",
    "a file": "file:///etc/passwd",
    "no address": "Registry Realm",
    "a broken address": "https://[/token",
    "a user in it": "https://me@auth.example.com/token",
    "this machine": "https://127.0.0.1/token",
    "this machine, short": "https://127.1/token",
    "this machine, in hexadecimal": "https://0x7f000001/token",
    "this machine, by name": "https://localhost/token",
    "a cloud's metadata": "https://169.254.169.254/token",
    "a private address": "https://10.0.0.1/token",
    "nothing": "https://0.0.0.0/token",
    "IPv6, this machine": "https://[::1]/token",
    "IPv6, this machine in IPv4's clothes": "https://[::ffff:127.0.0.1]/token",
}


class TestRealms:
    """Where a registry may send a login to."""

    @pytest.mark.parametrize("realm", REALMS.values(), ids=REALMS)
    def test_a_dangerous_realm_gets_nothing(self, realm, monkeypatch):
        """No byte is sent; the exit code is that of credentials."""
        monkeypatch.setattr(puller._Http, "send", lambda *_: pytest.fail("it was asked"))
        authenticator = puller.Authenticator("https://registry.example.com", LOGIN)
        with pytest.raises(puller.PullError) as caught:
            authenticator.answer(f'Bearer realm="{realm}",service="s"', SCOPE)
        assert caught.value.exit_code == 3
        assert caught.value.message.startswith("registry.example.com sends logins to ")

    @pytest.mark.parametrize(
        ("origin", "realm"),
        [
            ("https://registry.example.com", "https://auth.example.com/token"),
            ("https://10.0.0.1:5000", "https://10.0.0.1:8443/token"),
            ("http://registry.test", "http://auth.test/token"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
        ],
    )
    def test_a_usual_realm_is_asked(self, origin, realm, monkeypatch):
        """Another host is usual, the registry's own private address too."""
        asked = []

        def send(_http, _method, url, _headers, _body):
            asked.append(url.partition("?")[0])
            raise puller.PullError(5, "stop")

        monkeypatch.setattr(puller._Http, "send", send)
        with pytest.raises(puller.PullError, match="stop"):
            puller.Authenticator(origin, LOGIN).answer(f'Bearer realm="{realm}"', SCOPE)
        assert asked == [realm]


CHALLENGES = {
    "Basic": ("Basic", [("basic", {})]),
    "Basic with a realm": ('Basic realm="Registry Realm"', [("basic", {"realm": "Registry Realm"})]),
    "Docker Hub's": (
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
        [
            (
                "bearer",
                {
                    "realm": "https://auth.docker.io/token",
                    "service": "registry.docker.io",
                    "scope": "repository:a/b:pull,push",
                },
            )
        ],
    ),
    "several": (
        'Negotiate, Basic realm="a, b" , charset=UTF-8, bearer REALM = "c"',
        [("negotiate", {}), ("basic", {"realm": "a, b", "charset": "UTF-8"}), ("bearer", {"realm": "c"})],
    ),
    "escapes in quotes": (r'Basic realm="a \"b\" \\ c"', [("basic", {"realm": r'a "b" \ c'})]),
    "an empty value": ('Bearer realm=""', [("bearer", {"realm": ""})]),
    "the first of two": ("Bearer realm=a, realm=b", [("bearer", {"realm": "a"})]),
    "nothing": ("", []),
    "only a parameter": ("realm=x", []),
}


class TestChallenges:
    """WWW-Authenticate by RFC 9110, 11.6.1."""

    @pytest.mark.parametrize(("header", "parsed"), CHALLENGES.values(), ids=CHALLENGES)
    def test_they_are_parsed(self, header, parsed):
        """Schemes and names in lower case."""
        assert puller._challenges(header) == parsed

    @given(st.text(alphabet='Bearer Basic realm="\\,= \t~', max_size=60))
    def test_any_text_is_parsed(self, header):
        """To something; nothing a registry sends is a traceback."""
        assert isinstance(puller._challenges(header), list)

    @given(st.text(max_size=60))
    def test_any_challenge_is_answered_or_refused(self, header):
        """By an error of ours."""
        try:
            puller.Authenticator("https://registry.example.com", None).answer(header, SCOPE)
        except puller.PullError as error:
            assert error.exit_code == 3  # noqa: PT017 (either end is good)
