"""What ships: the wheel, the source distribution, and an editable install, each built once from what git knows."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from kubectl_modelcar import __version__

CHECKOUT = Path(__file__).resolve().parents[1]
CHART_FILES_LEFT_OUT = {
    "README.md",  # helm packages it; nobody looks for it in a wheel
    "ci/cpu-tiny-values.yaml",
    "ci/default-values.yaml",
    "ci/openshift-route-values.yaml",
}
FILES_LEFT_OUT = {".gitignore"}
GENERATED = re.compile(r"PKG-INFO|kubectl_modelcar\.egg-info/.*")
UNTRACKED = {".git", ".venv", "build", "dist", "demo-output", "__pycache__"}
FIND = """
import json, sys
import kubectl_modelcar
from kubectl_modelcar.chart import chart_dir, puller
with chart_dir() as folder:
    found = {"package": kubectl_modelcar.__file__, "chart": str(folder), "values": (folder / "values.yaml").is_file()}
print(json.dumps(found | {"puller": puller.__file__, "pulls": callable(puller.pull)}))
"""


def tracked(checkout: Path) -> set[str]:
    """Return the paths of what git knows; of what lies there where there is no git, as in a source distribution."""
    if (checkout / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, capture_output=True, check=True, text=True)
        return {path for path in listed.stdout.split("\0") if path and (checkout / path).is_file()}
    found = set()
    for root, folders, names in os.walk(checkout):
        folders[:] = [name for name in folders if name not in UNTRACKED and not name.endswith((".egg-info", "_cache"))]
        found |= {Path(root, name).relative_to(checkout).as_posix() for name in names}
    return found


def below(folder: str, paths: set[str]) -> set[str]:
    """Return the paths below `folder`, relative to it."""
    return {path.removeprefix(f"{folder}/") for path in paths if path.startswith(f"{folder}/")}


@dataclass(frozen=True)
class Built:
    """The source that was built, and what was made of it."""

    source: Path
    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """Copy what git knows: what a clean clone has, and nothing that was left in this checkout."""
    folder = tmp_path_factory.mktemp("source") / "kubectl-modelcar"
    for path in tracked(CHECKOUT):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / path, folder / path)
    return folder


@pytest.fixture(scope="session")
def built(source) -> Built:
    """Build the source distribution, and the wheel from that."""
    subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--quiet"], cwd=source, check=True)
    (wheel,), (sdist,) = (source / "dist").glob("*.whl"), (source / "dist").glob("*.tar.gz")
    return Built(source, wheel, sdist)


@pytest.fixture(scope="session")
def wheel(built) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built.wheel) as opened:
        yield opened


class TestWheel:
    def test_chart(self, built, wheel):
        """It is all there, as it is in the repository, less what a user of the wheel has no use for."""
        expected = below("chart", tracked(built.source)) - CHART_FILES_LEFT_OUT
        assert below("kubectl_modelcar/_chart", set(wheel.namelist())) == expected
        same = {path: wheel.read(f"kubectl_modelcar/_chart/{path}") for path in expected}
        assert same == {path: (built.source / "chart" / path).read_bytes() for path in expected}

    def test_package(self, built, wheel):
        """Every module, and nothing of the tests."""
        names = {name for name in wheel.namelist() if "/_chart/" not in name and ".dist-info/" not in name}
        assert names == {path for path in tracked(built.source) if path.startswith("kubectl_modelcar/")}

    def test_metadata(self, wheel):
        """Names, the licence by its SPDX name and its file, what Python."""
        metadata = wheel.read(f"kubectl_modelcar-{__version__}.dist-info/METADATA").decode().split("\n\n")[0]
        fields = dict(line.split(": ", 1) for line in metadata.splitlines() if ": " in line)
        wanted = ("Name", "Version", "License", "License-File", "Requires-Python")
        assert {name: fields[name] for name in wanted} == {
            "Name": "kubectl-modelcar",
            "Version": __version__,
            "License": "Apache-2.0",
            "License-File": "LICENSE",
            "Requires-Python": ">=3.11",
        }

    def test_the_base_is_one_and_the_same(self, wheel):
        """It is a part of every image that is pushed: an installation of another day must not give another digest."""
        metadata = wheel.read(f"kubectl_modelcar-{__version__}.dist-info/METADATA").decode()
        (found,) = re.findall("^Requires-Dist: modelcar-base-image ?(.*)$", metadata, re.MULTILINE)
        assert re.fullmatch(r"==[0-9.]+", found)

    def test_is_for_every_machine(self, built):
        """Pure Python."""
        assert built.wheel.name == f"kubectl_modelcar-{__version__}-py3-none-any.whl"


class TestSourceDistribution:
    def test_holds_what_git_knows(self, built):
        """So the tests can run in it; of what else is there, setuptools made it."""
        with tarfile.open(built.sdist) as archive:
            names = {member.name.partition("/")[2] for member in archive if member.isfile()}
        assert tracked(built.source) - names == FILES_LEFT_OUT
        assert {name for name in names - tracked(built.source) if not GENERATED.fullmatch(name)} == set()


class Environment:
    """A virtual environment whose dependencies are those of the running one, but not its kubectl-modelcar."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.folder = folder
        self.python = folder / "bin" / "python"
        site = Path(self.run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        # A .pth only appends to the path: what is installed here comes first, and the .pth files there are not read.
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")

    def install(self, *arguments: object) -> None:
        """Install with the running environment's pip; nothing is fetched."""
        pip = (sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet", "--ignore-installed")
        self.run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *arguments)

    def run(self, *command: object) -> str:
        done = subprocess.run(
            [*map(str, command)], cwd=self.folder.parent, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session", params=["wheel", "source distribution", "editable"])
def installed(request, built, tmp_path_factory):
    """Install the package in one way; return the environment, and where package and chart should be."""
    environment = Environment(tmp_path_factory.mktemp("environment") / "venv")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment.folder)}))
    match request.param:
        case "wheel":
            environment.install(built.wheel)
        case "source distribution":
            environment.install(built.sdist)
        case _:
            environment.install("--editable", built.source)
            return environment, built.source / "kubectl_modelcar", built.source / "chart"
    return environment, site / "kubectl_modelcar", site / "kubectl_modelcar" / "_chart"


