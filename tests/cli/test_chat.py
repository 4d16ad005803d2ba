"""`chat`: whole outputs, exit codes and transcripts, against the fake endpoint."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from kubectl_modelcar.cli.invocation import command_name
from tests.chat.recordings import engine_died, recorded
from tests.chat.terminal import Terminal
from tests.fakes.endpoint import (
    CHAT as CHAT_PATH,
)
from tests.fakes.endpoint import (
    DONE,
    FakeEndpoint,
    Pause,
    UntilHangUp,
    answer,
    broken_stream,
    delta,
    event,
    events,
    response,
)

TOO_LONG = (
    "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input tokens, "
    "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
    "(parameter=input_tokens, value=2049)"
)

CHAT = [sys.executable, "-W", "error", "-m", "kubectl_modelcar", "chat"]


@pytest.fixture
def endpoint():
    with FakeEndpoint() as fake:
        fake.serve_models("tiny")
        fake.chat(answer("Hel", "lo"))
        yield fake


@pytest.fixture
def chat(invoke, monkeypatch, endpoint):
    """Run `chat --url ENDPOINT ARGUMENTS` in this process and return (exit code, stdout, stderr)."""

    def chat(*arguments, stdin=b""):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        done = invoke("chat", "--url", endpoint.url, *arguments)
        return done.code, done.out, done.err

    return chat


def asked(endpoint):
    """Return the messages of the last question."""
    return endpoint.asked()[-1]["messages"]


class TestQuestion:
    @pytest.mark.parametrize(
        ("arguments", "stdin", "question"),
        [
            pytest.param(["Hello"], b"", "Hello", id="argument"),
            pytest.param([], b"Hello\n", "Hello", id="standard input"),
            pytest.param(["Sum up:"], b"one\ntwo\n", "Sum up:\n\none\ntwo", id="both"),
            pytest.param(["Hello"], b"\n \n", "Hello", id="an empty line on standard input"),
            pytest.param([], "Grüße, 世界\n".encode(), "Grüße, 世界", id="UTF-8"),
            pytest.param([], b"  indented\n", "  indented", id="indentation stays"),
        ],
    )
    def test_is_made_of_argument_and_standard_input(self, chat, endpoint, arguments, stdin, question):
        """Either or both, with an empty line between them."""
        assert chat(*arguments, stdin=stdin) == (0, "Hello\n", "")
        assert asked(endpoint) == [{"role": "user", "content": question}]

    def test_options_go_to_the_server(self, chat, endpoint):
        """System prompt, temperature, limit and model are the request's."""
        chat("Hello", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "7", "--model", "big")
        assert endpoint.asked() == [
            {
                "model": "big",
                "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
                "stream": True,
                "stream_options": {"include_usage": True},
                "temperature": 0,
                "max_tokens": 7,
            }
        ]


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "stdin", "error"),
        [
            pytest.param(
                [], b"",
                "error: there is no question\nhint: give it as an argument or on standard input\n", id="nothing",
            ),
            pytest.param(
                ["-o", "json"], b" \n",
                "error: there is no question\nhint: give it as an argument or on standard input\n", id="only blanks",
            ),
            pytest.param(
                [], b"\xff\xfe",
                "error: standard input is not UTF-8 text\nhint: a model reads text: convert the file first\n",
                id="no text",
            ),
            pytest.param(
                ["tiny", "Hello"], b"",
                "error: a URL and the name of a release (tiny) were given\n"
                "hint: leave one out; a prompt of several words needs quotes\n", id="a URL and a release",
            ),
            pytest.param(
                ["Hello", "--api-key-env", "NO_SUCH_KEY"], b"",
                "error: the environment variable NO_SUCH_KEY, which should hold the API key, is not set\n"
                "hint: export NO_SUCH_KEY first\n", id="no such variable",
            ),
            pytest.param(
                ["Hello", "--api-key-env", "sk-canary"], b"",
                "error: --api-key-env was not given the name of an environment variable\n"
                "hint: write --api-key-env MY_KEY\n", id="the key itself",
            ),
            pytest.param(
                ["Hello", "--ca-file", "/none.pem"], b"",
                "error: cannot read the CA file /none.pem: No such file or directory\n", id="no CA file",
            ),
            pytest.param(
                ["\udcff"], b"",
                "error: Invalid value for '[NAME]': it is not UTF-8 text\n"
                "hint: NAME chat --help shows what it takes\n", id="an argument that is no text",
            ),
            pytest.param(
                ["Hello", "--temperature", "-1"], b"",
                "error: Invalid value for '--temperature': -1.0 is not in the range 0<=x<=2.\n"
                "hint: NAME chat --help shows what it takes\n", id="temperature",
            ),
        ],
    )  # fmt: skip
    def test_is_refused_before_anything_is_asked(self, chat, endpoint, arguments, stdin, error):
        """One error line, one hint, exit code 2 (7 for a file), and no request."""
        code, out, err = chat(*arguments, stdin=stdin)
        assert (out, err) == ("", error.replace("NAME chat", f"{command_name()} chat"))
        assert code == (7 if "CA file" in error else 2)
        assert endpoint.requests == []

    def test_a_url_that_is_none(self, invoke, monkeypatch):
        """The usual mistake is a missing scheme."""
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        done = invoke("chat", "--url", "localhost:8000", "Hello")
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            "error: localhost:8000 is not the URL of a model server\n"
            "hint: write it like https://llm.example.com or http://localhost:8000\n"
        )


