"""Tests of the bytes of a repository of the Hub: cut, resumed, bounded, and with the token where it belongs."""

import itertools
import threading
import time

import pytest

from kubectl_modelcar.errors import (
    IntegrityFailure,
    NetworkGaveUp,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import ModelFile
from tests.fakes.hub import TOKEN
from tests.fakes.registry import Fault
from tests.source.hub_model import FILES, WEIGHTS, listing, opened


class TestReading:
    """The bytes, through what a network does to them."""

    @pytest.mark.parametrize("path", ["config.json", "w.safetensors"])
    def test_all(self, hub, commit, path):
        """From git and from the storage."""
        del commit
        source, file = opened(hub, path)
        assert b"".join(source.chunks(file)) == FILES[path]

    @pytest.mark.parametrize("path", ["README.md", "w.safetensors"])
    def test_part(self, hub, commit, path):
        """A part of a file, at most up to its end; beyond it nothing is asked."""
        del commit
        source, file = opened(hub, path)
        assert source.read(file, 3, 2) == FILES[path][3:5]
        assert source.read(file, file.size - 1, 100) == FILES[path][-1:]
        hub.log.clear()
        assert (source.read(file, file.size, 1), source.read(file, 0, 0), hub.log) == (b"", b"", [])

    def test_part_of_a_server_without_ranges(self, hub, commit):
        """It sends everything; the part is cut out, and the rest is not read."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="response-content", ignore_range=True, cut_after=2_000_000, times=-1))
        assert source.read(file, 1000, 50) == WEIGHTS[1000:1050]

    def test_part_of_a_giant(self, hub, commit, monkeypatch):
        """However much is asked for, no more than fits is."""
        del commit
        monkeypatch.setattr("kubectl_modelcar.source.hub.MOST", 100_000)
        source, file = opened(hub, "w.safetensors")
        assert source.read(file, 0, file.size) == WEIGHTS[:100_000]
        assert [request.sent for request in hub.cdn_log] == [100_000]

    def test_looks_at_the_beginning_cost_one_request(self, hub, commit):
        """Headers are looked at three times."""
        del commit
        source, file = opened(hub, "w.safetensors")
        looks = [source.read(file, 0, 4096), source.read(file, 0, 8), source.read(file, 8, 5000)]
        assert looks == [WEIGHTS[:4096], WEIGHTS[:8], WEIGHTS[8:5008]]
        assert [request.sent for request in hub.cdn_log] == [64 * 1024]

    def test_a_small_file_that_was_looked_at(self, hub, commit):
        """Is not asked for again, but once it was given: who wants it again has a reason."""
        del commit
        source, file = opened(hub, "config.json")
        source.read(file, 0, 2)
        assert (list(source.chunks(file)), len(hub.log)) == ([b"{}"], 1)
        assert (list(source.chunks(file)), len(hub.log)) == ([b"{}"], 2)

    def test_a_place_in_a_file_that_was_looked_at(self, hub, commit):
        """Is that place, not the beginning that is kept."""
        del commit
        source, file = opened(hub, "config.json")
        source.read(file, 0, 2)
        assert b"".join(source.chunks(file, 1)) == b"}"

    def test_a_hub_that_goes_away(self, hub, commit, waits, monkeypatch):
        """It answered a minute ago: unlike one that never did, it is asked again."""
        del commit
        source, file = opened(hub, "w.safetensors")
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
        with pytest.raises(NetworkGaveUp) as caught:
            list(source.chunks(file))
        assert ("6 times in a row" in caught.value.message, len(waits)) == (True, 5)

    def test_a_storage_that_refuses(self, hub, commit, waits):
        """Is told apart from the Hub: no licence and no token helps."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="response-content", status=403, times=-1))
        with pytest.raises(NotFoundOrRefused) as caught:
            list(source.chunks(file))
        storage = hub.cdn_url.removeprefix("http://")
        assert (caught.value.message, caught.value.hint) == (
            f"cannot read {file.path} of org/m@main: {storage}, where the Hub keeps the file, refused (HTTP 403)",
            "check whether a proxy is in the way, and this machine's clock",
        )
        assert (len(hub.cdn_log), waits) == (1, [])

    def test_empty_file(self, hub):
        """Nothing is asked for nothing."""
        hub.commit("org/m", {"empty.txt": b""})
        source, file = opened(hub, "empty.txt")
        assert (list(source.chunks(file)), hub.log) == ([], [])

    def test_cut(self, hub, commit, waits):
        """Goes on at the byte where it broke: nothing twice, nothing left out."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults += [Fault(path="response-content", cut_after=at) for at in (1_000_000, 500_000, 1)]
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert [request.headers.get("range") for request in hub.cdn_log] == [
            None,
            "bytes=1000000-",
            "bytes=1500000-",
            "bytes=1500001-",
        ]
        assert len(waits) == 3

    def test_cut_of_a_server_without_ranges(self, hub, commit, waits):
        """It starts over; what is there already is skipped."""
        del commit, waits
        source, file = opened(hub, "w.safetensors")
        hub.faults += [
            Fault(path="response-content", cut_after=1_000_000),
            Fault(path="response-content", ignore_range=True),
        ]
        assert b"".join(source.chunks(file)) == WEIGHTS

    def test_cut_often_but_never_at_once(self, hub, commit, waits):
        """As long as enough bytes come between, it goes on."""
        del commit
        source, file = opened(hub, "w.safetensors")
        source.patience.refill = 700_000
        hub.faults.append(Fault(path="response-content", cut_after=400_000, times=7))
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert len(waits) == 7

    def test_cut_again_and_again(self, hub, commit, waits):
        """Without a new byte six times are enough, further and further apart."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="response-content", cut_after=0, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            list(source.chunks(file))
        assert caught.value.message == (
            f"cannot read w.safetensors of org/m@main: the connection to {hub.cdn_url} broke"
            f" (the connection ended {len(WEIGHTS)} bytes too early), 6 times in a row"
        )
        assert caught.value.hint == "check the network and HF_ENDPOINT"
        assert (len(hub.cdn_log), len(waits)) == (6, 5)
        assert all(wait <= 0.5 * 2**number for number, wait in enumerate(waits))

    def test_an_answer_that_ends_early_as_if_it_were_whole(self, hub, commit, waits):
        """A proxy that promises less than there is: the rest is asked for."""
        del commit, waits
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="response-content", status=200, body=WEIGHTS[:1000]))
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert hub.cdn_log[-1].headers["range"] == "bytes=1000-"

    @pytest.mark.parametrize("start", [1, 1_000_000, len(WEIGHTS) - 1, len(WEIGHTS)])
    def test_from_a_place(self, hub, commit, start):
        """What a registry has already is not asked of the Hub."""
        del commit
        source, file = opened(hub, "w.safetensors")
        assert b"".join(source.chunks(file, start)) == WEIGHTS[start:]
        assert sum(request.sent for request in hub.cdn_log) == len(WEIGHTS) - start

    @pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
    def test_busy(self, hub, commit, waits, code):
        """Waits as long as it is told to."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="/resolve/", status=code, headers={"Retry-After": "7"}, times=2))
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert waits == [7, 7]

    def test_busy_when_listing_and_reading_headers(self, hub, commit, waits):
        """The first requests are as patient as the last."""
        del commit
        hub.faults.append(Fault(path="/revision/", status=503, headers={"Retry-After": "3"}))
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="/resolve/", status=429, headers={"Retry-After": "4"}))
        assert (source.read(file, 0, 8), waits) == (WEIGHTS[:8], [3, 4])

    @pytest.mark.parametrize(
        ("after", "requests", "times", "hint"),
        [
            pytest.param("301", 1, "", "it asks to wait 301 s: try again then", id="too long"),
            pytest.param(
                "1",
                6,
                ", 6 times in a row",
                "try again later, or set HF_TOKEN: it has a limit of its own",
                id="for ever",
            ),
        ],
    )
    def test_too_busy(self, hub, commit, waits, after, requests, times, hint):  # noqa: PLR0917  the table's columns
        """Nobody waits for hours."""
        del commit, waits
        hub.faults.append(Fault(path="/revision/", status=429, headers={"Retry-After": after}, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert (caught.value.message, caught.value.hint) == (
            f"cannot list org/m@main: the Hub asks for fewer requests (HTTP 429){times}",
            hint,
        )
        assert len(hub.requests("/revision/")) == requests

    @pytest.mark.parametrize(
        ("promised", "found"),
        [
            pytest.param(len(WEIGHTS) - 1, f"more than {len(WEIGHTS) - 1}", id="more"),
            pytest.param(len(WEIGHTS) + 1, len(WEIGHTS), id="fewer"),
        ],
    )
    def test_other_size(self, hub, commit, waits, promised, found):
        """More or less than was listed is another file; what is too much is not handed on."""
        del commit, waits
        source, file = opened(hub, "w.safetensors")
        given = []
        with pytest.raises(IntegrityFailure) as caught:
            given.extend(len(chunk) for chunk in source.chunks(ModelFile(file.path, promised)))
        assert caught.value.message == (
            f"w.safetensors of org/m@main is {found} bytes where the Hub promised {promised}"
        )
        assert sum(given) <= promised


class TestStop:
    """A push that failed elsewhere."""

    def test_no_wait_goes_on(self, hub, commit):
        """The Hub asked for five minutes; nobody wants the bytes any more."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="/resolve/", status=503, headers={"Retry-After": "300"}, times=-1))
        started = time.monotonic()
        stopper = threading.Timer(0.2, source.stop)
        stopper.start()
        with pytest.raises(NetworkGaveUp):
            list(source.chunks(file))
        stopper.join()
        assert (time.monotonic() - started < 20, len(hub.log)) == (True, 1)


