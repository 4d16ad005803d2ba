"""What helm tells the user after an install: commands that can be pasted."""

import json
import shlex

import pytest

from tests.chart.rendering import DIGEST, REFERENCE

pytestmark = pytest.mark.real

SELECTOR = "app.kubernetes.io/instance=granite,app.kubernetes.io/name=modelcar"

DEFAULT = f"""\
The pod pulls {REFERENCE}@{DIGEST}
to the claim granite-modelcar-models, once, and loads it. Watch it:

  kubectl --namespace models get pods --selector {SELECTOR} --watch
  kubectl --namespace models logs deployment/granite-modelcar --container puller --follow
  kubectl --namespace models logs deployment/granite-modelcar --container server --follow

Chat, when the pod is ready:

  kubectl modelcar chat granite --namespace models

Or without the plugin:

  kubectl --namespace models port-forward service/granite-modelcar 8000:8000 &
  curl http://127.0.0.1:8000/v1/chat/completions --header 'Content-Type: application/json' \\
    --data '{{"messages":[{{"content":"Who are you?","role":"user"}}],"model":"granite-3.1-2b-instruct"}}'

Uninstalling keeps the claim and the model in it. To delete them afterwards:

  kubectl --namespace models delete persistentvolumeclaim granite-modelcar-models
"""

ROUTE = """
From outside, the same below:

  echo "https://$(kubectl --namespace models get route granite-modelcar --output jsonpath='{.spec.host}')/v1"
"""

OPEN = """
WARNING: the Route asks for no API key: whoever reaches it can use the model. Set server.apiKey.existingSecret.
"""

KEY = """\
    --header "Authorization: Bearer $(kubectl --namespace models get secret keys --output \
go-template='{{index .data "api-key" | base64decode}}')" \\
"""

KEEP = DEFAULT[DEFAULT.index("\nUninstalling") :]


class TestNotes:
    def test_default(self, notes):
        """How to watch, chat, call and clean up."""
        assert notes() == DEFAULT

    def test_route_without_a_key(self, notes):
        """An open Route is warned of."""
        assert notes(route={"enabled": True}) == DEFAULT.replace(KEEP, ROUTE + OPEN + KEEP)

    def test_route_with_a_key(self, notes):
        """With a key the call carries it, read from the Secret by the user."""
        said = notes(route={"enabled": True}, server={"apiKey": {"existingSecret": "keys"}})
        expected = DEFAULT.replace("    --data", KEY + "    --data").replace(KEEP, ROUTE + KEEP)
        assert expected == said

    def test_route_of_all_paths(self, notes):
        """A path that vLLM leaves without the key is warned of."""
        said = notes(route={"enabled": True, "path": "/"}, server={"apiKey": {"existingSecret": "keys"}})
        assert "WARNING: route.path is /: vLLM asks for the API key on /v1, and not on all other paths.\n" in said

    @pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/chat"])
    def test_route_of_guarded_paths(self, notes, path):
        """A path below /v1 is not warned of."""
        said = notes(route={"enabled": True, "path": path}, server={"apiKey": {"existingSecret": "keys"}})
        assert "WARNING" not in said

    def test_stopped(self, notes):
        """With no replica it says how to start one instead of what to watch."""
        said = notes(replicas=0)
        expected = (
            "No pod runs (replicas is 0). Start one:\n\n"
            "  kubectl --namespace models scale deployment/granite-modelcar --replicas 1\n\nChat, when"
        )
        assert said.startswith(expected)

    @pytest.mark.parametrize(
        "storage",
        [pytest.param({"keep": False}, id="not kept"), pytest.param({"existingClaim": "mine"}, id="not ours")],
    )
    def test_nothing_to_clean_up(self, notes, storage):
        """A claim that goes with the release, or was never of it, is not to be deleted by hand."""
        assert "Uninstalling" not in notes(storage=storage)

    def test_call_survives_the_shell(self, notes):
        """A name with every sign that a shell knows arrives as it is."""
        name = """it's "$(id)" `id` \\ $HOME !x"""
        call = notes(model={"servedName": name}).split("--data ")[1].split("\n")[0]
        (word,) = shlex.split(call)
        assert json.loads(word)["model"] == name