class TestAnswer:
    def test_controls_are_shown_and_not_sent(self, chat, endpoint):
        """Off a terminal too: a pipe often ends on one."""
        endpoint.chat(answer("\x1b]52;c;cm0=", "\x07", "a\r", "\nb\u202ec\n"))
        assert chat("Hello") == (0, "\\x1b]52;c;cm0=\\x07a\nb\\u202ec\n", "")

    def test_raw_is_the_models_text(self, chat, endpoint):
        """Nothing is changed and nothing added."""
        endpoint.chat(answer("\x1b[31mred", "\r\n\u202e"))
        assert chat("Hello", "--raw") == (0, "\x1b[31mred\r\n\u202e", "")

    def test_reasoning_goes_to_stderr(self, chat, endpoint):
        """The answer alone is the result."""
        endpoint.chat(events(delta(reasoning="Hm, "), delta(reasoning="so\x1b[2J."), delta("42"), DONE))
        assert chat("Hello") == (0, "42\n", "Hm, so\\x1b[2J.\n")

    def test_the_limit_of_tokens_is_told(self, chat, endpoint):
        """The option that raises it is named."""
        endpoint.chat(recorded("chat-stream-length"))
        code, out, err = chat("Why do things fall?", "--model", "smollm2-135m-instruct")
        assert (code, err) == (0, "warning: the answer ends at the limit of tokens; raise it with --max-tokens\n")
        assert out.startswith("Gravity is a")

    def test_a_filtered_answer_is_told(self, chat, endpoint):
        """An answer that was taken away is no answer."""
        endpoint.chat(answer("I", finish_reason="content_filter"))
        assert chat("Hello") == (0, "I\n", "warning: the server's content filter ended the answer\n")

    def test_json_is_one_object(self, chat, endpoint):
        """The text is exact, the file is ASCII, and what was measured is there."""
        endpoint.chat(
            events(delta(reasoning="Hm"), Pause(0.5), delta("\x1b[31mü"), delta("", finish_reason="stop"), DONE)
        )
        code, out, err = chat("Hello", "-o", "json")
        found = json.loads(out)
        assert (code, err, out.isascii()) == (0, "", True)
        assert 0.2 <= found.pop("seconds") - found.pop("first_token_seconds") < 5
        assert found == {
            "model": "tiny",
            "answer": "\x1b[31mü",
            "reasoning": "Hm",
            "finish_reason": "stop",
            "usage": None,
        }

    def test_json_holds_the_usage(self, chat):
        """Tokens as the server counted them."""
        assert json.loads(chat("Hello", "-o", "json")[1])["usage"] == {
            "prompt_tokens": 7,
            "completion_tokens": 2,
            "total_tokens": 9,
        }


