"""The Hub's rows of the fault matrix, H1 to H9, each through the command line where its exit code is promised."""

import json
import threading
import time
from itertools import chain

import pytest

from kubectl_modelcar.source import open_source
from tests.fakes.hub import TOKEN, Repository
from tests.fakes.registry import Fault
from tests.source.hub_model import listing, opened
from tests.source.weights import safetensors, tensor

SIZE = 4 * 2**20
SAFE = safetensors({"w": tensor(0, SIZE)}, bytes(range(256)) * (SIZE // 256))
MODEL = {"README.md": b"# Model", "config.json": b"{}", "w.safetensors": SAFE}
STORAGE = "response-content"
SOON = 2.0  # seconds in which what stays so is said


@pytest.fixture
def commit(hub):
    """A repository with one commit, whose weights have a header."""
    return hub.commit("org/m", MODEL)


@pytest.fixture
def layout(tmp_path):
    """The folder of an OCI layout that is not there yet."""
    return tmp_path / "layout"


@pytest.fixture
def push(invoke, layout):
    """Push a SOURCE to the layout and return exit code, stderr and whether it took at most two seconds."""

    def push(source="org/m", *options):
        started = time.monotonic()
        done = invoke("push", source, f"oci:{layout}:1", "-q", *options)
        return done.code, done.err, time.monotonic() - started <= SOON

    return push


def tags(layout):
    """What the layout's index names."""
    index = layout / "index.json"
    return [entry["digest"] for entry in json.loads(index.read_text())["manifests"]] if index.exists() else []


def private(hub, monkeypatch):
    del monkeypatch
    hub.repositories["org/m"].private = True


def private_to_others(hub, monkeypatch):
    private(hub, monkeypatch)
    hub.tokens.add("hf_other")
    monkeypatch.setenv("HF_TOKEN", "hf_other")


def gated(hub, monkeypatch):
    del monkeypatch
    hub.repositories["org/m"].gated = True


def gated_to_others(hub, monkeypatch):
    gated(hub, monkeypatch)
    hub.tokens.add("hf_other")
    monkeypatch.setenv("HF_TOKEN", "hf_other")


def file_lost(hub, monkeypatch):
    del monkeypatch
    hub.faults.append(Fault(path="/resolve/.*config", status=404, headers={"X-Error-Code": "EntryNotFound"}, times=-1))


def nothing(hub, monkeypatch):
    del hub, monkeypatch


@pytest.mark.usefixtures("commit")
class TestRefused:
    """Each refusal has words of its own, and is said at once."""

    @pytest.mark.parametrize(
        ("prepare", "message", "hint"),
        [
            pytest.param(
                private,
                "cannot list org/m@main: the Hub refused (HTTP 401): org/m is private or not there",
                "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it",
                id="401 without a token",
            ),
            pytest.param(
                gated,
                "cannot read README.md of org/m@main: the Hub says that the repository is gated",
                "accept its terms at {hub}/org/m, then set HF_TOKEN",
                id="401 gated",
            ),
            pytest.param(
                gated_to_others,
                "cannot read README.md of org/m@main: the Hub says that the repository is gated",
                "accept its terms at {hub}/org/m, with the account of the token that is set",
                id="403 gated",
            ),
        ],
    )
    def test_h1_not_authorised(self, hub, push, layout, monkeypatch, prepare, message, hint):  # noqa: PLR0917
        """Exit 3 within two seconds, nothing published, and no part of the token said."""
        prepare(hub, monkeypatch)
        assert push("org/m", "--jobs", "1") == (3, f"error: {message}\nhint: {hint.format(hub=hub.url)}\n", True)
        assert tags(layout) == []

    @pytest.mark.parametrize(
        ("source", "prepare", "message", "hint"),
        [
            pytest.param(
                "org/m",
                private_to_others,
                "cannot list org/m@main: the Hub has no repository org/m",
                "check the name (a folder is written ./NAME), and whether HF_TOKEN may read it",
                id="repository",
            ),
            pytest.param(
                "org/m@v9",
                nothing,
                "cannot list org/m@v9: the Hub has no revision 'v9' of org/m",
                "see {hub}/org/m/commits for branches, tags and commits",
                id="revision",
            ),
            pytest.param(
                "org/m",
                file_lost,
                "cannot read config.json of org/m@main: the Hub has no such file at this commit",
                "see {hub}/org/m/commits",
                id="file",
            ),
        ],
    )
    def test_h2_not_found(self, hub, push, layout, monkeypatch, source, prepare, message, hint):  # noqa: PLR0917
        """Exit 4, within two seconds too."""
        prepare(hub, monkeypatch)
        assert push(source) == (4, f"error: {message}\nhint: {hint.format(hub=hub.url)}\n", True)
        assert tags(layout) == []


class TestBusy:
    """A Hub that asks for patience."""

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"RateLimit": '"resolvers";r=0;t=1'}, id="the Hub's own header"),
            pytest.param({"Retry-After": "1"}, id="Retry-After"),
        ],
    )
    def test_h3_429_is_one_wait_for_all(self, hub, headers):
        """Who was not refused waits the same second, and what was read before is not read again."""
        shards = {f"{name}.safetensors": SAFE + name.encode() for name in "abc"}
        hub.commit("org/m", shards)
        source = open_source("org/m")
        done, *files = listing(source).files
        assert b"".join(source.chunks(done)) == shards[done.path]
        hub.log.clear()
        hub.arrivals.clear()
        hub.faults.append(Fault(path="/resolve/", status=429, headers=headers))
        read = {}

        def fetch(file):
            read[file.path] = b"".join(source.chunks(file))

        threads = [threading.Thread(target=fetch, args=(file,)) for file in files]
        threads[0].start()
        give_up = time.monotonic() + 5
        while not source.patience._not_before and time.monotonic() < give_up:
            time.sleep(0.01)
        threads[1].start()
        for thread in threads:
            thread.join()
        assert read == {file.path: shards[file.path] for file in files}
        assert [request.status for request in hub.log] == [429, 302, 302]
        assert not [request for request in hub.log if done.path in request.path]
        refused, *later = hub.arrivals
        assert (min(later) - refused >= 0.95, max(later) - refused < 2) == (True, True)


