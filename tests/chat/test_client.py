"""The wire to a model server, on real HTTP."""

import json
import socket
import ssl
import time
from typing import NamedTuple

import pytest
import trustme

from kubectl_modelcar.chat import (
    ChatOptions,
    Client,
    Conversation,
    Delta,
    Endpoint,
    Model,
    Untrusted,
    Usage,
    bearer,
    trust,
)
from kubectl_modelcar.errors import (
    InvalidInput,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from tests.chat.recordings import engine_died, recorded, recorded_question
from tests.fakes.endpoint import (
    CHAT,
    COMPLETIONS,
    DONE,
    MODELS,
    FakeEndpoint,
    Pause,
    Reset,
    UntilHangUp,
    answer,
    broken_stream,
    delta,
    event,
    events,
    response,
    stream,
    usage,
    wire,
)

HELLO = Conversation().with_user("Hello").messages()
CAPITAL = Conversation().with_user("What is the capital of France?").messages()


def text(deltas):
    return "".join(delta.text for delta in deltas)


def failure(client, messages=HELLO):
    """Return what came before the error, and the error."""
    came = []
    with pytest.raises(ModelcarError) as caught:
        came.extend(client.stream(messages))
    return text(came), caught.value


class TestRecordedTraffic:
    """What vLLM 0.32.0 sent, byte for byte."""

    def test_an_answer(self, endpoint, client):
        """Text, the reason for its end and the usage are read."""
        endpoint.chat(recorded("chat-stream-usage"))
        deltas = list(client.stream(CAPITAL))
        assert text(deltas) == "The capital of France is Paris."
        assert deltas[-2:] == [Delta(finish_reason="stop"), Delta(usage=Usage(37, 8, 45))]

    @pytest.mark.parametrize("size", [1, 7, 64])
    def test_however_the_network_cuts_it(self, endpoint, client, size):
        """A reader gets what the network gives, down to single bytes."""
        endpoint.chat(recorded("chat-unicode-stream").in_pieces(size))
        whole = text(client.stream(CAPITAL))
        assert whole.startswith("Namely,")
        assert "\ufffd" not in whole

    def test_an_answer_that_reached_its_limit(self, endpoint, client):
        """The reason comes with the last text."""
        endpoint.chat(recorded("chat-stream-length"))
        deltas = list(client.stream(CAPITAL))
        assert deltas[-2:] == [Delta(" curvature", finish_reason="length"), Delta(usage=Usage(34, 12, 46))]

    def test_without_usage(self, endpoint, client):
        """A server that does not count is fine."""
        endpoint.chat(recorded("chat-stream-no-usage"))
        assert {delta.usage for delta in client.stream(CAPITAL)} == {None}

    def test_usage_in_each_event(self, endpoint, client):
        """The last count is the whole."""
        endpoint.chat(recorded("chat-stream-continuous-usage"))
        assert [delta.usage for delta in client.stream(CAPITAL)][-1] == Usage(37, 8, 45)

    def test_an_engine_that_died(self, endpoint, client):
        """The status was 200 already; the text so far stays, and the error is an error."""
        endpoint.chat(engine_died())
        came, error = failure(client, CAPITAL)
        assert came.endswith("(shakun-usa in Hebrew). One day,")
        assert type(error) is NetworkGaveUp
        assert error.message == (
            f"the answer of the model server at {endpoint.url} was cut off after 61 pieces: "
            "EngineCore encountered an issue. See stack trace (above) for the root cause."
        )

    def test_the_models(self, endpoint, client):
        """Their names."""
        endpoint.on(MODELS, recorded("models"))
        assert client.models() == [Model("smollm2-135m-instruct")]

    def test_asks_as_was_recorded(self, endpoint):
        """The question has the fields that the recorded server understood, and no others."""
        endpoint.chat(recorded("chat-stream-usage"))
        with Client(Endpoint.parse(endpoint.url, model="smollm2-135m-instruct")) as client:
            list(client.stream(CAPITAL, ChatOptions(temperature=0, max_tokens=40)))
        assert endpoint.asked() == [recorded_question("chat-stream-usage")]


class TestStream:
    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(answer("Hel", "lo"), id="as vLLM sends it"),
            pytest.param(
                stream(*(event(item, "\r\n") for item in (delta("Hel"), delta("lo", finish_reason="stop"), DONE))),
                id="CR LF",
            ),
            pytest.param(
                stream(*(event(item, "\r") for item in (delta("Hel"), delta("lo", finish_reason="stop"), DONE))),
                id="CR",
            ),
            pytest.param(
                events(b": ping\n\n", delta("Hel"), b":\n\n", delta("lo"), b"id: 1\n\n", DONE), id="comments and ids"
            ),
            pytest.param(
                events(b"event: message\nretry: 1\n", b"data:" + json.dumps(delta("Hello")).encode(), b"\n\n", DONE),
                id="other fields, no space",
            ),
            pytest.param(
                events(b'data: {"choices":\n', b'data: [{"delta":{"content":"Hello"}}]}\n', b"\n", DONE),
                id="an event of two lines",
            ),
            pytest.param(events(delta("Hel"), delta("lo", finish_reason="stop")), id="a reason but no [DONE]"),
            pytest.param(
                events({"choices": [{"delta": None}]}, {"choices": None}, {}, delta("Hello"), DONE), id="empty events"
            ),
            pytest.param(
                wire(
                    b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + event(delta("Hello")) + event(DONE)
                ),
                id="HTTP/1.0",
            ),
            pytest.param(
                stream(event(delta("Hello")), event(DONE), content_type="text/event-stream; charset=hex"),
                id="a charset of nonsense",
            ),
        ],
    )
    def test_reads_what_servers_send(self, endpoint, client, reply):
        """All of these are the same answer."""
        endpoint.chat(reply)
        assert text(client.stream(HELLO)) == "Hello"

    @pytest.mark.parametrize(
        "said",
        ["a\u2028b\u2029c\u0085d", "Grüße, 世界 👩‍🚀", "line\r\nline\n", "data: [DONE]", "x" * (1 << 20)],
        ids=["Unicode's line ends", "all languages", "newlines", "looks like the end", "1 MiB"],
    )
    def test_text_arrives_as_it_was_said(self, endpoint, client, said):
        """Only the line ends of server-sent events end lines."""
        endpoint.chat(answer(said).in_pieces(4096))
        assert text(client.stream(HELLO)) == said

    @pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
    def test_reads_reasoning_by_both_names(self, endpoint, client, name):
        """vLLM renamed the field; others did not follow."""
        endpoint.chat(events(delta(**{name: "Hm."}), delta("42"), DONE))
        assert list(client.stream(HELLO)) == [Delta(reasoning="Hm."), Delta("42")]

    def test_half_a_surrogate_pair_becomes_text(self, endpoint, client):
        """JSON can write it, but the next question could not repeat it."""
        endpoint.chat(events('{"choices": [{"delta": {"content": "a\\ud83d"}}]}', DONE))
        assert text(client.stream(HELLO)) == "a?"

    def test_closing_it_hangs_up(self, endpoint, client):
        """The server sees the connection close, and stops computing."""
        endpoint.chat(broken_stream(event(delta("Hel"))).then(UntilHangUp()))
        deltas = client.stream(HELLO)
        assert next(deltas) == Delta("Hel")
        deltas.close()
        assert endpoint.hung_up.wait(5)

    def test_yields_at_once(self, endpoint, client):
        """A token is not held back until the next one comes."""
        endpoint.chat(events(delta("Hel"), Pause(0.5), delta("lo"), DONE))
        begun = time.monotonic()
        assert next(client.stream(HELLO)) == Delta("Hel")
        assert time.monotonic() - begun < 0.4

    def test_asks_for_no_compression(self, endpoint, client):
        """A compressed stream comes in blocks."""
        endpoint.chat(answer("Hello"))
        list(client.stream(HELLO))
        assert endpoint.requests[-1].headers["accept-encoding"] == "identity"


