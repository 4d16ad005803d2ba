"""Tests of what `push` says to bad input: one error line, one hint, the exit code, and nothing half-made."""

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.fakes.hub import TOKEN, Repository
from tests.fakes.registry import Fault
from tests.real.models import MODEL, SHARDS, write
from tests.source.weights import index, weights

pytestmark = pytest.mark.usefixtures("here")

NOBODY = 65534
REFERENCE = "write it as HOST/REPO[:TAG] (for example quay.io/me/granite:1) or oci:FOLDER[:TAG]"
SOURCE = "write it as ORG/NAME[@REVISION] for the Hub, or as ./FOLDER or /FOLDER"
A_HUB_REPOSITORY = "a Hub repository is written ORG/NAME or hf://ORG/NAME"
DIGEST = f"sha256:{64 * '0'}"


@pytest.fixture
def image(registry):
    """Name an image; afterwards nothing was published."""
    yield f"{registry.host}/org/m:1"
    assert registry.tags == {}


class TestWhatWasTyped:
    """Exit code 2, before anything is asked."""

    @pytest.mark.parametrize(
        ("text", "error", "hint"),
        [
            pytest.param("", "image '' does not name its registry", REFERENCE, id="empty"),
            pytest.param("granite", "image 'granite' does not name its registry", REFERENCE, id="no registry"),
            pytest.param(
                "org/granite:1", "image 'org/granite:1' does not name its registry", REFERENCE, id="Docker Hub"
            ),
            pytest.param(
                "quay.io/Me:1", "image 'quay.io/Me:1' is not valid: repository 'Me'", REFERENCE, id="upper case"
            ),
            pytest.param("quay.io/m:!", "image 'quay.io/m:!' is not valid: tag '!'", REFERENCE, id="tag"),
            pytest.param(
                "quay.io:x/M:!@sha256:1",
                "image 'quay.io:x/M:!@sha256:1' is not valid: "
                "host 'quay.io:x', repository 'M', tag '!', digest 'sha256:1'",
                REFERENCE,
                id="all at once",
            ),
            pytest.param("oci:", "image 'oci:' is not valid: the folder is missing", REFERENCE, id="no folder"),
            pytest.param("oci:x:!", "image 'oci:x:!' is not valid: tag '!'", REFERENCE, id="tag of a layout"),
            pytest.param(
                f"quay.io/m@{DIGEST}",
                f"cannot push to quay.io/m@{DIGEST}: a digest is what a push gives",
                "name a tag: HOST/REPO:TAG",
                id="digest",
            ),
        ],
    )
    def test_image(self, refused, text, error, hint):
        """Says which part is wrong, and how to write it."""
        assert refused("push", "./model", text) == (2, error, hint)

    @pytest.mark.parametrize(
        ("arguments", "error", "hint"),
        [
            pytest.param(("",), "source '' is neither a folder nor a repository of the Hub", SOURCE, id="empty"),
            pytest.param(
                ("a/b/c",), "source 'a/b/c' is neither a folder nor a repository of the Hub", SOURCE, id="path"
            ),
            pytest.param(
                ("model",),
                "source 'model' is neither a folder nor a repository of the Hub",
                "for the folder that is here write ./model",
                id="folder without ./",
            ),
            pytest.param(
                ("./model", "--revision", "v1"),
                "--revision v1 makes no sense for the folder './model'",
                SOURCE,
                id="revision of a folder",
            ),
        ],
    )
    def test_source(self, refused, image, arguments, error, hint):
        """Says what a source can be."""
        source, *options = arguments
        assert refused("push", source, image, *options) == (2, error, hint)

    @pytest.mark.parametrize(
        ("options", "error", "hint"),
        [
            pytest.param(
                ("--platform", "linux"),
                "platform 'linux' is not OS/ARCHITECTURE[/VARIANT]",
                "for example linux/amd64 or linux/arm64",
                id="platform",
            ),
            pytest.param(
                ("--include", ""),
                "an empty pattern was given",
                "quote patterns for the shell: --include '*.safetensors'",
                id="pattern",
            ),
            pytest.param(
                ("--jobs", "0"),
                "Invalid value for '--jobs': 0 is not in the range 1<=x<=64.",
                "kubectl modelcar push --help shows what it takes",
                id="jobs",
            ),
            pytest.param(
                ("--revision", "v2"),
                "two revisions were given: v1 and --revision v2",
                "keep one of them",
                id="two revisions",
            ),
            pytest.param(("--base", "ubi"), "image 'ubi' does not name its registry", REFERENCE, id="base"),
        ],
    )
    def test_options(self, refused, image, options, error, hint):
        """Says which one."""
        source = "org/tiny@v1" if "--revision" in options else "./model"
        assert refused("push", source, image, "--plain-http", *options) == (2, error, hint)

    def test_source_date_epoch(self, refused, image, monkeypatch):
        """Is a number."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
        assert refused("push", "./model", image, "--plain-http") == (
            2,
            "SOURCE_DATE_EPOCH='today' is not a number of seconds",
            "unset it, or correct it",
        )

    def test_missing_argument(self, refused):
        """Says which one."""
        assert refused("push", "./model") == (
            2,
            "Missing argument 'IMAGE'.",
            "kubectl modelcar push --help shows what it takes",
        )


class TestFolder:
    @pytest.mark.parametrize(
        ("files", "options", "expected"),
        [
            pytest.param(None, (), (7, "source 'made' does not exist", A_HUB_REPOSITORY), id="not there"),
            pytest.param(
                MODEL,
                ("--include", "*.gguf,*.bin", "--exclude", "x*"),
                (
                    4,
                    "no file of folder made matches *.gguf, *.bin less x*",
                    "see what is there, then choose with --include and --exclude",
                ),
                id="nothing selected",
            ),
            pytest.param(
                {
                    "model.safetensors.index.json": index("a.safetensors", "b.safetensors"),
                    "a.safetensors": weights(200),
                },
                (),
                (
                    6,
                    "model.safetensors.index.json of made names 1 of 2 shards that are not there: b.safetensors",
                    "complete the download, or check --include and --exclude",
                ),
                id="missing shard",
            ),
            pytest.param(
                {"a.safetensors": weights(200)[:150]},
                (),
                (
                    6,
                    "a.safetensors is not a whole safetensors file: its tensors end at 200 of 150 bytes",
                    "download it again, or leave it out with --exclude",
                ),
                id="cut weights",
            ),
            pytest.param(
                {"a.safetensors": weights(200), "vocab.txt": b"\x80\x04."},
                (),
                (
                    4,
                    "vocab.txt is a pickle: loading it can run code",
                    "leave it out with --exclude, or accept it with --allow-unsafe",
                ),
                id="pickle",
            ),
        ],
    )
    def test_refused(self, refused, image, files, options, expected):
        """Says what is wrong with it."""
        if files:
            write(Path("made"), files)
        assert refused("push", "./made", image, "--plain-http", *options) == expected

    def test_file(self, refused, image):
        """A file is no folder."""
        expected = (7, "source 'model/config.json' is not a folder", A_HUB_REPOSITORY)
        assert refused("push", "./model/config.json", image, "--plain-http") == expected

    def test_link_outside(self, refused, image):
        """What it leads to was not put there by whoever filled the folder."""
        Path("model/generation_config.json").symlink_to("/etc/hostname")
        assert refused("push", "./model", image, "--plain-http") == (
            6,
            f"model/generation_config.json is a link to {Path('/etc/hostname').resolve()}, outside the folder",
            "copy the file, or leave it out with --exclude",
        )

    @pytest.mark.parametrize("path", ["tokenizer.json", "papers"], ids=["file", "folder"])
    def test_unreadable(self, refused, invoke, image, registry, open_model, path):  # noqa: PLR0917  by name
        """Says which, and what the system says."""
        assert invoke("push", open_model, image, "--plain-http", "-q").code == 0  # loads what nobody may read
        registry.tags.clear()
        (open_model / path).chmod(0)
        with not_as_root():
            found = refused("push", open_model, image, "--plain-http")
        (open_model / path).chmod(0o755)
        assert found == (
            7,
            f"cannot read {open_model / path}: Permission denied",
            "check the file's permissions, or leave it out with --exclude",
        )


@pytest.fixture
def open_model(monkeypatch):
    """Write the model, and have a home, where everybody may read: pytest's folders are their owner's alone."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, f"{folder}/home")
        yield write(Path(folder, "model"))


