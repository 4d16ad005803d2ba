"""The images of the cluster, made here and pushed to its registry; nothing is pulled from anywhere.

pause holds a pod's namespaces, busybox is for small pods, server is the light real model server: Debian with Python
(the puller needs it), the packages of tests/llm/requirements.txt, and tests/llm itself.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.layout import Layer, write_layout
from tests.cluster.requirements import ClusterError
from tests.llm import prepare
from tests.tools import cache_folder, tool
from tests.tools.cache import make_once

SUITE, PYTHON = "bookworm", "3.11"
"""The Debian release of the server image, and its Python."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PACKAGES = ("python3", "libgomp1", "libstdc++6")
# No user reads them in a test, and the node unpacks 40 MB less.
_LEAVE_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/i18n/*", "/usr/share/info/*")
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_OPT = "opt/server"


def architecture() -> str:
    """Return Go's name of this machine's architecture."""
    return _ARCHITECTURES[platform.machine()]


def pause(folder: Path) -> None:
    """Write the layout of the pause image."""
    root = _root(folder)
    shutil.copy2(tool("pause"), root / "pause")
    _write(folder, [_tar(root, folder)], {"Entrypoint": ["/pause"], "User": "65535:65535"})


def busybox(folder: Path) -> None:
    """Write the layout of an image with Debian's static busybox (its `wget -T` crashes; plain wget works)."""
    root = _root(folder)
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "var"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    program = Path("/bin/busybox")
    shutil.copy2(program, root / "bin" / "busybox")
    for applet in _run([program, "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    _write(folder, [_tar(root, folder)], {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]})


def server(folder: Path) -> None:
    """Write the layout of the model server's image, from cached layers and the present tests/llm."""
    layers = [_cached("debian", _debian_key(), _make_debian), _cached("packages", _packages_key(), _make_packages)]
    root = _root(folder)
    home = root / "home" / "vllm"
    home.mkdir(parents=True)
    code = root / _OPT / "tests"
    code.mkdir(parents=True)
    (code / "__init__.py").touch()
    shutil.copytree(prepare.HERE, code / "llm", ignore=shutil.ignore_patterns("test_*", "__pycache__", "fixtures.py"))
    _write(
        folder,
        [*layers, _tar(root, folder)],
        {
            # As in the images that vLLM is served from: the flags alone are the pod's arguments.
            "Entrypoint": ["python3", "-m", "tests.llm.serve"],
            "Env": [
                "PATH=/usr/local/bin:/usr/bin:/bin",
                f"PYTHONPATH=/{_OPT}:/{_OPT}/packages",
                "PYTHONDONTWRITEBYTECODE=1",
                "PYTHONUNBUFFERED=1",
                "HOME=/home/vllm",
            ],
            "User": "1001",
            "WorkingDir": "/home/vllm",
            "ExposedPorts": {"8000/tcp": {}},
        },
    )


def files(source: Path) -> Callable[[Path], None]:
    """Return a writer of an image that holds the files of the folder `source` under /models, for image volumes."""

    def write(folder: Path) -> None:
        root = _root(folder)
        shutil.copytree(source, root / "models")
        _write(folder, [_tar(root, folder)], {})

    return write


def push(write: Callable[[Path], None], reference: str, enter: Callable[[Sequence[str | Path]], list[str]]) -> str:
    """Write an image and push it as `reference` from the network that `enter` leads to. Returns HOST/REPO@DIGEST."""
    with tempfile.TemporaryDirectory(prefix="image-", dir=_layers()) as scratch:
        layout = Path(scratch)
        write(layout)
        pushed = _run(enter([tool("crane"), "push", "--insecure", layout / "image", reference]))
    return pushed.strip()


def _layers() -> Path:
    """Return the folder of cached layers; layouts are made in it, so that their layers can be hard links."""
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _root(folder: Path) -> Path:
    root = folder / "root"
    root.mkdir()
    return root


def _write(folder: Path, layers: Sequence[Layer], config: dict[str, object]) -> None:
    image = folder / "image"
    image.mkdir()
    write_layout(image, layers, config, architecture())


def _tar(root: Path, folder: Path) -> Layer:
    """Pack `root` as a layer that root owns."""

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = 0
        member.mode |= 0o444 if member.isfile() else 0o555  # pods run as any uid, whatever our umask is
        return member

    file = folder / "layer.tar"
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(root.iterdir()):
            archive.add(path, path.name, filter=owned_by_root)
    return Layer.of(file)


def _cached(name: str, key: str, make: Callable[[Path], None]) -> Layer:
    """Return a layer of the cache; the file's name is its digest, so that it is hashed once."""

    def build(folder: Path) -> None:
        file = folder / "layer.tar"
        make(file)
        file.rename(folder / Layer.of(file).digest)

    folder = _layers() / f"{name}-{key}"
    make_once(folder, build)
    file = next(folder.iterdir())
    return Layer(file, file.name, file.stat().st_size)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join((architecture(), *parts)).encode()).hexdigest()[:12]


def _debian_key() -> str:
    return _key(SUITE, *_PACKAGES, *_LEAVE_OUT)


def _make_debian(file: Path) -> None:
    leave_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEAVE_OUT]
    command = ["mmdebstrap", "--quiet", "--variant=essential", f"--include={','.join(_PACKAGES)}", *leave_out]
    # The machine's own sources, where it is a Debian of that release: they know the mirror it can reach.
    sources = [str(_SOURCES)] if _SOURCES.exists() and SUITE in _SOURCES.read_text("utf-8") else []
    _run([*command, SUITE, str(file), *sources])


def _packages_key() -> str:
    return _key(PYTHON, (prepare.HERE / "requirements.txt").read_text("utf-8"))


def _make_packages(file: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        target = _root(folder) / _OPT / "packages"
        platforms = [f"--platform={name}_{platform.machine()}" for name in ("manylinux_2_28", "manylinux2014")]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        chosen = ["--no-deps", "--only-binary=:all:", f"--python-version={PYTHON}", *platforms]
        _run([*pip, *chosen, "--target", target, "-r", prepare.HERE / "requirements.txt"])
        shutil.move(_tar(folder / "root", folder).file, file)


def _run(command: Sequence[str | Path]) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if ran.returncode != 0:
        raise ClusterError(f"'{' '.join(map(str, command))}' failed:\n{ran.stderr.rstrip()}")
    return ran.stdout