class TestUsageOption:
    """`stream_options` is newer than some servers."""

    COMPLAINT = response(400, '{"error": {"message": "Unrecognized request argument: stream_options"}}')

    def test_is_left_out_where_it_is_not_known(self, endpoint, client):
        """The same question is asked once more without it."""
        endpoint.chat(self.COMPLAINT, answer("Hello"))
        assert text(client.stream(HELLO)) == "Hello"
        with_usage, without = endpoint.asked()
        assert with_usage == {**without, "stream_options": {"include_usage": True}}

    def test_is_left_out_once(self, endpoint, client):
        """A server that goes on complaining is believed."""
        endpoint.chat(self.COMPLAINT)
        failure(client)
        assert len(endpoint.asked()) == 2

    def test_another_refusal_is_final(self, endpoint, client):
        """No question is asked twice for another reason."""
        endpoint.chat(recorded("error-temperature"))
        failure(client)
        assert len(endpoint.asked()) == 1


class Told(NamedTuple):
    """What an error tells; SERVER stands for whoever was asked."""

    kind: type[ModelcarError]
    message: str
    hint: str | None

    def by(self, endpoint):
        """Return it as told by this server."""
        return self._replace(message=self.message.replace("SERVER", f"the model server at {endpoint.url}"))


class TestRefusals:
    @pytest.mark.parametrize(
        ("reply", "expected"),
        [
            pytest.param(
                recorded("error-no-key"),
                Told(
                    NotAuthorised,
                    "SERVER does not accept who is asking: Unauthorized",
                    "put its API key in an environment variable and name that: --api-key-env VARIABLE",
                ),
                id="401: vLLM, a string",
            ),
            pytest.param(
                response(403, "<html><body>Forbidden</body></html>", "text/html"),
                Told(
                    NotAuthorised,
                    "SERVER does not accept who is asking: HTTP 403 Forbidden",
                    "put its API key in an environment variable and name that: --api-key-env VARIABLE",
                ),
                id="403: a page of a router",
            ),
            pytest.param(
                response(403, '{"kind": "Status", "message": "services is forbidden: User dev cannot create"}'),
                Told(
                    NotAuthorised,
                    "the cluster does not let this user talk to SERVER: services is forbidden: User dev cannot create",
                    "ask for the right to get and create services/proxy in this namespace, or chat through the Route",
                ),
                id="403: the cluster's API server",
            ),
            pytest.param(
                recorded("error-unknown-model-stream"),
                Told(
                    NotFoundOrRefused,
                    "SERVER has no such model: The model `no-such-model` does not exist. "
                    "Valid aliases: smollm2-135m-instruct.",
                    "choose one that it serves with --model, or leave --model out",
                ),
                id="404: vLLM, an unknown model",
            ),
            pytest.param(
                recorded("error-not-found"),
                Told(
                    NotFoundOrRefused,
                    "SERVER does not know the OpenAI chat API at this address: Not Found",
                    "give the URL under which /v1/chat/completions is found, without that path",
                ),
                id="404: vLLM, an unknown path",
            ),
            pytest.param(
                response(404, '{"kind": "Status", "message": "services \\"my-model\\" not found"}'),
                Told(
                    NotFoundOrRefused,
                    'the cluster finds no way to SERVER: services "my-model" not found',
                    "`kubectl modelcar status` tells what is there",
                ),
                id="404: the cluster's API server",
            ),
            pytest.param(
                recorded("error-context-too-long-stream"),
                Told(
                    NotFoundOrRefused,
                    "SERVER refused the question: This model's maximum context length is 2048 tokens. "
                    "However, your prompt contains at least 2049 input tokens, which exceeds this limit even "
                    "without any output tokens. Please reduce the length of the input prompt. "
                    "(parameter=input_tokens, value=2049)",
                    "shorten the prompt, begin a new conversation (/clear), or ask for fewer tokens with --max-tokens",
                ),
                id="400: vLLM, the context's length",
            ),
            pytest.param(
                recorded("error-temperature"),
                Told(
                    NotFoundOrRefused,
                    "SERVER refused the question: temperature must be non-negative, got -1.0. "
                    "(parameter=temperature, value=-1.0)",
                    "change what it names",
                ),
                id="400: vLLM, a bad field",
            ),
            pytest.param(
                response(422, '{"detail": [{"loc": ["body"], "msg": "Field required"}]}'),
                Told(
                    NotFoundOrRefused,
                    'SERVER refused the question: [{"loc": ["body"], "msg": "Field required"}]',
                    "change what it names",
                ),
                id="422: FastAPI's list",
            ),
            pytest.param(
                response(429, "slow down", "text/plain", retry_after="7"),
                Told(NetworkGaveUp, "SERVER has too much to do: slow down", "ask again later (it asks to wait: 7)"),
                id="429",
            ),
            pytest.param(
                response(503, "<html><h1>Application is not available</h1></html>", "text/html"),
                Told(
                    NetworkGaveUp,
                    "SERVER is not ready: HTTP 503 Service Unavailable",
                    "it may still be loading the model: `kubectl modelcar status` tells; then ask again",
                ),
                id="503: the router's page",
            ),
            pytest.param(
                response(504, "<html></html>", "text/html"),
                Told(
                    NetworkGaveUp,
                    "SERVER was too slow for the proxy before it: HTTP 504 Gateway Timeout",
                    "raise the Route's annotation haproxy.router.openshift.io/timeout, or ask for a shorter answer",
                ),
                id="504: the router's 30 s",
            ),
            pytest.param(
                response(500, b"\xff\xfe\x1b[31mboom", "text/plain"),
                Told(NetworkGaveUp, "SERVER failed: \ufffd\ufffd\\x1b[31mboom", "its own log says why"),
                id="500: no text, with an escape",
            ),
            pytest.param(
                response(599, ""),
                Told(NetworkGaveUp, "SERVER failed: HTTP 599, which means nothing in HTTP", "its own log says why"),
                id="599",
            ),
            pytest.param(
                response(204, ""),
                Told(
                    NetworkGaveUp,
                    "SERVER gave an answer without a meaning here: HTTP 204 No Content",
                    "its own log says why",
                ),
                id="204",
            ),
            pytest.param(
                response(200, "<html>Welcome</html>", "text/html"),
                Told(
                    NetworkGaveUp,
                    "SERVER sent something else for what should be the answer",
                    "is this the URL of an OpenAI-compatible server?",
                ),
                id="200: a page",
            ),
            pytest.param(
                events({"error": {"message": "no such field", "code": 400}}),
                Told(NotFoundOrRefused, "SERVER refused the question: no such field", "change what it names"),
                id="an error in a 200 stream",
            ),
            pytest.param(
                events(b"event: error\n", {"message": "out of memory"}),
                Told(
                    NetworkGaveUp, "SERVER gave no answer: out of memory", "ask again; the server's own log may say why"
                ),
                id="an event that is called error",
            ),
            pytest.param(
                events({"error": {"code": "x"}}),
                Told(
                    NetworkGaveUp,
                    "SERVER gave no answer: it met an error that it does not explain",
                    "ask again; the server's own log may say why",
                ),
                id="an error without words",
            ),
        ],
    )
    def test_each_is_said_in_words(self, endpoint, client, reply, expected):
        """Who refused, why, and what to do next."""
        endpoint.chat(reply)
        _, error = failure(client)
        assert Told(type(error), error.message, error.hint) == expected.by(endpoint)

    def test_a_redirect_is_not_followed(self, endpoint, client):
        """A key belongs to one origin: the other one is named and hears nothing."""
        with FakeEndpoint() as other:
            endpoint.chat(response(307, location=f"{other.url}/login"))
            _, error = failure(client)
            assert other.requests == []
        assert type(error) is NotFoundOrRefused
        assert error.message == (
            f"the model server at {endpoint.url} sends its callers to {other.url}/login; "
            "that was not followed, since a key belongs to one server only"
        )

    def test_a_key_that_the_server_repeats_is_not_shown(self, endpoint):
        """Error texts end up in logs."""
        endpoint.chat(response(401, '{"error": "bad key sk-canary"}'))
        with Client(Endpoint.parse(endpoint.url, headers=bearer("sk-canary"), model="tiny")) as client:
            _, error = failure(client)
        assert error.message.endswith(": bad key [secret]")
        assert endpoint.requests[-1].headers["authorization"] == "Bearer sk-canary"

    def test_an_endless_error_is_not_read_to_its_end(self, endpoint, client):
        """One MiB is enough of any error; then the client hangs up."""
        (whole,) = response(500, b"x" * (64 << 20), "text/plain").steps
        endpoint.chat(wire(whole[: 2 << 20]).then(UntilHangUp()))
        _, error = failure(client)
        assert error.message.endswith("failed: " + "x" * 499 + "…")


