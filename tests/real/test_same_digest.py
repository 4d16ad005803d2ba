"""The same model has the same digest, whoever pushes it and wherever: umask, user, zone, locale, times, place, jobs."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.real.models import sparse_weights

pytestmark = pytest.mark.real

ANOTHER = 65534  # nobody's number
DIGEST = "sha256:b8785800c1c6ac4e8955baecc6fca383dfef73bab7461803cec561dfa6342a8e"
REAL_DIGEST = "sha256:313816a8dfdcb27217f55a32e7a88e267851b02a71e3e096975fccb09715a841"


def as_another_user() -> tuple[str, ...]:
    """Return what to put before a command to run it as another user, who may still read this checkout."""
    if os.geteuid():
        return ("unshare", "--user", "--map-root-user")
    ids = (f"--reuid={ANOTHER}", f"--regid={ANOTHER}", "--clear-groups")
    return ("setpriv", *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


def under_umask(mask: str) -> tuple[str, ...]:
    return ("sh", "-c", f'umask {mask}; exec "$0" "$@"')


def touched(folder: Path) -> Path:
    """Give every file another time, from the first to far away."""
    for number, path in enumerate(sorted(folder.rglob("*"))):
        os.utime(path, (number, number * 10**9))
    return folder


def tightened(folder: Path) -> Path:
    """Give every file and folder other permissions."""
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o440)
    return folder


def copied(folder: Path) -> Path:
    """Copy the files, in another order, to a folder of another name, reached over a link."""
    other = folder.parent / "elsewhere" / "größe 模型"
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            target = other / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (folder.parent / "link").symlink_to(other)
    return folder.parent / "link"


@dataclass(frozen=True)
class Machine:
    """What is different there: what runs before the command, the environment, options, and what befell the folder."""

    before: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    change: Callable[[Path], Path] = lambda folder: folder


MACHINES = [
    pytest.param(Machine(), id="as it is"),
    pytest.param(Machine(under_umask("000")), id="umask 000"),
    pytest.param(Machine(under_umask("077")), id="umask 077"),
    pytest.param(Machine(as_another_user()), id="another user"),
    pytest.param(Machine(environment={"TZ": "Pacific/Kiritimati"}), id="14 hours east"),
    pytest.param(Machine(environment={"TZ": "Pacific/Pago_Pago"}), id="11 hours west"),
    pytest.param(Machine(environment={"LC_ALL": "C", "LANG": "", "PYTHONUTF8": "0"}), id="C locale"),
    pytest.param(Machine(environment={"LC_ALL": "tr_TR.UTF-8"}), id="a locale that is not there"),
    pytest.param(Machine(environment={"PYTHONHASHSEED": "7"}), id="another hash seed"),
    pytest.param(Machine(change=touched), id="other times"),
    pytest.param(Machine(change=tightened), id="other permissions"),
    pytest.param(Machine(change=copied), id="a copy elsewhere"),
    pytest.param(Machine(options=("--jobs", "1")), id="one job"),
    pytest.param(Machine(options=("--jobs", "8")), id="eight jobs"),
]


@pytest.fixture
def folder(model):
    """Have a model whose layers are sent in parallel, with a name that a locale could break."""
    for number in (1, 2):
        sparse_weights(model / f"model-0000{number}-of-00002.safetensors", 64 << 20)
    (model / "größe.txt").write_text("模型\n", "utf-8")
    return model


class TestDigest:
    @pytest.mark.parametrize("machine", MACHINES)
    def test_is_the_same(self, plain, modelcar, folder, request, machine):
        """The one that is written down here, which no machine can change."""
        repository = f"{plain.host}/same/{request.node.callspec.id.replace(' ', '-').lower()}"
        home = folder.parent / "home"
        home.mkdir(mode=0o777)
        arguments = ("push", machine.change(folder), f"{repository}:1", "--plain-http", "-q", "--base", "none")
        done = modelcar(home, *arguments, *machine.options, before=machine.before, **machine.environment)
        assert done.err == ""
        assert done.out == f"{repository}@{DIGEST}\n"

    @pytest.mark.model
    def test_of_the_real_model(self, plain, modelcar, smollm2, tmp_path):
        """Written down here too."""
        arguments = ("push", smollm2, f"{plain.host}/models/smollm2:same", "--plain-http", "-q", "--base", "none")
        done = modelcar(tmp_path, *arguments, "-o", "name")
        assert (done.out, done.err) == (f"{plain.host}/models/smollm2@{REAL_DIGEST}\n", "")