class TestErrors:
    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            pytest.param(
                recorded("error-no-key"),
                (
                    3,
                    "",
                    (
                        "error: SERVER does not accept who is asking: Unauthorized\n"
                        "hint: put its API key in an environment variable and name that: --api-key-env VARIABLE\n"
                    ),
                ),
                id="no key",
            ),
            pytest.param(
                recorded("error-not-found"),
                (
                    4,
                    "",
                    (
                        "error: SERVER does not know the OpenAI chat API at this address: Not Found\n"
                        "hint: give the URL under which /v1/chat/completions is found, without that path\n"
                    ),
                ),
                id="another server",
            ),
            pytest.param(
                response(503, "<html></html>", "text/html"),
                (
                    5,
                    "",
                    (
                        "error: SERVER is not ready: HTTP 503 Service Unavailable\n"
                        "hint: it may still be loading the model: `kubectl modelcar status` tells; then ask again\n"
                    ),
                ),
                id="not ready",
            ),
            pytest.param(
                events(delta("Hel"), "not JSON"),
                (
                    5,
                    "Hel\n",
                    (
                        "error: the answer of SERVER was cut off after 1 piece: "
                        "it sent an event that is not JSON: not JSON\n"
                        "hint: ask again; the server's own log may say why\n"
                    ),
                ),
                id="malformed event",
            ),
            pytest.param(
                broken_stream(event(delta("Hel"))),
                (
                    5,
                    "Hel\n",
                    (
                        "error: the answer of SERVER was cut off after 1 piece: "
                        "the connection broke (peer closed connection without sending complete message body "
                        "(incomplete chunked read))\n"
                        "hint: ask again; the server's own log may say why\n"
                    ),
                ),
                id="cut",
            ),
        ],
    )
    def test_one_line_and_a_hint(self, chat, endpoint, reply, expected):
        """What came stays on stdout; the error is on stderr."""
        endpoint.chat(reply)
        code, out, err = chat("Hello")
        assert (code, out, err.replace(f"the model server at {endpoint.url}", "SERVER")) == expected

    def test_an_engine_that_dies(self, chat, endpoint):
        """vLLM's own traffic: the status was 200."""
        endpoint.chat(engine_died())
        code, out, err = chat("Tell a story")
        assert (code, out[-9:], err.count("\n")) == (5, "One day,\n", 2)

    def test_json_that_was_cut_is_none(self, chat, endpoint):
        """Half a result is no result."""
        endpoint.chat(broken_stream(event(delta("Hel"))))
        assert chat("Hello", "-o", "json")[:2] == (5, "")

    def test_the_key_is_nowhere(self, chat, endpoint, monkeypatch):
        """Not even when the server repeats it."""
        monkeypatch.setenv("MY_KEY", "sk-canary")
        endpoint.chat(response(401, '{"error": {"message": "wrong key: sk-canary"}}'))
        code, out, err = chat("Hello", "--api-key-env", "MY_KEY", "-v")
        assert (code, out) == (3, "")
        assert "sk-canary" not in err
        assert endpoint.requests[-1].headers["authorization"] == "Bearer sk-canary"

    def test_a_key_without_tls_is_warned_of(self, invoke, monkeypatch, endpoint):
        """Anybody on the way reads it: a proxy, for one."""
        monkeypatch.setenv("MY_KEY", "sk-canary")
        monkeypatch.setenv("http_proxy", endpoint.url)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        endpoint.on(f"http://llm.invalid{CHAT_PATH}", answer("Hello"))
        done = invoke("chat", "--url", "http://llm.invalid", "Hi", "--api-key-env", "MY_KEY", "--model", "tiny")
        assert (done.code, done.out) == (0, "Hello\n")
        assert done.err == "warning: the API key goes to http://llm.invalid unencrypted\n"