class TestCuts:
    @pytest.mark.parametrize(
        ("reply", "came", "reason"),
        [
            pytest.param(
                broken_stream(event(delta("Hel"))),
                "Hel",
                "the connection broke (peer closed connection without sending complete message body "
                "(incomplete chunked read))",
                id="closed inside the stream",
            ),
            pytest.param(
                broken_stream(event(delta("Hel"))).then(Pause(0.2), Reset()), "Hel", "the connection broke", id="reset"
            ),
            pytest.param(
                events(delta("Hel")),
                "Hel",
                "the stream ended without saying that it is complete",
                id="no reason, no [DONE]",
            ),
            pytest.param(
                stream(event(delta("Hel")), event(delta("lo"))[:-1]),
                "Hel",
                "the stream ended without saying that it is complete",
                id="half an event",
            ),
            pytest.param(
                events(delta("Hel"), "{"),
                "Hel",
                "it sent an event that is not JSON: {",
                id="no JSON",
            ),
            pytest.param(
                events(delta("Hel"), "[" * 100_000),
                "Hel",
                "it sent an event that is not JSON: " + "[" * 80,
                id="deep JSON",
            ),
            pytest.param(
                events(delta("Hel"), "9" * 5000),
                "Hel",
                "it sent an event that is not JSON: " + "9" * 80,
                id="a long number",
            ),
            pytest.param(
                events(delta("Hel"), '"\x1b[2J"'),
                "Hel",
                'it sent an event that is not JSON: "\\x1b[2J"',
                id="an escape",
            ),
            pytest.param(
                events(delta("Hel"), "null"),
                "Hel",
                "it sent an event that is not a JSON object: null",
                id="null",
            ),
            pytest.param(
                events(delta("Hel"), {"choices": [7]}),
                "Hel",
                "it sent an event whose choices are not a list of objects",
                id="choices of numbers",
            ),
            pytest.param(
                events(delta("Hel"), {"choices": [{"delta": "lo"}]}),
                "Hel",
                "it sent an event whose delta is not an object",
                id="a delta of text",
            ),
            pytest.param(
                events(delta("Hel"), {"choices": [{"delta": {"content": ["lo"]}}]}),
                "Hel",
                "it sent an event with something other than text where text belongs",
                id="content of parts",
            ),
        ],
    )
    def test_the_text_stays_and_the_cut_is_told(self, endpoint, client, reply, came, reason):
        """What came was yielded; the error tells how much it was and why it ended."""
        endpoint.chat(reply)
        seen, error = failure(client)
        server = f"the model server at {endpoint.url}"
        assert (seen, type(error)) == (came, NetworkGaveUp)
        assert error.message == f"the answer of {server} was cut off after 1 piece: {reason}"

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            pytest.param(events(DONE), "it ended the answer before the first word", id="the end alone"),
            pytest.param(
                events(delta("", role="assistant"), usage(3, 0), DONE),
                "it ended the answer before the first word",
                id="no text and no reason",
            ),
            pytest.param(
                events(delta("", role="assistant")),
                "the stream ended without saying that it is complete",
                id="not even an end",
            ),
            pytest.param(stream(), "the stream ended without saying that it is complete", id="nothing"),
        ],
    )
    def test_an_answer_of_nothing_is_none(self, endpoint, client, reply, reason):
        """An end is not an answer."""
        endpoint.chat(reply)
        came, error = failure(client)
        assert (came, type(error)) == ("", NetworkGaveUp)
        assert error.message == f"the model server at {endpoint.url} gave no answer: {reason}"

    def test_a_reason_without_text_is_an_answer(self, endpoint, client):
        """A model may have nothing to say, or only a token without text."""
        endpoint.chat(events(delta("", finish_reason="stop"), DONE))
        assert list(client.stream(HELLO)) == [Delta(finish_reason="stop")]

    def test_no_question_is_asked_twice(self, endpoint, client):
        """A cut answer is told and not silently begun again."""
        endpoint.chat(broken_stream(event(delta("Hel"))))
        failure(client)
        assert len(endpoint.asked()) == 1

    def test_a_stall_ends(self, endpoint):
        """Silence is limited, the whole answer is not."""
        endpoint.chat(broken_stream(event(delta("Hel"))).then(UntilHangUp()))
        with Client(Endpoint.parse(endpoint.url, model="tiny"), idle_seconds=0.3) as client:
            _, error = failure(client)
        assert error.message.endswith("was cut off after 1 piece: it said nothing for too long")

    def test_a_slow_answer_does_not(self, endpoint):
        """Ten tokens that take longer together than the limit of silence are fine."""
        steps = [step for _ in range(10) for step in (delta("a"), Pause(0.1))]
        endpoint.chat(events(*steps, DONE))
        with Client(Endpoint.parse(endpoint.url, model="tiny"), idle_seconds=0.5) as client:
            assert text(client.stream(HELLO)) == "a" * 10

    def test_a_line_without_an_end_does_not_fill_the_memory(self, endpoint, client):
        """Sixteen MiB without an event are no answer."""
        endpoint.chat(stream(b"data: ", *[b"x" * (1 << 20)] * 20))
        _, error = failure(client)
        assert error.message.endswith("gave no answer: the connection broke (more than 16 MiB without an event)")

    def test_a_long_answer_is_not_a_long_line(self, endpoint, client):
        """The limit is on what comes without an event, not on the answer."""
        endpoint.chat(events(*[delta("x" * (1 << 20))] * 20, DONE))
        assert len(text(client.stream(HELLO))) == 20 << 20

    @pytest.mark.parametrize(
        "raw", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n"], ids=["nothing", "SSH", "a broken status"]
    )
    def test_something_that_is_no_http(self, endpoint, client, raw):
        """Another program may listen there."""
        endpoint.chat(wire(raw))
        _, error = failure(client)
        assert (type(error), error.message.split(":")[0]) == (NetworkGaveUp, "the model server at http")


