"""Ten thousand broken answers: an answer or an error of ours, never a traceback, never a control character."""

import random

import httpx
import pytest

from kubectl_modelcar.chat import Client, Conversation, Delta, Endpoint, Sanitizer
from kubectl_modelcar.errors import ModelcarError
from tests.chat.recordings import RECORDED
from tests.chat.test_sanitizer import obeyed
from tests.fakes.endpoint import DONE, FakeEndpoint, delta, event, usage, wire

ROUNDS = 10_000
HELLO = Conversation().with_user("Hello").messages()

# What a mutation inserts: the syntax of each layer, at its edges.
WORDS = [
    b"\n", b"\r", b"\r\n", b"\n\n", b"data: ", b"data:", b":", b"event: error\n", b"id: 1\n", b"retry: x\n", b"[DONE]",
    b"{", b"}", b"[", b"]", b'"', b"\\", b"\\ud800", b"\\u0000", b"null", b"true", b"-1e999", b"NaN", b"9" * 5000,
    b"[" * 3000, b'{"error":', b'{"error":null}', b'{"error":{"message":7,"code":1e3}}',
    b'"choices"', b'"delta"', b'"content"',
    b'"usage"', b"\xff", b"\xe2\x80\xa8", b"\xc2\x85", b"\xef\xbb\xbf", b"\x00", b"\x1b]52;c;cm0=\x07", b"\xe2\x80\xae",
    b"<html>", b"data: " + b"x" * 5000,
]  # fmt: skip
TYPES = ["text/event-stream"] * 12 + ["text/event-stream; charset=utf-16", "text/html", "application/json", ""]
STATUSES = [200] * 12 + [204, 302, 400, 401, 404, 429, 500, 503]


def seeds():
    """Return the bodies that mutations begin with."""
    ours = b"".join(
        event(item) for item in (delta("Hel", reasoning="Hm"), delta("lo", finish_reason="stop"), usage(1, 2), DONE)
    )
    died = (RECORDED / "engine-died-mid-stream.txt").read_bytes().partition(b"\r\n\r\n")[2]
    return [ours, ours.replace(b"\n", b"\r\n"), died[-1500:], b'{"error":{"message":"no","code":400}}', b""]


def mutated(chance, body):
    """Return `body` with a few bytes changed, dropped, repeated or put in."""
    raw = bytearray(body)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(raw))
        match chance.randint(0, 4):
            case 0 if at < len(raw):
                raw[at] = chance.randrange(256)
            case 1:
                del raw[at : at + chance.randint(1, 40)]
            case 2:
                raw[at:at] = raw[at : at + chance.randint(1, 200)]
            case _:
                raw[at:at] = chance.choice(WORDS)
    return bytes(raw)


def cut(chance, raw):
    """Return `raw` in pieces of any size."""
    pieces = []
    while raw:
        size = chance.choice([1, 2, 3, 17, 100, len(raw)])
        pieces.append(raw[:size])
        raw = raw[size:]
    return pieces


class Body(httpx.SyncByteStream):
    """A body in pieces, which may break off."""

    def __init__(self, pieces, error):
        self._pieces, self._error = pieces, error

    def __iter__(self):
        yield from self._pieces
        if self._error:
            raise self._error


def outcome(client):
    """Return how it ended: the type of the error, or None. Anything but an error of ours goes up and fails the test."""
    shown, error = Sanitizer(), None
    text = ""
    try:
        for piece in client.stream(HELLO):
            assert type(piece) is Delta
            text += shown.feed(piece.text + piece.reasoning)
            (piece.text + piece.reasoning).encode()
    except ModelcarError as caught:
        error = type(caught)
        text += caught.message + (caught.hint or "")
    assert obeyed(text + shown.finish()) == set()
    return error


class TestFuzz:
    def test_any_answer_is_an_answer_or_an_error(self):
        """Each layer is broken: bytes, lines, JSON, content types, statuses, ends."""
        chance = random.Random(20261124)  # noqa: S311  a seed repeats a failure
        bodies = seeds()
        outcomes = set()

        def reply(_request):
            pieces = cut(chance, mutated(chance, chance.choice(bodies)))
            errors = [None] * 9 + [httpx.ReadError("cut"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("half")]
            headers = {"content-type": chance.choice(TYPES)}
            return httpx.Response(chance.choice(STATUSES), headers=headers, stream=Body(pieces, chance.choice(errors)))

        endpoint = Endpoint.parse("http://127.0.0.1:1", model="tiny")
        with Client(endpoint, transport=httpx.MockTransport(reply)) as client:
            for _ in range(ROUNDS):
                outcomes.add(outcome(client))
        assert len(outcomes) >= 4, "the mutations no longer reach the different ends"

    @pytest.mark.parametrize("seed", range(3))
    def test_so_is_any_response_on_the_wire(self, seed):
        """The same through a real socket, with status line, headers and chunk framing broken too."""
        chance = random.Random(seed)  # noqa: S311  as above
        whole = (RECORDED / "chat-stream-usage.response.http").read_bytes()
        with FakeEndpoint() as fake:
            fake.chat(*(wire(mutated(chance, whole)) for _ in range(100)))
            with Client(Endpoint.parse(fake.url, model="tiny"), idle_seconds=5) as client:
                for _ in range(100):
                    outcome(client)
        assert len(fake.asked()) == 100
