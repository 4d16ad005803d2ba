"""A real registry whose tokens come from a server of their own, for one scope each, and live for seconds."""

import base64
import json
from dataclasses import dataclass

import pytest

from tests.real.models import tree, write
from tests.real.raw import Raw
from tests.real.registry import PASSWORD, USER, Registry, serve
from tests.real.tokens import TokenServer, serve_tokens
from tests.source.weights import weights

pytestmark = pytest.mark.real

MIB = 1 << 20
FILES = {"config.json": b'{"model_type": "llama"}\n', "model.safetensors": weights(24 * MIB)}
LIFETIME = 2.0


@dataclass(frozen=True)
class Guarded:
    """A registry and the server of its tokens."""

    registry: Registry
    tokens: TokenServer


@pytest.fixture(params=["registry", "docker-registry"])
def guard(request, real_tool, authority, tmp_path):
    """Give a function that runs a registry, 3 and 2.8 in turn, with a token server of its own."""

    def guard(lifetime=300.0, said=None):
        tokens = _entered(request, serve_tokens(authority, lifetime, said))
        served = serve(real_tool(request.param), tmp_path / "registry", tokens=tokens.config)
        return Guarded(_entered(request, served), tokens)

    return guard


def _entered(request, context):
    value = context.__enter__()
    request.addfinalizer(lambda: context.__exit__(None, None, None))
    return value


@pytest.fixture
def run(modelcar, tmp_path):
    """Give a function that runs a command as somebody who is logged in to a host, without TLS."""

    def run(host, *arguments, login=f"{USER}:{PASSWORD}"):
        config = tmp_path / "home" / ".docker" / "config.json"
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(login.encode()).decode()}}}))
        return modelcar(tmp_path / "home", *arguments, "--plain-http", "-q")

    return run


class TestTokens:
    """push and pull where each request needs a token."""

    def test_there_and_back(self, guard, run, model, tmp_path):
        """With one token for all of a push, which looks for what is there, too, one for a pull, and no right beyond."""
        guarded = guard()
        image = f"{guarded.registry.host}/team/model:1"
        assert run(guarded.registry.host, "push", model, image).code == 0
        assert list(guarded.tokens.scopes) == ["repository:team/model:pull,push"]
        guarded.tokens.scopes.clear()
        assert run(guarded.registry.host, "pull", image, tmp_path / "m").code == 0
        assert set(guarded.tokens.scopes) == {"repository:team/model:pull"}
        assert tree(tmp_path / "m") == tree(model)

    def test_wrong_password(self, guard, run, model):
        """Exit code 3, after one question to the token server."""
        guarded = guard()
        done = run(guarded.registry.host, "push", model, f"{guarded.registry.host}/team/m:1", login=f"{USER}:wrong-one")
        assert (done.code, done.out) == (3, "")
        assert "wrong-one" not in done.err
        assert len(guarded.tokens.scopes) == 1

    @pytest.mark.parametrize(
        ("guard", "said"),
        [("registry", LIFETIME), ("docker-registry", 300.0)],
        indirect=["guard"],
        ids=["as said", "earlier than said"],
    )
    def test_expiry_in_between(self, guard, run, toxiproxy, tmp_path, said):
        """Tokens live for 2 s, the way there and back is longer: they are renewed, and the file goes once."""
        guarded = guard(LIFETIME, said)
        folder = write(tmp_path / "model", FILES)
        with toxiproxy.wire(guarded.registry.host) as wire:
            for stream in ("upstream", "downstream"):
                wire.poison("bandwidth", stream=stream, rate=8_000)
            image = f"{wire.host}/team/model:1"
            pushed = run(wire.host, "push", folder, image, "--jobs", "1", "--base", "none")
            assert (pushed.code, pushed.err) == (0, "")
            assert wire.carried() < 25 * MIB
            asked = [(method, status) for method, _, status in guarded.registry.requests()]
            after = asked[asked.index(("PUT", 201)) :]
            assert (401 in {status for _, status in after}) == (
                said > LIFETIME
            )  # where its end is known, none is used beyond it
            assert 2 <= len(guarded.tokens.scopes) <= 8
            guarded.tokens.scopes.clear()
            pulled = run(wire.host, "pull", image, tmp_path / "m")
            assert (pulled.code, pulled.err) == (0, "")
            assert tree(tmp_path / "m") == FILES
            assert wire.carried("downstream") < 25 * MIB


class TestServer:
    """The token server is one that a registry accepts."""

    def test_scopes(self, guard):
        """A token opens what it is for, and nothing else."""
        guarded = guard()
        ask = Raw(guarded.registry.host)
        answers = {}
        for scope in ("repository:a/b:pull,push", "repository:a/b:pull", "repository:other:pull,push"):
            header = f"Bearer {guarded.tokens.token([scope])}"
            answers[scope] = [
                ask("POST", "/v2/a/b/blobs/uploads/", Authorization=header).status,
                ask("GET", "/v2/a/b/tags/list", Authorization=header).status,
            ]
        assert list(answers.values()) == [[202, 404], [401, 404], [401, 401]]

    def test_end(self, guard):
        """A token that is over opens nothing."""
        guarded = guard(lifetime=-1.0)
        header = f"Bearer {guarded.tokens.token(['repository:a/b:pull,push'])}"
        assert Raw(guarded.registry.host)("POST", "/v2/a/b/blobs/uploads/", Authorization=header).status == 401
