"""Tests of what SOURCE means."""

from pathlib import Path

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.source import FolderSource, open_source

HINT = "write it as ORG/NAME[@REVISION] for the Hub, or as ./FOLDER or /FOLDER"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TestFolders:
    """What looks like a path is a folder."""

    @pytest.mark.parametrize("text", ["/srv/m", "./m", "../m", ".", ".."])
    def test_path(self, text):
        """Whether it is there or not is for later."""
        source = open_source(text)
        assert (type(source), str(source)) == (FolderSource, str(Path(text)))

    def test_home(self, sealed):
        """A quoted tilde is not the shell's to expand."""
        assert str(open_source("~/m")) == str(sealed / "m")

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            pytest.param({"revision": "main"}, "--revision main", id="revision"),
            pytest.param({"spool": True}, "--spool", id="spool"),
        ],
    )
    def test_options_of_the_hub(self, options, said):
        """A folder has no revisions, and is on the disk already."""
        with pytest.raises(InvalidInput) as caught:
            open_source("./m", **options)
        assert (caught.value.message, caught.value.hint) == (f"{said} makes no sense for the folder './m'", HINT)


class TestHub:
    """What looks like a name is a repository."""

    @pytest.mark.parametrize(
        ("text", "revision", "expected"),
        [
            pytest.param("ibm-granite/granite-4.0-micro", None, "ibm-granite/granite-4.0-micro@main", id="name"),
            pytest.param("org/m@v1.0", None, "org/m@v1.0", id="tag"),
            pytest.param(f"org/m@{COMMIT}", None, f"org/m@{COMMIT}", id="commit"),
            pytest.param("org/m@refs/pr/1", None, "org/m@refs/pr/1", id="pull request"),
            pytest.param("org/m", "v1", "org/m@v1", id="option"),
            pytest.param("org/m@v1", "v1", "org/m@v1", id="twice the same"),
            pytest.param("hf://org/m", None, "org/m@main", id="scheme"),
            pytest.param("hf://gpt2@main", None, "gpt2@main", id="scheme and no organisation"),
        ],
    )
    def test_repository(self, text, revision, expected):
        """With the revision that was given, wherever it was given."""
        assert str(open_source(text, revision=revision)) == expected

    def test_two_revisions(self):
        """One of them is a mistake."""
        with pytest.raises(InvalidInput) as caught:
            open_source("org/m@v1", revision="v2")
        assert caught.value.message == "two revisions were given: v1 and --revision v2"


class TestEndpoint:
    """HF_ENDPOINT, which may hold a password."""

    @pytest.mark.parametrize(
        "endpoint",
        [
            pytest.param("http://me:can/ary@127.0.0.1:1", id="a slash in the password"),
            pytest.param("http://me:1234/ary@127.0.0.1:1", id="a slash after digits"),
            pytest.param("http://me:can#ary@127.0.0.1:1", id="a hash in the password"),
            pytest.param("http://me:canary@127.0.0.1:99999", id="a port that none is"),
            pytest.param("me:canary@127.0.0.1", id="no scheme"),
            pytest.param("http://", id="no host"),
            pytest.param("", id="empty"),
        ],
    )
    def test_no_url(self, endpoint, monkeypatch):
        """Is refused before the Hub's client, which reads it on its import, quotes a part of it."""
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        with pytest.raises(InvalidInput) as caught:
            open_source("org/m")
        assert (caught.value.message, caught.value.hint, caught.value.__cause__) == (
            "HF_ENDPOINT is no URL",
            "write it as https://HOST[:PORT], with %2F for a slash in a password and so on",
            None,
        )

    @pytest.mark.parametrize(
        "endpoint",
        ["https://huggingface.co", "http://[::1]:8080", "https://me:pass%2Fword@hub.example/", "http://h/mirror"],
    )
    def test_a_url(self, endpoint, monkeypatch):
        """Is taken, with a password as well."""
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        assert str(open_source("org/m")) == "org/m@main"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("granite", id="a bare name"),
        pytest.param("a/b/c", id="three parts"),
        pytest.param("org/m@", id="empty revision"),
        pytest.param("org/m@a@b", id="two revisions"),
        pytest.param("org/m@a b", id="space"),
        pytest.param("https://huggingface.co/org/m", id="page"),
        pytest.param("hf://", id="scheme alone"),
        pytest.param("org/-m", id="dash first"),
        pytest.param("org/m.", id="dot last"),
        pytest.param("org/m\n", id="newline"),
        pytest.param("org/" + "m" * 97, id="long"),
    ],
)
def test_neither(text):
    """How both are written is said."""
    with pytest.raises(InvalidInput) as caught:
        open_source(text)
    assert (caught.value.message, caught.value.hint) == (
        f"source {text!r} is neither a folder nor a repository of the Hub",
        HINT,
    )
