"""What Debian ships: registry 2.8 takes our images and gives them back, skopeo reads them, podman's are read by us."""

import base64
import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.real.models import MODEL, tree, write
from tests.real.registry import PASSWORD, USER, serve

pytestmark = pytest.mark.real

KINDS = {"v3": "plain", "2.8": "old"}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def host(request):
    """Give the host of a registry, 3 and 2.8 in turn."""
    return request.getfixturevalue(request.param).host


@pytest.fixture
def run(modelcar, tmp_path):
    """Give a function that runs a command without TLS and returns what it printed."""

    def run(command, *arguments):
        done = modelcar(tmp_path / "home", command, *arguments, "--plain-http", "-q")
        assert (done.code, done.err) == (0, "")
        return done.out

    return run


@pytest.fixture
def pushed(run, model, host):
    """Push the small model; return its image by digest."""
    return run("push", model, f"{host}/debian/model:1").strip()


@pytest.fixture(scope="module")
def podman(real_tool, runner):
    """Give a function that runs podman with a storage of its own, in a short place: it takes no long one."""
    program, folder = runner(real_tool("podman")), Path(tempfile.mkdtemp(prefix="podman-"))
    places = ("--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs")
    yield lambda *arguments: program(*places, "--cgroup-manager", "cgroupfs", "--events-backend", "none", *arguments)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def built(podman, tmp_path_factory):
    """Build the image; return its name in podman's storage."""
    folder = tmp_path_factory.mktemp("build")
    write(folder / "model")
    (folder / "Containerfile").write_text("FROM scratch\nCOPY model /models\n")
    podman("build", "--isolation", "chroot", "--network", "host", "-t", "car", folder)
    return "car"


class TestRegistry:
    """The registries of both generations."""

    def test_same_digest(self, run, model, plain, old):
        """The image is the same in either."""
        digests = {run("push", model, f"{one.host}/same/model:1").strip().partition("@")[2] for one in (plain, old)}
        assert len(digests) == 1

    def test_comes_back(self, run, pushed, tmp_path):
        """Every file as it was."""
        run("pull", pushed, tmp_path / "m")
        assert tree(tmp_path / "m") == dict(MODEL)

    def test_nothing_is_sent_again(self, run, pushed, model):
        """What the registry has, it keeps."""
        again = json.loads(run("push", model, f"{pushed.partition('@')[0]}:2", "-o", "json"))
        assert (again["digest"], again["bytesSent"]) == (pushed.partition("@")[2], 0)

    def test_verify(self, run, pushed):
        """All bytes are what the manifest says."""
        run("verify", pushed, "--deep")


class TestPrivate:
    """Registries with TLS of an authority that no machine trusts, and a password: nothing but what is typed helps."""

    @pytest.fixture(params=["registry", "docker-registry"])
    def private(self, request, real_tool, authority, tmp_path):
        """Run a registry of each generation; return its host."""
        with serve(real_tool(request.param), tmp_path / "private", password=True, authority=authority) as running:
            yield running.host

    @pytest.fixture
    def trusting(self, modelcar, authority, private, tmp_path):
        """Give a function that runs a command as somebody who has a login and the authority's certificate."""
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {private: {"auth": login}}}))
        options = ("--authfile", tmp_path / "auth.json", "-q")
        return lambda *arguments, **environment: modelcar(tmp_path / "home", *arguments, *options, **environment)

    def test_there_and_back(self, trusting, private, model, tmp_path):
        """By option and by SSL_CERT_FILE; without either, exit code 5 and the hint to use one."""
        image, ca = f"{private}/team/model:1", tmp_path / "ca.pem"
        refused = trusting("push", model, image)
        assert (refused.code, "--ca-file" in refused.err) == (5, True)
        assert trusting("push", model, image, "--ca-file", ca).code == 0
        assert trusting("pull", image, tmp_path / "m", SSL_CERT_FILE=str(ca)).code == 0
        assert tree(tmp_path / "m") == dict(MODEL)


class TestSkopeo:
    """An independent reader."""

    def test_inspect(self, skopeo, pushed):
        """It sees the image that we pushed, for the platform that we said."""
        said = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{pushed.partition('@')[0]}:1"))
        assert (said["Digest"], said["Architecture"], said["Os"]) == (pushed.partition("@")[2], "amd64", "linux")

    @pytest.mark.parametrize(
        ("options", "same"), [(["--preserve-digests"], True), ([], False)], ids=["as it is", "gzip"]
    )
    def test_copy_to_a_layout(self, skopeo, run, pushed, tmp_path, options, same):  # noqa: PLR0917  by name, by pytest
        """Left to itself it compresses the layers, which makes another image of the same model."""
        layout = f"oci:{tmp_path}/layout:1"
        skopeo("--insecure-policy", "copy", *options, "--src-tls-verify=false", f"docker://{pushed}", layout)
        said = json.loads(run("inspect", layout, "-o", "json"))
        assert (said["digest"] == pushed.partition("@")[2]) == same
        run("pull", layout, tmp_path / "m")
        assert tree(tmp_path / "m") == dict(MODEL)

    def test_copy_to_another_registry(self, skopeo, run, pushed, old, tmp_path):
        """As a mirror does."""
        options = ("--src-tls-verify=false", "--dest-tls-verify=false")
        skopeo("--insecure-policy", "copy", *options, f"docker://{pushed}", f"docker://{old.host}/mirror/model:1")
        run("pull", f"{old.host}/mirror/model@{pushed.partition('@')[2]}", tmp_path / "m")
        assert tree(tmp_path / "m") == dict(MODEL)


class TestPodman:
    """Images built the way that people build them today: FROM scratch, COPY model /models."""

    @pytest.fixture
    def pulled(self, run, tmp_path):
        """Give a function that pulls an image and returns the model's files."""

        def pulled(image):
            run("pull", image, tmp_path / "m")
            return tree(tmp_path / "m")

        return pulled

    @pytest.mark.parametrize(("form", "host"), [("oci", "plain"), ("v2s2", "old")], indirect=["host"])
    def test_pushed_by_podman(self, podman, built, run, host, pulled, form):  # noqa: PLR0917  pytest passes them by name
        """In OCI's form and in Docker's: gzip layers, no annotation of ours."""
        image = f"{host}/podman/{form}:1"
        podman("push", "--tls-verify=false", "--format", form, built, f"docker://{image}")
        said = json.loads(run("inspect", image, "-o", "json"))
        assert [layer["mediaType"].endswith("gzip") for layer in said["layers"]] == [True]
        assert pulled(image) == dict(MODEL)
        run("verify", image, "--deep")

    def test_pushed_by_skopeo(self, podman, built, skopeo, host, pulled):
        """From a layout that podman wrote."""
        with tempfile.TemporaryDirectory() as layout:
            podman("push", built, f"oci:{layout}:1")
            target = f"docker://{host}/podman/layout:1"
            skopeo("--insecure-policy", "copy", "--dest-tls-verify=false", f"oci:{layout}:1", target)
        assert pulled(f"{host}/podman/layout:1") == dict(MODEL)

    def test_pulled_by_podman(self, podman, pushed):
        """Ours, into its storage, as a node would."""
        podman("pull", "--tls-verify=false", pushed)
        said = json.loads(podman("image", "inspect", pushed))
        assert said[0]["Digest"] == pushed.partition("@")[2]