class TestBroken:
    """Bytes that do not come, or come wrong."""

    @pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
    @pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
    def test_h4_truncated(self, hub, commit, waits, part, chunked):
        """Resumed by Range; at most 1 MiB is read twice."""
        del commit, waits
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path=STORAGE, cut_after=int(len(SAFE) * part), chunked=chunked))
        assert b"".join(source.chunks(file)) == SAFE
        assert len(hub.cdn_log) == 2
        assert hub.cdn_log[1].headers["range"].startswith("bytes=")
        assert 0 <= sum(request.sent for request in hub.cdn_log) - len(SAFE) <= 2**20

    @pytest.fixture
    def large(self, hub):
        """Weights that are sent as they are read; a layer up to 32 MiB would be made in memory first."""
        weights = safetensors({"w": tensor(0, 33 << 20)}, bytes(33 << 20))
        hub.commit("org/m", MODEL | {"w.safetensors": weights})
        return len(weights)

    @pytest.mark.parametrize("option", [(), ("--spool",)], ids=["streamed", "spooled"])
    def test_h5_other_bytes_once(self, hub, large, push, option):
        """The file is read once more, and all is well."""
        hub.faults.append(Fault(path=STORAGE, corrupt_at=100_000, after=1))  # the first one is the header's
        code, error, _ = push("org/m", *option)
        assert (code, error) == (0, "")
        assert [request.sent for request in hub.cdn_log][1:] == [large] * 2

    @pytest.mark.parametrize("option", [(), ("--spool",)], ids=["streamed", "spooled"])
    def test_h5_other_bytes_for_ever(self, hub, large, push, layout, option):
        """One retry, then exit 6 with the file's name; nothing was published."""
        hub.faults.append(Fault(path=STORAGE, corrupt_at=100_000, times=-1))
        code, error, _ = push("org/m", *option)
        assert (code, "w.safetensors" in error, "sha256" in error, tags(layout)) == (6, True, True, [])
        assert [request.sent for request in hub.cdn_log][1:] == [large] * 2

    def test_h6_the_revision_moves(self, hub, commit, push, layout):
        """All files are of the commit that was listed."""
        hub.after_listing = lambda: hub.commit("org/m", {**MODEL, "config.json": b"[]"})
        assert push()[0] == 0
        asked = {request.path.split("/resolve/")[1].split("/")[0] for request in hub.requests("/resolve/")}
        assert (asked, len(tags(layout))) == ({commit}, 1)

    def test_h9_a_shard_is_missing(self, hub, push, layout):
        """Exit 6 with the shard's name, before any weights are read."""
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
        files = {"model.safetensors.index.json": json.dumps(index).encode(), "model-00001-of-00002.safetensors": SAFE}
        commit = hub.commit("org/m", MODEL | files)
        code, error, soon = push()
        assert (code, soon) == (6, True)
        assert error == (
            f"error: model.safetensors.index.json of hf://org/m@{commit} names 1 of 2 shards that are not there:"
            " model-00002-of-00002.safetensors\nhint: complete the download, or check --include and --exclude\n"
        )
        assert (hub.cdn_log, tags(layout)) == ([], [])