class TestProcess:
    """What only a process of its own can show."""

    @pytest.fixture(autouse=True)
    def _buffered(self, monkeypatch):
        """Keep Python's usual buffering: each token has to be flushed by us."""
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)

    def test_ctrl_c_ends_with_130(self, endpoint):
        """The text so far stays, and the server sees the client go."""
        endpoint.chat(broken_stream(event(delta("Hel"))).then(UntilHangUp()))
        with subprocess.Popen(
            [*CHAT, "--url", endpoint.url, "Hello"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout.read(3) == b"Hel"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err.strip()) == (130, b"\n", b"interrupted")
        assert endpoint.hung_up.wait(5)

    def test_a_reader_that_leaves_is_no_error(self, endpoint):
        """`chat ... | head -c 3` is quiet, and the server stops computing."""
        endpoint.chat(events(*[delta("Hello"), Pause(0.05)] * 20, DONE))
        with subprocess.Popen(
            [*CHAT, "--url", endpoint.url, "Hello"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout.read(3) == b"Hel"
            process.stdout.close()
            assert process.stderr.read() == b""
            process.wait(20)
        assert process.returncode == 141

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
    def test_a_stream_that_cannot_say_it_shows_escapes(self, endpoint, encoding):
        """An old locale is no reason for a traceback."""
        endpoint.chat(answer("ü 世"))
        done = subprocess.run(
            [*CHAT, "--url", endpoint.url, "Hello"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=os.environ | {"PYTHONIOENCODING": encoding},
            timeout=20,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == {"ascii": b"\\xfc \\u4e16\n", "latin-1": b"\xfc \\u4e16\n"}[encoding]

    def test_one_question_needs_no_prompt_toolkit(self, endpoint):
        """A tenth of a second that a pipe need not wait for; and no cluster for a URL. (httpx itself loads rich.)"""
        code = (
            "import sys; from kubectl_modelcar.cli import run; run(sys.argv[1:]);"
            "print(sorted({'prompt_toolkit', 'kubernetes', 'oras', 'huggingface_hub'} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "chat", "--url", endpoint.url, "Hello"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert (done.stdout, done.stderr) == ("Hello\n[]\n", "")


class TestConversation:
    """On a real terminal."""

    @pytest.fixture
    def terminal(self, endpoint):
        terminal = Terminal([*CHAT, "--url", endpoint.url])
        terminal.wait_for("tiny: /help shows what can be typed\n>>>")
        return terminal

    def test_is_one_transcript(self, endpoint, terminal):
        """Questions, answers, reasoning, commands and errors, as they are seen."""
        endpoint.chat(
            answer("Hel", "lo"),
            events(delta(reasoning="Hm, \x1b[2J"), delta(reasoning="so."), delta("42"), DONE),
            recorded("error-context-too-long-stream"),
            answer("Again", finish_reason="length"),
        )
        terminal.type("Hi\r")
        terminal.wait_for("Hello\n>>>")
        terminal.paste("What is\nthe answer?\n")
        terminal.wait_for("the answer?\n...")
        terminal.type("\r")
        terminal.wait_for("42\n>>>")
        terminal.type("Too long\r")
        terminal.wait_for("--max-tokens\n>>>")
        terminal.type("/clera\r")
        terminal.wait_for("lists them\n>>>")
        terminal.type("/clear\r")
        terminal.wait_for("conversation)\n>>>")
        terminal.type("/etc is what?\r")
        terminal.wait_for("--max-tokens\n>>>")
        terminal.type("/bye\r")
        assert terminal.end() == 0
        assert (
            terminal.transcript
            == f"""\
tiny: /help shows what can be typed
>>> Hi
Hello
>>> What is
... the answer?
...
Hm, \\x1b[2Jso.
42
>>> Too long
error: the model server at {endpoint.url} refused the question: {TOO_LONG}
hint: shorten the prompt, begin a new conversation (/clear), or ask for fewer tokens with --max-tokens
>>> /clera
there is no command /clera; /help lists them
>>> /clear
(a new conversation)
>>> /etc is what?
Again
warning: the answer ends at the limit of tokens; raise it with --max-tokens
>>> /bye"""
        )
        said = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
        more = {"role": "user", "content": "What is\nthe answer?"}, {"role": "assistant", "content": "42"}
        assert [question["messages"] for question in endpoint.asked()] == [
            [said[0]],
            [*said, more[0]],
            [*said, *more, {"role": "user", "content": "Too long"}],
            [{"role": "user", "content": "/etc is what?"}],
        ]

    def test_reasoning_is_dim(self, endpoint, terminal):
        """It is seen not to be the answer."""
        endpoint.chat(events(delta(reasoning="Hm"), delta("42"), DONE))
        terminal.type("Hi\r")
        terminal.wait_for("Hm\n42\n>>>")
        assert b"\x1b[2mHm\x1b[0m" in terminal.sent
        terminal.type("\x04")
        assert terminal.end() == 0

    def test_ctrl_c_stops_the_answer_and_keeps_its_text(self, endpoint, terminal):
        """The part that came is what the model said; the next question builds on it."""
        endpoint.chat(broken_stream(event(delta("Hel"))).then(UntilHangUp()), answer("Bye"))
        terminal.type("Hi\r")
        terminal.wait_for("Hel")
        terminal.type("\x03")
        terminal.wait_for("(stopped)\n>>>")
        assert endpoint.hung_up.wait(5)
        terminal.type("Go on\r")
        terminal.wait_for("Bye\n>>>")
        terminal.type("\x04")
        assert terminal.end() == 0
        assert asked(endpoint) == [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hel"},
            {"role": "user", "content": "Go on"},
        ]

    def test_ctrl_c_before_the_answer_forgets_the_question(self, endpoint, terminal):
        """No question stays without an answer: templates refuse two in a row."""
        endpoint.chat(broken_stream().then(UntilHangUp()), answer("Bye"))
        terminal.type("Hi\r")
        terminal.wait_for(">>> Hi")
        while not endpoint.asked():
            time.sleep(0.01)
        terminal.type("\x03")
        terminal.wait_for("(stopped)\n>>>")
        terminal.type("Again\r")
        terminal.wait_for("Bye\n>>>")
        terminal.type("\x04")
        assert terminal.end() == 0
        assert asked(endpoint) == [{"role": "user", "content": "Again"}]

    def test_ctrl_c_at_an_empty_prompt_leaves_with_130(self, terminal):
        """With text on the line it clears the line first."""
        terminal.type("half a quest")
        terminal.wait_for(">>> half a quest")
        terminal.type("\x03")
        terminal.wait_for("\n>>>")
        terminal.type("\x03")
        assert terminal.end() == 130
        assert terminal.transcript.split("\n") == ["tiny: /help shows what can be typed", ">>>", "interrupted"]

    def test_alt_enter_begins_a_line(self, endpoint, terminal):
        """Enter alone asks."""
        terminal.type("one\x1b\rtwo\r")
        terminal.wait_for("Hello\n>>>")
        terminal.type("\x04")
        assert (terminal.end(), asked(endpoint)) == (0, [{"role": "user", "content": "one\ntwo"}])

    def test_raw_is_not_for_terminals(self, endpoint):
        """A terminal obeys what it is sent, whatever the user asked for."""
        endpoint.chat(answer("\x1b]0;owned\x07"))
        terminal = Terminal([*CHAT, "--url", endpoint.url, "Hello", "--raw"])
        assert (terminal.end(), terminal.sent) == (0, b"\\x1b]0;owned\\x07\r\n")

    def test_help_tells_the_keys(self, terminal):
        """The three commands and how to leave."""
        terminal.type("/help\r")
        terminal.wait_for("/bye    leave\n>>>")
        terminal.type("\x04")
        assert terminal.end() == 0

    def test_a_server_that_is_not_there_is_an_error_at_once(self):
        """Not after the first question."""
        terminal = Terminal([*CHAT, "--url", "http://127.0.0.1:1"])
        assert terminal.end() == 5
        assert terminal.transcript == (
            "error: cannot reach the model server at http://127.0.0.1:1: [Errno 111] Connection refused\n"
            "hint: is it running, and is the URL right?"
        )