class TestInstalled:
    def test_chart_and_puller(self, installed):
        """Are found, and are of this installation."""
        environment, package, chart = installed
        assert yaml.safe_load(environment.run(environment.python, "-I", "-c", FIND)) == {
            "package": str(package / "__init__.py"),
            "chart": str(chart),
            "values": True,
            "puller": str(chart / "files" / "puller.py"),
            "pulls": True,
        }

    @pytest.mark.parametrize("script", ["kubectl-modelcar", "oc-modelcar"])
    def test_console_scripts(self, installed, script):
        """Both run."""
        environment, _, _ = installed
        assert environment.run(environment.folder / "bin" / script, "version") == f"{__version__}\n"

    def test_module(self, installed):
        """`python -m` runs too."""
        environment, _, _ = installed
        assert environment.run(environment.python, "-I", "-m", "kubectl_modelcar", "version") == f"{__version__}\n"


class TestDeclarations:
    def test_packages(self, checkout):
        """setup.cfg lists them by hand; a new room must not be forgotten."""
        config = configparser.ConfigParser()
        config.read(checkout / "setup.cfg", "utf-8")
        rooms = {path.parent.relative_to(checkout) for path in (checkout / "kubectl_modelcar").rglob("__init__.py")}
        on_disk = {".".join(room.parts) for room in rooms}
        assert set(config["options"]["packages"].split()) == on_disk | {"kubectl_modelcar._chart"}

    def test_versions(self, checkout):
        """The package, its chart and the draft for krew are of one version."""
        chart = yaml.safe_load((checkout / "chart" / "Chart.yaml").read_text("utf-8"))
        krew = yaml.safe_load((checkout / "krew-manifest.yaml").read_text("utf-8"))
        assert {chart["version"], krew["spec"]["version"].removeprefix("v")} == {__version__}