class TestConnecting:
    def test_nobody_listens(self):
        """The operating system said no."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            with Client(Endpoint.parse(url, model="tiny")) as client:
                _, error = failure(client)
        assert (type(error), error.message, error.hint) == (
            NetworkGaveUp,
            f"cannot reach the model server at {url}: [Errno 111] Connection refused",
            "is it running, and is the URL right?",
        )

    def test_a_host_that_no_client_can_name(self):
        """A label of a host name has at most 63 characters."""
        with pytest.raises(InvalidInput) as caught:
            Endpoint.parse(f"http://{'a' * 64}.example")
        assert caught.value.message == "the URL of the model server cannot be read"


class TestTls:
    @pytest.fixture
    def authority(self):
        return trustme.CA()

    @pytest.fixture
    def secure(self, authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with FakeEndpoint(tls=context) as fake:
            fake.chat(answer("Hello"))
            yield fake

    def ask(self, url, context):
        with Client(Endpoint.parse(url, ssl_context=context, model="tiny")) as client:
            return text(client.stream(HELLO))

    def test_an_unknown_authority_is_refused(self, secure):
        """TLS fails closed, and the way out is named."""
        with pytest.raises(Untrusted) as caught:
            self.ask(secure.url, None)
        server = f"the model server at {secure.url}"
        assert caught.value.message == (
            f"the certificate of {server} cannot be trusted: unable to get local issuer certificate"
        )
        assert caught.value.hint == (
            "name the authority that signed it: --ca-file FILE (or, to trust anybody who answers, --insecure)"
        )

    def test_a_ca_file_makes_it_known(self, secure, authority, tmp_path):
        """The authority's certificate is enough."""
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        assert self.ask(secure.url, trust(tmp_path / "ca.pem")) == "Hello"

    def test_another_host_name_is_refused(self, secure, authority, tmp_path):
        """A certificate is for its names."""
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        with pytest.raises(Untrusted) as caught:
            self.ask(secure.url.replace("localhost", "127.0.0.1"), trust(tmp_path / "ca.pem"))
        assert "IP address mismatch" in caught.value.message

    def test_insecure_believes_it(self, secure):
        """It is what the option says."""
        assert self.ask(secure.url, trust(insecure=True)) == "Hello"

    def test_https_where_there_is_http(self, endpoint):
        """The likeliest cause is a wrong scheme."""
        endpoint.chat(answer("Hello"))
        with pytest.raises(NetworkGaveUp) as caught:
            self.ask(endpoint.url.replace("http:", "https:"), None)
        assert caught.value.hint == "does its URL begin with http:// ?"


