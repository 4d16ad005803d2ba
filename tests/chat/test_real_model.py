"""The chat with the small real model, on its real server."""

import json
import sys

import pytest

from kubectl_modelcar.chat import ChatOptions, Client, Conversation, Endpoint, Model
from kubectl_modelcar.errors import NotFoundOrRefused
from tests.chat.terminal import Terminal

pytestmark = pytest.mark.model


@pytest.fixture
def client(model_server):
    with Client(Endpoint.parse(model_server)) as client:
        yield client


class TestRealModel:
    def test_lists_itself(self, client):
        """The name is the server's."""
        assert client.models() == [Model("smollm2-135m-instruct")]

    def test_gives_a_first_token(self, client):
        """What `install` waits for."""
        assert 0 < client.first_token() < 60

    def test_refuses_a_prompt_without_end(self, client):
        """The server's own words, and a hint of ours."""
        with pytest.raises(NotFoundOrRefused) as caught:
            list(client.stream(Conversation().with_user("word " * 3000).messages(), ChatOptions(max_tokens=1)))
        assert "maximum context length is 2048 tokens" in caught.value.message

    def test_answers_one_question(self, invoke_process, model_server):
        """The whole way from the command line to the weights."""
        done = invoke_process(
            "chat", "--url", model_server, "What is the capital of France?", "--temperature", "0", "-o", "json"
        )
        found = json.loads(done.out)
        assert (done.code, done.err, found["answer"]) == (0, "", "The capital of France is Paris.")
        assert (found["finish_reason"], found["usage"]["completion_tokens"]) == ("stop", 8)

    def test_talks_on_a_terminal(self, model_server):
        """An answer, ^C in a long one, and out."""
        terminal = Terminal(
            [sys.executable, "-m", "kubectl_modelcar", "chat", "--url", model_server, "--temperature", "0"]
        )
        terminal.wait_for(">>>")
        terminal.type("What is the capital of France?\r")
        terminal.wait_for("The capital of France is Paris.\n>>>")
        terminal.type("/clear\r")
        terminal.wait_for("conversation)\n>>>")
        terminal.type("Count from 1 to 500.\r")
        terminal.until(lambda seen: len(seen.partition("500.\n")[2]) > 10)
        terminal.type("\x03")
        terminal.wait_for("(stopped)\n>>>")
        terminal.type("\x04")
        assert terminal.end() == 0
