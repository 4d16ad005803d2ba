"""Tests of a repository of the Hub as a source: what is listed, and what is refused."""

import hashlib

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
from kubectl_modelcar.source import Origin, open_source
from tests.fakes.hub import Repository
from tests.fakes.registry import Fault
from tests.source.hub_model import FILES, LISTING, WEIGHTS, listing, opened


class TestListing:
    """What is taken, and of which commit."""

    def test_files(self, hub, commit):
        """With sizes, the sha256 of what is in LFS, and git's own name of the rest."""
        del hub, commit
        found = listing()
        assert found.files == (
            ModelFile("README.md", 7, git="ace46416279e601fc30ce98cb975978d5194c0db"),
            ModelFile("config.json", 2, git="9e26dfeeb6e641a33dae4961196235bdb965b21b"),
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
        """Tells no date: that of the repository moves on, and would make another image of the same commit."""
        del commit
        hub.faults.append(Fault(path="/commits/", status=404))
        assert listing().origin.created is None

    @pytest.mark.parametrize("date", ["yesterday", "2025-06-01", "2025-06-01T12:00:00+02:00", ""])
    def test_a_date_of_another_form(self, hub, date):
        """Is none: no runtime starts an image with it."""
        hub.commit("org/m", FILES, date=date)
        assert listing().origin.created is None

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

    def test_stamps(self, hub, commit):
        """By content where the Hub tells it, by commit where it does not."""
        source = open_source("org/m")
        readme, _, weights = listing(source).files
        assert (source.stamp(readme), source.stamp(weights)) == (readme.git, weights.sha256)
        assert source.stamp(ModelFile("x", 1)) == f"org/m@{commit}"
        assert hub.cdn_log == []

    def test_two_requests(self, hub, commit):
        """The files, and the commit's date."""
        listing()
        assert [request.path for request in hub.log] == [
            "/api/models/org/m/revision/main?blobs=true",
            f"/api/models/org/m/commits/{commit}",
        ]

    def test_a_history_that_is_busy(self, hub, commit, waits):
        """Is asked again: another date would be another image."""
        del commit
        hub.faults.append(Fault(path="/commits/", status=503, times=2))
        assert (listing().origin.created, len(waits)) == ("2025-06-01T12:00:00Z", 2)

    def test_a_mirror_s_digests(self, hub, commit):
        """ETags tell them where the listing does not."""
        del commit
        told = listing().files
        hub.tells_sizes = False
        assert listing().files == told

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


def no_revision(hub):
    hub.faults.append(Fault(path=LISTING, status=404, headers={"X-Error-Code": "RevisionNotFound"}))


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
                "check HF_ENDPOINT and the proxy",
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
                "check HF_ENDPOINT and the proxy",
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
            hint.format(hub=hub.url),
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

    @pytest.mark.parametrize(
        ("prepare", "said"),
        [
            pytest.param(page, "{hub} gave an answer that is not the Hub's", id="message"),
            pytest.param(no_revision, "see {hub}/org/m/commits", id="hint"),
            pytest.param(status(410), "the Hub answered HTTP 410", id="who it was"),
        ],
    )
    @pytest.mark.usefixtures("commit")
    def test_a_password_in_the_endpoint(self, hub, monkeypatch, prepare, said):
        """Is not said, whatever is in it; the place is."""
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url.replace("//", "//me:can@ary@"))
        prepare(hub)
        with pytest.raises(ModelcarError) as caught:
            listing()
        error = f"{caught.value.message}\n{caught.value.hint}"
        assert (said.format(hub=hub.url) in error, "ary" in error) == (True, False)

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