class TestModel:
    def test_the_only_one_is_asked(self, endpoint):
        """A server of one model needs no --model."""
        endpoint.chat(answer("Hello"))
        with Client(Endpoint.parse(endpoint.url)) as client:
            list(client.stream(HELLO))
            list(client.stream(HELLO))
        assert [asked["model"] for asked in endpoint.asked()] == ["tiny", "tiny"]
        assert [request.path for request in endpoint.requests] == [MODELS, CHAT, CHAT]

    def test_several_must_be_chosen_from(self, endpoint):
        """The first of several would be an accident."""
        endpoint.serve_models("tiny", "evil\x1b[2J")
        with Client(Endpoint.parse(endpoint.url)) as client, pytest.raises(InvalidInput) as caught:
            client.model()
        assert caught.value.message == (f"the model server at {endpoint.url} serves several models: tiny, evil\\x1b[2J")
        assert caught.value.hint == "choose one with --model"

    def test_none_is_an_error(self, endpoint):
        """A server without a model has nothing to say."""
        endpoint.serve_models()
        with Client(Endpoint.parse(endpoint.url)) as client, pytest.raises(NotFoundOrRefused) as caught:
            client.model()
        assert caught.value.message == f"the model server at {endpoint.url} serves no model"

    @pytest.mark.parametrize(
        "body", ["<html>", "[]", '{"data": 7}', "[" * 100_000], ids=["page", "list", "number", "deep"]
    )
    def test_something_else_is_an_error(self, endpoint, client, body):
        """A web page is no list of models."""
        endpoint.on(MODELS, response(200, body))
        with pytest.raises(NetworkGaveUp) as caught:
            client.models()
        assert caught.value.message == f"the model server at {endpoint.url} sent something else for its list of models"

    def test_entries_without_a_name_are_left_out(self, endpoint, client):
        """Other servers list other things."""
        endpoint.on(
            MODELS, response(200, '{"data": [7, {"id": null}, {"id": "a"}, {"id": "b", "max_model_len": "x"}]}')
        )
        assert client.models() == [Model("a"), Model("b")]