class TestToken:
    """The token is for the Hub alone."""

    @pytest.fixture(autouse=True)
    def token(self, hub, commit, monkeypatch):
        del commit
        hub.repositories["org/m"].private = True
        monkeypatch.setenv("HF_TOKEN", TOKEN)

    def test_never_at_the_storage(self, hub):
        """It is of another origin, and its addresses are signed."""
        source, file = opened(hub, "w.safetensors")
        assert b"".join(source.chunks(file)) == WEIGHTS
        assert source.read(file, 8, 8) == WEIGHTS[8:16]
        assert {request.headers["authorization"] for request in hub.log} == {f"Bearer {TOKEN}"}
        assert [set(request.headers) & {"authorization", "cookie"} for request in hub.cdn_log] == [set()] * 2

    def test_from_the_client_s_own_file(self, monkeypatch, sealed):
        """`hf auth login` writes it."""
        monkeypatch.delenv("HF_TOKEN")
        (sealed / "hf").mkdir()
        (sealed / "hf" / "token").write_text(TOKEN)
        assert len(listing().files) == 3

    def test_content_is_asked_for_as_it_is(self, hub):
        """A compressed answer would have other bytes and no ranges."""
        source, file = opened(hub, "w.safetensors")
        next(source.chunks(file))
        assert {request.headers["accept-encoding"] for request in itertools.chain(hub.log, hub.cdn_log)} == {"identity"}
