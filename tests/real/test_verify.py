"""`verify` of images in real registries, whole and damaged where they are stored: ours, and what podman built."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Invoked
from tests.real.models import write
from tests.real.registry import Registry, serve

pytestmark = pytest.mark.real

Verify = Callable[..., Invoked]


@pytest.fixture
def verify(modelcar, tmp_path) -> Verify:
    """Give a function that verifies an image without TLS."""
    return lambda image, *options: modelcar(tmp_path / "home", "verify", image, "--plain-http", "-q", *options)


def pushed(modelcar, home: Path, registry: Registry, name: str) -> str:
    """Push the small model as NAME; return the image by digest."""
    done = modelcar(home, "push", write(home / "model"), f"{registry.host}/{name}:1", "--plain-http", "-q")
    assert done.code == 0, done.err
    return done.out.strip()


def stored(registry: Registry, digest: str) -> Path:
    """Return the file that a registry keeps a blob in."""
    return registry.log.parent / "storage/docker/registry/v2/blobs/sha256" / digest[7:9] / digest[7:] / "data"


def last_layer(modelcar, home: Path, image: str) -> str:
    """Return the digest of an image's last layer."""
    done = modelcar(home, "inspect", image, "--plain-http", "-o", "json")
    return json.loads(done.out)["layers"][-1]["digest"]


def require_found(verify: Verify, registry: Registry, image: str, layer: str) -> None:
    """Assert that an image is good, and that a flipped bit, a cut and a loss of its layer are found."""
    assert (verify(image).code, verify(image, "--deep").code) == (0, 0)
    file = stored(registry, layer)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert verify(image).code == 0  # its size is right, and more is not looked at
    flipped = verify(image, "--deep", "-o", "json")
    assert (flipped.code, [layer in problem for problem in json.loads(flipped.out)["problems"]]) == (6, [True])
    file.write_bytes(data[:-1])
    assert verify(image).code == 6
    shutil.rmtree(file.parent)
    gone = verify(image, "-o", "json")
    assert (gone.code, [layer in problem for problem in json.loads(gone.out)["problems"]]) == (6, [True])


@pytest.mark.parametrize("program", ["registry", "docker-registry"], ids=["v3", "2.8"])
def test_registry(modelcar, verify, real_tool, tmp_path, program):
    """Distribution 3, and 2.8 as Debian has it; one of its own each, for it is damaged."""
    with serve(real_tool(program), tmp_path / "registry") as registry:
        image = pushed(modelcar, tmp_path, registry, "verify/ours")
        require_found(verify, registry, image, last_layer(modelcar, tmp_path, image))


@pytest.fixture
def podman(real_tool, runner):
    """Give a function that runs podman with a storage of its own, in a short place: it takes no long one."""
    program = runner(real_tool("podman"))
    with tempfile.TemporaryDirectory(prefix="podman-") as storage:
        places = ("--root", f"{storage}/storage", "--runroot", f"{storage}/run", "--storage-driver", "vfs")
        yield lambda *arguments: program(
            *places, "--cgroup-manager", "cgroupfs", "--events-backend", "none", *arguments
        )


def test_built_by_podman(modelcar, verify, podman, real_tool, tmp_path):
    """A gzip layer that no annotation describes: readable by whoever reads images."""
    write(tmp_path / "model")
    (tmp_path / "Containerfile").write_text("FROM scratch\nCOPY model /models\n")
    with serve(real_tool("registry"), tmp_path / "registry") as registry:
        image = f"{registry.host}/verify/podman:1"
        podman("build", "--isolation", "chroot", "--network", "host", "-t", "car", tmp_path)
        podman("push", "--tls-verify=false", "car", f"docker://{image}")
        said = json.loads(verify(image, "--deep", "-o", "json").out)
        answers = {one["consumer"]: one["answer"] for one in said["images"][0]["consumers"]}
        assert (said["problems"], answers["kubectl modelcar"], answers["oras pull"]) == ([], "yes", "no")
        require_found(verify, registry, image, last_layer(modelcar, tmp_path, image))