class TestFirstToken:
    @pytest.mark.parametrize(
        "first",
        [delta("Hi"), delta(reasoning="Hm"), delta("", finish_reason="length")],
        ids=["text", "reasoning", "a token without text"],
    )
    def test_is_the_first_sign_of_the_model(self, endpoint, client, first):
        """The empty first event says nothing about the weights."""
        endpoint.chat(events(delta("", role="assistant"), Pause(0.2), first, DONE))
        assert 0.2 <= client.first_token() < 2

    def test_asks_for_one(self, endpoint, client):
        """The check costs the server one token."""
        endpoint.chat(answer("Hi", finish_reason="length"))
        client.first_token()
        assert (endpoint.asked()[0]["max_tokens"], endpoint.asked()[0]["temperature"]) == (1, 0)

    def test_an_answer_of_nothing_is_no_token(self, endpoint, client):
        """A stream that ends without one proves nothing."""
        endpoint.chat(events(delta("", role="assistant"), usage(3, 0), DONE))
        with pytest.raises(NetworkGaveUp) as caught:
            client.first_token()
        assert caught.value.message == (
            f"the model server at {endpoint.url} gave no answer: it ended the answer before the first word"
        )

    NO_TEMPLATE = response(
        400, '{"error": {"message": "default chat template is no longer allowed, so you must provide a chat template"}}'
    )

    @pytest.mark.parametrize("refusal", [NO_TEMPLATE, response(404, "")], ids=["no template", "no chat"])
    @pytest.mark.parametrize("said", [" world", ""], ids=["text", "a token without text"])
    def test_of_a_base_model_completes_a_text(self, endpoint, client, refusal, said):
        """A model that cannot chat is proven by a completion."""
        endpoint.chat(refusal)
        endpoint.on(COMPLETIONS, response(200, json.dumps({"choices": [{"index": 0, "text": said}]})))
        assert 0 < client.first_token() < 2
        assert endpoint.requests[-1].json() == {"model": "tiny", "prompt": "Hello", "max_tokens": 1, "temperature": 0}

    def test_of_a_base_model_that_cannot_complete_either(self, endpoint, client):
        """What it says to the simpler question is the cause."""
        endpoint.chat(self.NO_TEMPLATE)
        endpoint.on(COMPLETIONS, response(404, '{"error": {"message": "The model `tiny` does not exist."}}'))
        with pytest.raises(NotFoundOrRefused) as caught:
            client.first_token()
        assert caught.value.message == (
            f"the model server at {endpoint.url} has no such model: The model `tiny` does not exist."
        )

    @pytest.mark.parametrize(
        "body", ["<html>", "[]", "{}", '{"choices": [7]}', '{"choices": [{"text": null}]}', "[" * 100_000], ids=ascii
    )
    def test_a_completion_is_read(self, endpoint, client, body):
        """Something else is no token."""
        endpoint.chat(self.NO_TEMPLATE)
        endpoint.on(COMPLETIONS, response(200, body))
        with pytest.raises(NetworkGaveUp) as caught:
            client.first_token()
        assert caught.value.message.endswith("sent something else for what should be a completion")

    @pytest.mark.parametrize(
        "refusal",
        [response(401, ""), response(422, ""), response(404, '{"kind": "Status", "message": "services x not found"}')],
        ids=["no key", "another refusal", "the cluster's"],
    )
    def test_another_refusal_is_final(self, endpoint, client, refusal):
        """Only what a base model causes leads to a second question."""
        endpoint.chat(refusal)
        with pytest.raises(ModelcarError):
            client.first_token()
        assert len(endpoint.requests) == 1

    def test_a_server_that_loads_is_an_error(self, endpoint, client):
        """Whoever waits asks again."""
        endpoint.chat(response(503, ""))
        with pytest.raises(NetworkGaveUp):
            client.first_token()
