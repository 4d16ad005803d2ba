"""Push a folder to a registry.

The floor uploads blobs whose digests are known already, by curl, four at a time: no hashing, no tar, no manifest.
skopeo copies a layout that is ready; making it, a second copy of the model, is not in its time.
"""

import hashlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.measure import MIB, Counters, table
from benchmarks.parts import Contenders, Registry, Settings, forget, in_turn, make_model, ours, recall, registry, shell
from benchmarks.peers import plain_http, program
from tests.tools import tool

OURS = "kubectl modelcar push"
CRANE = "tar + crane append (gzip)"


def measure(settings: Settings) -> Iterator[str]:
    """Yield a table for each size and state of the page cache."""
    for size in (300,) if settings.quick else (300, 4096):
        model = settings.work / f"model-{size}"
        make_model(model, shards=8, size=size * MIB)
        for cache, prepare in {"warm": recall, "cold": forget}.items():
            with registry(settings.memory / "registry") as target:
                contenders = _contenders(settings, model, target.host, small=size < 1024)
                before = partial(_prepare, target, prepare, model)
                found = in_turn(
                    settings, contenders, before=before, counters=Counters(target=target.read), once={CRANE}
                )
            yield f"{size} MiB in 8 shards, {cache} page cache.\n\n{table(found, OURS)}"
    shutil.rmtree(settings.work / "layout", ignore_errors=True)


def _prepare(target: Registry, cache: Callable[[Path], None], model: Path) -> None:
    target.empty()
    cache(model)


def _contenders(settings: Settings, model: Path, host: str, *, small: bool) -> Contenders:
    names = " ".join(sorted(path.name for path in model.iterdir()))
    inside = f"cd {shlex.quote(str(model))}; "
    found = {
        **ours(settings, OURS, "push", str(model), f"{host}/ours:1"),
        "oras push": shell(f"{inside}exec {tool('oras')} push --plain-http {host}/oras:1 {names}"),
        "floor: curl -P4, digests known": shell(inside + upload_floor(host, model)),
    }
    if skopeo := program("skopeo"):
        layout = settings.work / "layout"
        shutil.rmtree(layout, ignore_errors=True)
        make = [sys.executable, "-m", "kubectl_modelcar", "push", str(model), f"oci:{layout}:1", "-q"]
        subprocess.run(make, check=True, cwd=settings.work, stdout=subprocess.DEVNULL)
        copy = f"exec {skopeo} copy -q --preserve-digests oci:{layout}:1 docker://{host}/skopeo:1"
        found["skopeo copy of a layout"] = shell(plain_http(host) + copy)
    if small:  # it compresses what cannot be compressed, for a minute with 4 GiB
        append = f"{tool('crane')} append --insecure --oci-empty-base -t {host}/crane:1 -f"
        found[CRANE] = shell(f'tar -C {model} -cf "$TMPDIR/m.tar" .; {append} "$TMPDIR/m.tar"')
    return found


def upload_floor(host: str, model: Path, jobs: int = 4) -> str:
    """Return a script that uploads the files of `model`, which is its cwd, under digests computed beforehand."""
    lines = "\n".join(f"{path.name} sha256:{_sha256(path)}" for path in sorted(model.iterdir()))
    begin = f"curl -sf -X POST -D - -o /dev/null http://{host}/v2/floor/blobs/uploads/"
    where = f"where=$({begin} | tr -d '\\r' | sed -n 's/^Location: //p')"
    one = f'{where}; curl -sf -T "$0" -H \'Content-Type: application/octet-stream\' -o /dev/null "$where&digest=$1"'
    return f"printf '%s\\n' {shlex.quote(lines)} | xargs -P{jobs} -n2 sh -c {shlex.quote(one)}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
