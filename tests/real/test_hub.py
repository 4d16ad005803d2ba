"""The real huggingface_hub client, in a process of its own, pushes from a Hub on loopback to a real registry."""

import hashlib
import json
import random
import subprocess
import sys

import pytest

from tests.fakes.hub import TOKEN, Repository
from tests.real.models import MODEL, tree
from tests.source.test_spool import UPLOAD
from tests.source.weights import safetensors, tensor

pytestmark = pytest.mark.real

NAME = "org/tiny-chat"
LARGE = 64 << 20  # bytes; from here a file is a layer of its own
MOST = 350 << 20  # bytes of memory; 260 MiB were seen, and 570 without bounds on a machine of 24 GB
DATE = "2025-03-04T05:06:07.000Z"


@pytest.fixture
def commit(hub):
    """Have a repository with one commit; return its sha."""
    hub.repositories[NAME] = Repository(card={"license": "apache-2.0"})
    return hub.commit(NAME, {**MODEL, "pytorch_model.bin": b"\x80\x04pickle", ".gitattributes": b"*\n"}, date=DATE)


@pytest.fixture
def push(invoke_process, plain, request):
    """Give a function that pushes a SOURCE and returns what `-o json` said, after checking that it went well."""
    image = f"{plain.host}/hub/{request.node.name.replace('_', '-')}:1"

    def push(source, *options, **environment):
        done = invoke_process("push", source, image, "--plain-http", "-q", "-o", "json", *options, **environment)
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    return push


def move(hub):
    """Move the branch to a commit with other weights."""
    hub.commit(NAME, {**MODEL, "config.json": b"{}"}, date="2026-01-01T00:00:00.000Z")


class TestPinnedCommit:
    def test_annotations(self, push, commit, crane):
        """The manifest holds source, commit, its date and the licence."""
        said = push(f"{NAME}@{commit}")
        annotations = json.loads(crane("manifest", said["reference"]))["annotations"]
        del annotations["org.opencontainers.image.base.name"], annotations["org.opencontainers.image.base.digest"]
        assert annotations == {
            "io.github.kubectl-modelcar.recipe": "1",
            "org.opencontainers.image.created": "2025-03-04T05:06:07Z",
            "org.opencontainers.image.licenses": "apache-2.0",
            "org.opencontainers.image.revision": commit,
            "org.opencontainers.image.source": f"https://huggingface.co/{NAME}",
        }

    def test_files(self, push, commit, invoke, tmp_path):
        """Of that commit, without the pickle; byte for byte."""
        said = push(f"{NAME}@{commit}")
        assert said["source"] == {"repository": NAME, "commit": commit, "text": f"hf://{NAME}@{commit}"}
        assert said["leftOut"] == [".gitattributes", "pytorch_model.bin"]
        done = invoke("pull", said["reference"], tmp_path / "pulled", "--plain-http", "-q")
        assert (done.code, tree(tmp_path / "pulled")) == (0, dict(MODEL))

    def test_branch_that_moved_before(self, push, hub, commit):
        """Changes nothing: the same digest, by --revision too."""
        before = push(f"{NAME}@{commit}")
        move(hub)
        assert push(NAME, "--revision", commit)["digest"] == before["digest"]
        assert push(NAME)["digest"] != before["digest"]

    def test_branch_that_moves_meanwhile(self, push, hub, commit):
        """All files are of the commit that was listed."""
        before = push(f"{NAME}@{commit}")
        hub.after_listing = lambda: move(hub)
        during = push(f"hf://{NAME}@main")
        assert (during["digest"], during["source"]["commit"]) == (before["digest"], commit)

    def test_a_folder_with_the_same_files(self, push, commit, model):
        """Has the same layers: their digests say nothing of where the files are from."""
        of_hub, of_folder = push(f"{NAME}@{commit}"), push(model)
        digests = [[layer["digest"] for layer in said["layers"]] for said in (of_hub, of_folder)]
        assert digests[0] == digests[1]


class TestAgain:
    @pytest.fixture
    def large(self, hub):
        """Have weights that are a layer of their own."""
        hub.commit(NAME, {"model.safetensors": safetensors({"w": tensor(0, LARGE)}, bytes(LARGE))})

    def test_on_a_machine_that_never_saw_it(self, push, hub, large, tmp_path):
        """Two requests to the Hub, none to its storage, and nothing is sent: the image remembers."""
        del large
        first = push(NAME)
        hub.log.clear()
        hub.cdn_log.clear()
        again = push(NAME, XDG_CACHE_HOME=str(tmp_path / "other"))
        assert (again["digest"], again["bytesSent"]) == (first["digest"], 0)
        assert {layer["outcome"] for layer in again["layers"]} == {"exists"}
        assert ([request.method for request in hub.log], hub.cdn_log) == (["GET", "GET"], [])

    def test_spooled(self, push, hub, large, invoke_process, tmp_path):
        """Gives the same digest as a stream does, by one download of the file; nothing is left of it."""
        del large
        (tmp_path / "spool").mkdir()
        spooled = push(NAME, "--spool", TMPDIR=str(tmp_path / "spool"))
        assert len([request for request in hub.cdn_log if request.sent > LARGE]) == 1
        streamed = invoke_process("push", NAME, f"oci:{tmp_path / 'layout'}:1", "-q", "-o", "json")
        assert json.loads(streamed.out)["digest"] == spooled["digest"]
        assert list((tmp_path / "spool").iterdir()) == []


class TestXet:
    """Files that the Hub has in Xet, in a storage of this machine (`local://`), which only hf_xet reads and writes."""

    def test_memory(self, hub, plain, tmp_path, monkeypatch, checkout):
        """Four large files at a time take little more than one 64 MB piece of one does, and nothing is left."""
        for folder in ("spool", "weights"):
            (tmp_path / folder).mkdir()
        monkeypatch.chdir(checkout)  # where -m finds tests.real.watched
        monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
        hub.cas_url = f"local://{tmp_path / 'cas'}"
        noise = random.Random(1)  # noqa: S311  bytes that do not repeat, for Xet keeps those once
        files = {
            f"{name}.safetensors": safetensors({"w": tensor(0, 3 * LARGE)}, noise.randbytes(3 * LARGE))
            for name in "abcd"
        }
        hub.commit(NAME, files)
        for path, data in files.items():
            (tmp_path / "weights" / path).write_bytes(data)
            command = [sys.executable, "-c", UPLOAD, hub.cas_url, tmp_path / "weights" / path]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
            hub.xet[hashlib.sha256(data).hexdigest()] = done.stdout.strip()
        monkeypatch.setenv("TMPDIR", str(tmp_path / "spool"))
        options = ["--spool", "--jobs", "4", "--plain-http", "-q"]
        command = [sys.executable, "-m", "tests.real.watched", tmp_path / "report", "push", NAME, f"{plain.host}/x:1"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        assert list((tmp_path / "spool").iterdir()) == []
        assert max(request.sent for request in hub.cdn_log) < LARGE  # headers alone
        assert json.loads((tmp_path / "report").read_text())["peak"] < MOST


@pytest.mark.usefixtures("commit")
class TestPrivateRepository:
    def test_token(self, push, hub):
        """Is used at the Hub and nowhere else."""
        hub.repositories[NAME].private = True
        push(NAME, HF_TOKEN=TOKEN)
        about_it = hub.requests(NAME)  # the client asks for other things of its own, without a token
        assert {request.headers.get("authorization") for request in about_it} == {f"Bearer {TOKEN}"}
        assert {request.headers.get("authorization") for request in hub.cdn_log} == {None}
        assert hub.cdn_log
