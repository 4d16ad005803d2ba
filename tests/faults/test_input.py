"""What cannot be meant: every option's nonsense is exit code 2 (or that of a missing file), in a sentence, at once."""

import pytest

from tests.faults.program import model

BYTES = b"\xff\xfe".decode("utf-8", "surrogateescape")  # what an argument that is not UTF-8 becomes
OPTIONS = {
    "--tag": ["", "a b", "../x", "-x", "x" * 129, "sha256:1", BYTES, "\n", "a\n"],
    "--label": [
        "",
        "=",
        "=x",
        "a",
        " a=b",
        f"k={BYTES}",
        f"{BYTES}=k",
        "io.github.kubectl-modelcar.recipe=7",
        "\x1b=a",
    ],
    "--annotation": [
        "",
        "=",
        "=x",
        "a",
        " a=b",
        f"k={BYTES}",
        f"{BYTES}=k",
        "io.github.kubectl-modelcar.files=[]",
        "\n=a",
    ],
    "--platform": [
        "",
        "linux",
        "linux/",
        "/",
        "a/b/c/d",
        "LINUX/amd64",
        "linux/x86_64",
        "linux/amd64,linux/amd64",
        BYTES,
    ],
    "--format": ["", "x", "artifact,image", BYTES],
    "--jobs": ["0", "-1", "65", "x", "1e3", ""],
    "--include": [""],
    "--exclude": [""],
    "--base": ["", "none ", "/opt", BYTES, "[::1/a/b"],
    "--revision": ["main"],  # of a folder
}
SOURCES = ["", " ", "\n", "hf://", "hf://a/b/c", "a/b@", "oci:", "oci::", "oci:x:", f"hf://{BYTES}", "a/b/c/d"]
IMAGES = [
    "",
    BYTES,
    "HOST/Upper:1",
    "a.b/c:",
    "a.b/c@sha256:0",
    "a.b:99999/c:1",
    "a..b/c:1",
    "user:pw@a.b/c:1",
    "oci:",
    "[::1/a:1",
]
EPOCHS = ["x", "-1", "1e5", "9" * 20, "9" * 5000, "253402300800", "٣"]
REFUSED_BY_COPY = [
    "--label",
    "--annotation",
    "--platform",
    "--format",
    "--base",
    "--revision",
    "--include",
    "--exclude",
]


class TestNonsense:
    @pytest.fixture
    def refused(self, invoke, registry, tmp_path):
        """Give a function that runs a push that must be refused before anybody is asked; it returns the error."""
        folder = model(tmp_path / "model", 1, 20_000)

        def refused(*options, source=folder, image=None):
            done = invoke("push", source, image or f"{registry.host}/org/m:1", *options, "--plain-http", "-q")
            assert (done.code, done.out, registry.log) == (2, "", []), done.err
            error, hint = done.err.splitlines()
            assert (error[:7], hint[:6], "\x1b" in done.err) == ("error: ", "hint: ", False)
            return error

        return refused

    @pytest.mark.parametrize(
        ("option", "value"), [(option, value) for option, values in OPTIONS.items() for value in values]
    )
    def test_option(self, refused, option, value):
        """Nothing is asked of the registry."""
        assert refused(option, value) != ""

    @pytest.mark.parametrize("source", SOURCES)
    def test_source(self, refused, source):
        """What is neither a folder, nor a repository, nor a layout."""
        assert refused(source=source) != ""

    @pytest.mark.parametrize("image", IMAGES[1:])
    def test_image(self, refused, image):
        """What names no image."""
        assert refused(image=image) != ""

    @pytest.mark.parametrize("seconds", EPOCHS)
    def test_epoch(self, refused, monkeypatch, seconds):
        """A time that is no number of seconds, or that RFC 3339 cannot write."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
        assert "SOURCE_DATE_EPOCH" in refused()

    @pytest.mark.parametrize("option", [*REFUSED_BY_COPY, "--dry-run", "--spool", "--allow-unsafe"])
    def test_copy(self, refused, invoke, tmp_path, option):
        """An image is copied as it is: what would change it is refused."""
        layout = f"oci:{tmp_path}/layout:1"
        assert invoke("push", tmp_path / "model", layout, "-q").code == 0
        values = {"--label": "a=b", "--annotation": "a=b", "--platform": "linux/arm64", "--format": "image"}
        value = [] if option in ("--dry-run", "--spool", "--allow-unsafe") else [values.get(option, "none")]
        assert option in refused(option, *value, source=layout)

    @pytest.mark.parametrize("options", [("--format", "artifact", "--base", "none"), ("--spool",)], ids=" ".join)
    def test_together(self, refused, options):
        """Options that exclude each other, or the source."""
        assert options[-2:][0] in refused(*options) or options[0] in refused(*options)

    @pytest.mark.parametrize("place", ["layout", "registry that is not there"])
    def test_dry_run(self, invoke, tmp_path, place):
        """Says what would be; asks nobody and writes nothing."""
        image = f"oci:{tmp_path}/layout:1" if place == "layout" else "127.0.0.1:1/a/b:1"
        done = invoke("push", model(tmp_path / "model", 1, 20_000), image, "--dry-run", "-q")
        assert (done.code, done.err, (tmp_path / "layout").exists()) == (0, "", False)