@contextmanager
def not_as_root():
    """Be nobody for a while: root may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


class TestHub:
    @pytest.fixture(autouse=True)
    def repositories(self, hub):
        hub.commit("org/tiny", MODEL)
        hub.repositories["org/secret"] = Repository(private=True)
        hub.commit("org/secret", MODEL)
        hub.repositories["org/gated"] = Repository(gated=True, readers=frozenset())
        hub.commit("org/gated", MODEL)

    @pytest.mark.parametrize("repository", ["org/nothing", "org/secret"])
    def test_unknown_to_anybody(self, refused, image, repository):
        """The Hub does not tell strangers what is private and what is not there."""
        assert refused("push", repository, image, "--plain-http") == (
            3,
            f"cannot list {repository}@main: the Hub refused (HTTP 401): {repository} is private or not there",
            "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it",
        )

    def test_unknown_to_a_user(self, refused, image, monkeypatch):
        """A user is told."""
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert refused("push", "org/nothing", image, "--plain-http") == (
            4,
            "cannot list org/nothing@main: the Hub has no repository org/nothing",
            "check the name (a folder is written ./NAME), and whether HF_TOKEN may read it",
        )

    def test_gated(self, refused, image, hub, monkeypatch):
        """Where to accept the terms."""
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        code, error, hint = refused("push", "org/gated", image, "--plain-http")
        assert (code, hint) == (
            3,
            f"accept its terms at {hub.url}/org/gated, with the account of the token that is set",
        )
        assert error.endswith("of org/gated@main: the Hub says that the repository is gated")

    @pytest.mark.parametrize("arguments", [("org/tiny@v9",), ("org/tiny", "--revision", "v9")], ids=" ".join)
    def test_unknown_revision(self, refused, image, hub, arguments):
        """Where to see them."""
        source, *options = arguments
        assert refused("push", source, image, "--plain-http", *options) == (
            4,
            "cannot list org/tiny@v9: the Hub has no revision 'v9' of org/tiny",
            f"see {hub.url}/org/tiny/commits for branches, tags and commits",
        )

    def test_nothing_selected(self, refused, image):
        """Says where, and by which patterns."""
        assert refused("push", "org/tiny", image, "--plain-http", "--include", "*.gguf") == (
            4,
            "no file of org/tiny@main matches *.gguf",
            "see what is there, then choose with --include and --exclude",
        )

    def test_other_bytes(self, refused, image, hub):
        """Than the Hub promised: nothing is published."""
        promised = hashlib.sha256(MODEL[SHARDS[1]]).hexdigest()
        hub.faults.append(Fault(path=f"^/{promised}", times=-1, corrupt_at=299_000))
        code, error, hint = refused("push", "org/tiny", image, "--plain-http")
        assert (code, hint.partition(";")[0]) == (6, "nothing was published")
        assert error.startswith(f"{SHARDS[1]} is not what its origin promised: it has sha256 ")
        assert error.endswith(f" where {promised} was expected")
