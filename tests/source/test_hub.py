"""Tests of a model in a repository of the Hub: the real client against a Hub on loopback."""

import hashlib
import itertools
import random
import time

import pytest

from kubectl_modelcar.errors import (
    IntegrityFailure,
    InvalidInput,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source import Origin, Selection, open_source
from tests.fakes.hub import TOKEN, Repository
from tests.fakes.registry import Fault

WEIGHTS = random.Random(1).randbytes(3 * 2**20 + 7)  # noqa: S311  bytes that do not repeat
FILES = {"README.md": b"# Model", "config.json": b"{}", "w.safetensors": WEIGHTS, "image.png": b"png"}
LISTING = r"^/api/models/"


@pytest.fixture
def commit(hub):
    """A repository with one commit."""
    commit = hub.commit("org/m", FILES)
    hub.repositories["org/m"].card = {"license": "apache-2.0"}
    return commit


@pytest.fixture
def waits(monkeypatch):
    """The seconds that were waited, without waiting them."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


def listing(source=None, **selection):
    return (source or open_source("org/m")).listing(Selection(**selection))


def opened(hub, path):
    """A source that was listed, the file of this path, and a log without the listing."""
    source = open_source("org/m")
    (file,) = (file for file in listing(source).files if file.path == path)
    hub.log.clear()
    return source, file


class TestListing:
    """What is taken, and of which commit."""

    def test_files(self, hub, commit):
        """With sizes, and the sha256 of what is in LFS."""
        del hub, commit
        found = listing()
        assert found.files == (
            ModelFile("README.md", 7),
            ModelFile("config.json", 2),
            ModelFile("w.safetensors", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest()),
        )
        assert found.left_out == ("image.png",)

    def test_origin(self, hub, commit):
        """Repository, commit, the commit's own date, the licence of the card."""
        del hub
        origin = listing().origin
        assert origin == Origin(f"hf://org/m@{commit}", "org/m", commit, "2025-06-01T12:00:00Z", "apache-2.0")
        assert origin.annotations() == {
            "org.opencontainers.image.source": "https://huggingface.co/org/m",
            "org.opencontainers.image.revision": commit,
            "org.opencontainers.image.licenses": "apache-2.0",
        }

    def test_named_licence(self, hub, commit):
        """`license: other` with a name is called by the name."""
        del commit
        hub.repositories["org/m"].card = {"license": "other", "license_name": "llama3.3"}
        assert listing().origin.licence == "llama3.3"

    @pytest.mark.parametrize(
        "card", [pytest.param({}, id="none"), pytest.param({"license": ["mit", "gpl"]}, id="a list")]
    )
    def test_no_licence(self, hub, commit, card):
        """What the card does not say in one word is not said."""
        del commit
        hub.repositories["org/m"].card = card
        assert listing().origin.licence is None

    def test_a_mirror_without_a_history(self, hub, commit):
        """The date is then that of the repository."""
        del commit
        hub.faults.append(Fault(path="/commits/", status=404))
        assert listing().origin.created == "2031-01-01T00:00:00Z"

    def test_a_mirror_without_sizes(self, hub, commit):
        """Each file is asked for its own."""
        del commit
        hub.tells_sizes = False
        assert [file.size for file in listing().files] == [7, 2, len(WEIGHTS)]

    def test_an_old_commit(self, hub, commit):
        """A commit is a revision."""
        hub.commit("org/m", {"other.json": b"{}"})
        assert [file.path for file in listing(open_source("org/m", revision=commit)).files] == [
            "README.md",
            "config.json",
            "w.safetensors",
        ]

    def test_the_branch_moves(self, hub, commit):
        """What is read is of the commit that was listed, whatever is pushed meanwhile."""
        hub.after_listing = lambda: hub.commit("org/m", {"config.json": b"[]"})
        source = open_source("org/m")
        found = listing(source)
        data = b"".join(source.chunks(found.files[1]))
        assert (found.origin.revision, data) == (commit, b"{}")

    def test_names(self, hub):
        """A Hub can list anything; a folder cannot hold it."""
        hub.commit("org/m", {"../config.json": b"{}"})
        with pytest.raises(IntegrityFailure):
            listing(include=("*",))


def gated(hub):
    hub.repositories["org/m"].gated = True


def private(hub):
    hub.repositories["org/m"] = Repository(private=True)


def nothing(hub):
    del hub


def page(hub):
    hub.faults.append(Fault(path=LISTING, status=200, body=b"<html>login</html>"))


def no_commit(hub):
    hub.faults.append(Fault(path=LISTING, status=200, body=b'{"id":"org/m"}'))


def status(code):
    return lambda hub: hub.faults.append(Fault(path=LISTING, status=code, times=-1))


class TestRefusals:
    """Each says what, which, who refused, and what to do."""

    @pytest.mark.parametrize(
        ("source", "prepare", "kind", "message", "hint"),
        [
            pytest.param(
                "org/nothing",
                nothing,
                NotAuthorised,
                "cannot list org/nothing@main: the Hub refused (HTTP 401): org/nothing is private or not there",
                "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it",
                id="unknown repository",
            ),
            pytest.param(
                "org/m",
                private,
                NotAuthorised,
                "cannot list org/m@main: the Hub refused (HTTP 401): org/m is private or not there",
                "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it",
                id="private",
            ),
            pytest.param(
                "org/m@v9",
                nothing,
                NotFoundOrRefused,
                "cannot list org/m@v9: the Hub has no revision 'v9' of org/m",
                "see {hub}/org/m/commits for branches, tags and commits",
                id="unknown revision",
            ),
            pytest.param(
                "org/a..b",
                nothing,
                InvalidInput,
                "cannot list org/a..b@main: Cannot have -- or .. in repo_id: 'org/a..b'.",
                "a repository is written ORG/NAME[@REVISION]",
                id="no name of a repository",
            ),
            pytest.param(
                "org/m",
                page,
                NetworkGaveUp,
                "cannot list org/m@main: {hub} gave an answer that is not the Hub's (JSONDecodeError)",
                "check HF_ENDPOINT and the proxy",
                id="a login page",
            ),
            pytest.param(
                "org/m",
                no_commit,
                NetworkGaveUp,
                "cannot list org/m@main: the Hub named no commit",
                None,
                id="no commit",
            ),
            pytest.param(
                "org/m",
                status(403),
                NotAuthorised,
                "cannot list org/m@main: the Hub refused (HTTP 403): org/m is private or not there",
                "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it",
                id="forbidden",
            ),
            pytest.param(
                "org/m",
                status(410),
                NotFoundOrRefused,
                "cannot list org/m@main: the Hub answered HTTP 410",
                None,
                id="some other answer",
            ),
        ],
    )
    def test_listing(self, hub, commit, source, prepare, kind, message, hint):  # noqa: PLR0917  the table's columns
        """Of the listing, which is asked once."""
        del commit
        prepare(hub)
        with pytest.raises(ModelcarError) as caught:
            listing(open_source(source))
        assert (type(caught.value), caught.value.message, caught.value.hint) == (
            kind,
            message.format(hub=hub.url),
            hint and hint.format(hub=hub.url),
        )
        assert len(hub.requests(LISTING)) <= 1

    @pytest.mark.parametrize(
        ("token", "message", "hint"),
        [
            pytest.param(
                "hf_unknown",
                "cannot list org/m@main: the Hub refused (HTTP 401): org/m is private or not there",
                "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it"
                " (the one set was refused)",
                id="unknown",
            ),
            pytest.param(
                "hf_other",
                "cannot list org/m@main: the Hub has no repository org/m",
                "check the name (a folder is written ./NAME), and whether HF_TOKEN may read it",
                id="of somebody else",
            ),
        ],
    )
    @pytest.mark.usefixtures("commit")
    def test_token(self, hub, monkeypatch, token, message, hint):
        """A token that does not open a private repository; the token itself is not said."""
        hub.tokens.add("hf_other")
        private(hub)
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(ModelcarError) as caught:
            listing()
        assert (caught.value.message, caught.value.hint) == (message, hint)

    def test_gated(self, hub, commit):
        """Anybody may list it; its files are for who accepted the terms."""
        del commit
        gated(hub)
        source, file = opened(hub, "config.json")
        with pytest.raises(NotAuthorised) as caught:
            source.read(file, 0, 2)
        assert (caught.value.message, caught.value.hint) == (
            "cannot read config.json of org/m@main: the Hub says that the repository is gated",
            f"accept its terms at {hub.url}/org/m, then set HF_TOKEN",
        )

    def test_a_file_that_is_gone(self, hub, commit):
        """A Hub that lost what it listed."""
        del commit
        source, _ = opened(hub, "config.json")
        with pytest.raises(NotFoundOrRefused) as caught:
            list(source.chunks(ModelFile("nothing.json", 5)))
        assert caught.value.message == "cannot read nothing.json of org/m@main: the Hub has no such file at this commit"

    def test_nobody_there(self, hub, monkeypatch, waits):
        """A closed port stays closed: said at once."""
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")
        del hub
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert (caught.value.message, caught.value.hint, waits) == (
            "cannot list org/m@main: http://127.0.0.1:1 did not answer ([Errno 111] Connection refused)",
            "check the network and HF_ENDPOINT",
            [],
        )

    def test_offline(self, hub, commit, monkeypatch):
        """The client's own switch."""
        del hub, commit
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert (caught.value.message, caught.value.hint) == (
            "cannot list org/m@main: HF_HUB_OFFLINE is set",
            "unset it, or push a folder",
        )


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
        """As long as bytes come, it goes on."""
        del commit, waits
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="response-content", cut_after=400_000, times=7))
        assert b"".join(source.chunks(file)) == WEIGHTS

    def test_cut_again_and_again(self, hub, commit, waits):
        """Without a new byte five times are enough, further and further apart."""
        del commit
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path="response-content", cut_after=0, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            list(source.chunks(file))
        assert "cannot read w.safetensors of org/m@main" in caught.value.message
        assert (len(hub.cdn_log), len(waits)) == (5, 4)
        assert all(wait <= 0.5 * 2**number for number, wait in enumerate(waits))

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
        ("after", "requests"), [pytest.param("301", 1, id="too long"), pytest.param("1", 5, id="for ever")]
    )
    def test_too_busy(self, hub, commit, waits, after, requests):
        """Nobody waits for hours."""
        del commit, waits
        hub.faults.append(Fault(path="/revision/", status=429, headers={"Retry-After": after}, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert (caught.value.message, caught.value.hint) == (
            "cannot list org/m@main: the Hub answered HTTP 429",
            "try again later",
        )
        assert len(hub.requests("/revision/")) == requests

    @pytest.mark.parametrize("promised", [len(WEIGHTS) - 1, len(WEIGHTS) + 1])
    def test_other_size(self, hub, commit, promised):
        """More or less than was listed is another file; what is too much is not handed on."""
        del commit
        source, file = opened(hub, "w.safetensors")
        given = []
        with pytest.raises(IntegrityFailure) as caught:
            given.extend(len(chunk) for chunk in source.chunks(ModelFile(file.path, promised)))
        assert caught.value.message == (
            f"w.safetensors of org/m@main is {len(WEIGHTS)} bytes where the Hub promised {promised}"
        )
        assert sum(given) <= promised


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