class TestNames:
    """Names that would leave their folder, or that no folder can hold."""

    @pytest.mark.parametrize(
        ("names", "problem"),
        [
            pytest.param(["../x.json"], "'../x.json' leaves its folder", id="parent"),
            pytest.param(["a/../../x.json"], "'a/../../x.json' leaves its folder", id="parent further down"),
            pytest.param(["a//x.json"], "'a//x.json' leaves its folder", id="nothing between"),
            pytest.param(["/etc/x.json"], "'/etc/x.json' is absolute", id="absolute"),
            pytest.param(["a\0.json"], r"'a\x00.json' holds a backslash or control characters", id="NUL"),
            pytest.param([r"a\..\x.json"], r"'a\\..\\x.json' holds a backslash or control characters", id="backslash"),
            pytest.param(["a\x1b[2J.json"], r"'a\x1b[2J.json' holds a backslash or control characters", id="escape"),
            pytest.param(["a\x9b2J.json"], r"'a\x9b2J.json' holds a backslash or control characters", id="C1"),
            pytest.param(["a\n.json"], r"'a\n.json' holds a backslash or control characters", id="newline"),
            pytest.param(["A.json", "a.json"], "'a.json' and 'A.json' differ in case only", id="case"),
            pytest.param(["n" * 300 + ".json"], "has a part over 255 bytes", id="300 characters"),
        ],
    )
    def test_h7_of_the_hub(self, hub, push, layout, names, problem):
        """Exit 6 before any file is read; the name is shown, not obeyed."""
        hub.commit("org/m", MODEL | dict.fromkeys(names, b"{}"))
        code, error, soon = push("org/m", "--include", "*")
        assert (code, problem in error, soon) == (6, True, True)
        assert [line.isprintable() for line in error.splitlines()] == [True, True]  # the error and its hint
        assert (hub.requests("/resolve/"), tags(layout)) == ([], [])

    def test_h7_link_out_of_the_folder(self, push, layout, tmp_path):
        """Of a folder, where links are what a hostile repository has."""
        model = tmp_path / "model"
        model.mkdir()
        (tmp_path / "secret").write_bytes(b"key")
        (model / "config.json").symlink_to(tmp_path / "secret")
        code, error, soon = push(model)
        assert (code, f"is a link to {tmp_path / 'secret'}, outside the folder" in error, soon) == (6, True, True)
        assert tags(layout) == []


class TestToken:
    """The token is for the Hub alone."""

    @pytest.mark.parametrize("option", [(), ("--spool",)], ids=["streamed", "spooled"])
    def test_h8_never_at_the_storage(self, hub, push, monkeypatch, option):
        """Every request to the Hub has it, none to the storage."""
        hub.repositories["org/m"] = Repository(private=True)
        hub.commit("org/m", MODEL)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert push("org/m", *option)[:2] == (0, "")
        assert {request.headers.get("authorization") for request in hub.requests("org/m")} == {f"Bearer {TOKEN}"}
        assert hub.cdn_log
        assert not [request for request in hub.cdn_log if TOKEN in str(request)]
        assert not [request for request in chain(hub.log, hub.cdn_log) if TOKEN in request.path]
