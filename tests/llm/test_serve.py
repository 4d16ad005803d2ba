"""The light server answers with the real model's words, in vLLM's form."""

import json
import shutil
import signal
import time
from contextlib import contextmanager

import httpx
import pytest

from tests.llm.process import ServerDied, serving

pytestmark = pytest.mark.model

NAME = "smollm2-135m-instruct"
PARIS = "The capital of France is Paris."

# The words of a recorded vLLM 0.32.0.
TOO_LONG = (
    "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens, "
    "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    "(parameter=input_tokens, value=2049)"
)
TOO_MANY = (
    "max_tokens=100000 cannot be greater than max_model_len=2048. Please request fewer output tokens. "
    "(parameter=max_tokens, value=100000)"
)


def ask(url, **more):
    """Ask for the capital of France at temperature 0."""
    question = [{"role": "user", "content": "What is the capital of France?"}]
    body = {"model": NAME, "messages": question, "temperature": 0, "max_tokens": 40, **more}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def events(response):
    """Return the data of each server-sent event."""
    return [line.removeprefix("data: ") for line in response.text.splitlines() if line]


@pytest.fixture
def copy(smollm2, tmp_path):
    """Give a copy of the model that the test may break; the weights are links until it writes to one."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in smollm2.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


@contextmanager
def edited(file):
    """Replace a link by a copy of its content, as JSON to change."""
    content = json.loads(file.read_text())
    yield content
    file.unlink()
    file.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def guarded(smollm2):
    """Give the URL of a server with a key."""
    with serving(smollm2, key="sk-test") as server:
        yield server.url


class TestAnswer:
    """The words come from the weights in the folder."""

    def test_whole(self, model_server):
        """At temperature 0 the answer, the finish reason and the counts are those of vLLM in float32."""
        body = ask(model_server).json()
        assert (body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"], body["usage"]) == (
            PARIS,
            "stop",
            {"prompt_tokens": 37, "total_tokens": 45, "completion_tokens": 8},
        )

    def test_stream(self, model_server):
        """A role first, a token an event, "stop" in an event without text, the counts, the end mark."""
        *chunks, counts, done = events(ask(model_server, stream=True, stream_options={"include_usage": True}))
        choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
        assert choices[0]["delta"] == {"role": "assistant", "content": ""}
        assert [choice["delta"]["content"] for choice in choices[1:]] == [
            *("The", " capital", " of", " France", " is", " Paris", "."),
            "",
        ]
        assert [choice["finish_reason"] for choice in choices] == [None] * 8 + ["stop"]
        usage = json.loads(counts)
        assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 8, "[DONE]")

    def test_stream_ended_by_length(self, model_server):
        """The end by length comes together with the last text."""
        *chunks, done = events(ask(model_server, stream=True, max_tokens=3))
        last = json.loads(chunks[-1])["choices"][0]
        assert (last["delta"], last["finish_reason"], done) == ({"content": " of"}, "length", "[DONE]")

    def test_client_that_leaves(self, model_server):
        """Generation stops when the client goes away, so that the next one need not wait."""
        body = {"messages": [{"role": "user", "content": "Count to a thousand."}], "stream": True, "ignore_eos": True}
        with httpx.stream("POST", f"{model_server}/v1/chat/completions", json=body) as response:
            next(response.iter_lines())
        # All of the context would take half a minute, and the engine answers one at a time.
        start = time.monotonic()
        assert ask(model_server).json()["choices"][0]["message"]["content"] == PARIS
        assert time.monotonic() - start < 10


class TestRefusals:
    """Errors read as vLLM's do."""

    @pytest.mark.parametrize(
        ("request_", "status", "error"),
        [
            pytest.param(
                {"model": "no-such-model"},
                404,
                (f"The model `no-such-model` does not exist. Valid aliases: {NAME}.", "NotFoundError", "model"),
                id="unknown-model",
            ),
            pytest.param(
                {"messages": [{"role": "user", "content": "word " * 3000}]},
                400,
                (
                    TOO_LONG,
                    "BadRequestError",
                    "input_tokens",
                ),
                id="prompt-too-long",
            ),
            pytest.param(
                {"max_tokens": 100000},
                400,
                (
                    TOO_MANY,
                    "BadRequestError",
                    "max_tokens",
                ),
                id="max-tokens",
            ),
            pytest.param(
                {"temperature": -1},
                400,
                (
                    "temperature must be non-negative, got -1.0. (parameter=temperature, value=-1.0)",
                    "BadRequestError",
                    "temperature",
                ),
                id="temperature",
            ),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    def test_body(self, model_server, stream, request_, status, error):
        """A refusal is plain JSON with its status, also where a stream was asked for."""
        response = ask(model_server, stream=stream, **request_)
        body = dict(zip(("message", "type", "param", "code"), (*error, status), strict=True))
        assert (response.status_code, response.json()) == (status, {"error": body})

    def test_content_of_a_wrong_type(self, model_server):
        """What the engine refuses is a 400, not a broken connection."""
        response = ask(model_server, messages=[{"role": "user", "content": 3}])
        assert (response.status_code, response.json()["error"]["type"]) == (400, "BadRequestError")

    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [
            pytest.param("GET", "/v1/nothing", (404, {"detail": "Not Found"}), id="unknown-route"),
            pytest.param("GET", "/v1/chat/completions", (405, {"detail": "Method Not Allowed"}), id="wrong-method"),
            pytest.param("POST", "/v1/models", (405, {"detail": "Method Not Allowed"}), id="wrong-method-read-only"),
        ],
    )
    def test_routes(self, model_server, method, path, expected):
        """Routes that are not there, or not for this method."""
        response = httpx.request(method, f"{model_server}{path}")
        assert (response.status_code, response.json()) == expected


class TestKey:
    """A key guards /v1, and only that."""

    @pytest.mark.parametrize(
        ("path", "authorization", "status"),
        [
            pytest.param("/v1/models", None, 401, id="none"),
            pytest.param("/v1/models", "Bearer wrong", 401, id="wrong"),
            pytest.param("/v1/models", "Basic sk-test", 401, id="other-scheme"),
            pytest.param("/v1/models", "Bearer sk-test", 200, id="right"),
            pytest.param("/v1/models", "bearer sk-test", 200, id="scheme-in-lower-case"),
            pytest.param("/health", None, 200, id="health-is-open"),
            pytest.param("/metrics", None, 200, id="metrics-are-open"),
        ],
    )
    def test_status(self, guarded, path, authorization, status):
        """The status for a path and an Authorization header."""
        headers = {"Authorization": authorization} if authorization else {}
        assert httpx.get(f"{guarded}{path}", headers=headers).status_code == status


class TestProcess:
    """It starts, ends and fails like the real server."""

    def test_flags_and_end(self, smollm2):
        """Both forms of vLLM's command line work, unknown flags are named, and SIGTERM ends it at once with 0."""
        flags = ("--max-model-len", "512", "--gpu-memory-utilization", "0.9", "--served-model-name", "a", "b")
        with serving(smollm2, *flags) as server:
            models = httpx.get(f"{server.url}/v1/models").json()["data"]
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(5)
            log = server.text()
        assert [(model["id"], model["max_model_len"]) for model in models] == [("a", 512), ("b", 512)]
        assert code == 0
        assert 'ignored flags: ["--gpu-memory-utilization", "0.9"]' in log
        assert "Loading safetensors checkpoint shards: 100% Completed | 3/3" in log

    def test_health_has_no_body(self, model_server):
        """/health says 200 and nothing else."""
        response = httpx.get(f"{model_server}/health")
        assert (response.status_code, response.content) == (200, b"")

    def test_shard_cut_short(self, copy, smollm2):
        """A shard that lost its end is refused before anything listens, and named."""
        name = "model-00002-of-00003.safetensors"
        (copy / name).unlink()
        shutil.copyfile(smollm2 / name, copy / name)
        with (copy / name).open("r+b") as stream:
            stream.truncate((smollm2 / name).stat().st_size - 1)
        with pytest.raises(ServerDied, match=rf"ERROR .*file not fully covered \(.*{name}\)"), serving(copy):
            pass

    def test_shard_missing(self, copy):
        """A shard that the index names must be there."""
        (copy / "model-00002-of-00003.safetensors").unlink()
        with pytest.raises(ServerDied, match=r"missing: \{'model-00002-of-00003.safetensors'\}"), serving(copy):
            pass

    def test_changed_weights_change_the_answer(self, copy, smollm2):
        """The answer comes from the bytes in the folder: with the first shard's layers zeroed it is another."""
        name = "model-00001-of-00003.safetensors"
        data = bytearray((smollm2 / name).read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        (copy / name).unlink()
        (copy / name).write_bytes(data)
        with serving(copy) as server:
            assert ask(server.url).json()["choices"][0]["message"]["content"] != PARIS

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            pytest.param({"architectures": ["FooForCausalLM"]}, r"\['FooForCausalLM'\] are not supported", id="other"),
            pytest.param({"max_position_embeddings": 1024}, r"max_model_len \(2048\) is greater", id="context"),
        ],
    )
    def test_configuration(self, copy, change, expected):
        """A configuration that it cannot serve ends it with the reason."""
        with edited(copy / "config.json") as config:
            config.update(change)
        with pytest.raises(ServerDied, match=expected), serving(copy, "--max-model-len", "2048"):
            pass

    def test_port_in_use(self, smollm2, model_server):
        """A port in use ends it before the model is loaded."""
        port = model_server.rpartition(":")[2]
        with pytest.raises(ServerDied, match="Address already in use") as died, serving(smollm2, "--port", port):
            pass
        assert "Starting to load model" not in str(died.value)
