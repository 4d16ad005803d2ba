"""The fake registry asks for tokens as the real ones do: the same scopes for the same requests, the same errors."""

import base64
import http.client
import json
import re

import pytest

from tests.fakes.registry import PASSWORD, USER, FakeRegistry, digest_of
from tests.real.registry import serve
from tests.real.tokens import serve_tokens

pytestmark = pytest.mark.real

QUESTIONS = {
    "the front door": ("GET", "/v2/"),
    "read a blob": ("GET", f"/v2/a/blobs/{digest_of(b'x')}"),
    "look for a blob": ("HEAD", f"/v2/a/blobs/{digest_of(b'x')}"),
    "read a manifest": ("GET", "/v2/a/manifests/1"),
    "list tags": ("GET", "/v2/a/tags/list"),
    "begin": ("POST", "/v2/a/blobs/uploads/"),
    "ask how far": ("GET", "/v2/a/blobs/uploads/x"),
    "send": ("PATCH", "/v2/a/blobs/uploads/x"),
    "cancel": ("DELETE", "/v2/a/blobs/uploads/x"),
    "publish": ("PUT", "/v2/a/manifests/1"),
    "delete": ("DELETE", f"/v2/a/blobs/{digest_of(b'x')}"),
    "mount": ("POST", f"/v2/b/blobs/uploads/?mount={digest_of(b'x')}&from=a"),
}
SCOPES = [
    None,
    "",
    "repository:a:pull",
    "repository:a:pull,push",
    "repository:b:pull,push",
    "repository:a:pull repository:b:pull,push",
]


@pytest.fixture(scope="module", params=[("v3", "registry"), ("2.8", "docker-registry")], ids=["v3", "2.8"])
def guarded(request, real_tool, authority, tmp_path_factory):
    """Run a real registry with a token server, and the fake one; return both, and who gives tokens for them."""
    profile, program = request.param
    folder = tmp_path_factory.mktemp("guarded")
    with (
        serve_tokens(authority) as tokens,
        FakeRegistry("bearer", profile=profile) as fake,
        serve(real_tool(program), folder, tokens=tokens.config) as real,
    ):
        yield real, fake, tokens


def asked(host, question, token):
    """Ask; return the status and, of a refusal, scopes and error, in an order of their own (distribution has none)."""
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request(*question, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    said = dict(re.findall(r'(\w+)="([^"]*)"', answer.headers.get("WWW-Authenticate", "")))
    answer.read()
    connection.close()
    scopes = [scope.rpartition(":") for scope in said.get("scope", "").split()]
    needed = sorted((name, sorted(actions.split(","))) for name, _, actions in scopes)
    return answer.status, needed, said.get("error"), "realm" in said, "service" in said


@pytest.mark.parametrize("scopes", SCOPES, ids=lambda scopes: scopes or repr(scopes))
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_refusal(guarded, question, scopes):
    """Each question with each token is answered with the same refusal, or with none."""
    real, fake, tokens = guarded
    given = said = None
    if scopes is not None:
        given = tokens.token(scopes.split())
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        connection = http.client.HTTPConnection(fake.host)
        connection.request(
            "GET", f"/token?scope={scopes.replace(' ', '+')}", headers={"Authorization": f"Basic {login}"}
        )
        said = json.load(connection.getresponse())["token"]
        connection.close()
    assert asked(fake.host, question, said) == asked(real.host, question, given)
