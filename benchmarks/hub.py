"""Push a repository of the Hub to a registry.

The floors: `stream_floor.py`, a bare loop of GET → tar header → sha256 → PATCH; and curl, two transfers at a time, that
downloads into nothing, uploads blobs whose digests are known, or does both at once.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks import stream_floor
from benchmarks.loopback_hub import Hub, loopback_hub
from benchmarks.measure import MIB, Command, Counters, table
from benchmarks.parts import Contenders, Registry, Settings, in_turn, make_model, ours, registry, shell
from benchmarks.peers import QUIET, peer, plain_http, program
from benchmarks.push import upload_floor
from tests.tools import tool

OURS = "kubectl modelcar push"
NAME = "acme/m2g"
CRANE = "hf download + tar + crane append (gzip)"


def measure(settings: Settings) -> Iterator[str]:
    """Yield one table."""
    with parts(settings) as (model, hub, base, target):
        contenders = {**peers(settings, hub, base.host, target.host), **_floors(model, hub, target.host)}
        counters = Counters(hub.sent, target.read)
        found = in_turn(settings, contenders, before=target.empty, counters=counters, once={CRANE})
        size = sum(path.stat().st_size for path in model.iterdir())
    yield f"{size / 1e6:.1f} MB in 8 shards and 3 small files.\n\n{table(found, OURS)}"


@contextmanager
def parts(settings: Settings) -> Iterator[tuple[Path, Hub, Registry, Registry]]:
    """Run a Hub with the model, a registry that holds the base image of those who need one, and the target."""
    size = 512 if settings.quick else 2048
    model = settings.memory / f"hub-{size}"
    make_model(model, shards=8, size=size * MIB)
    with (
        loopback_hub(model, NAME, settings.work / "hub.log") as hub,
        registry(settings.memory / "base") as base,
        registry(settings.memory / "registry") as target,
    ):
        _push_base(base.host)
        yield model, hub, base, target


def peers(settings: Settings, hub: Hub, base: str, host: str) -> Contenders:
    """Return ours and everybody else, each by a command of its manual."""
    env = {"HF_ENDPOINT": hub.url, **QUIET}
    flags = f"--hf-repo {NAME} --hf-endpoint {hub.url} --registry {host} --target-repo oci --target-tag 1"
    modelcar = f'exec {peer("oci-modelcar")} push {flags} --spool-dir "$TMPDIR/spool"'
    download = f"{peer('hf')} download {NAME} --local-dir m >&2; "
    append = f"{tool('crane')} append --insecure -b {base}/base:1 -f m.tar -t {host}/crane:1"
    tar = "tar -C m --exclude=.cache --transform 's,^\\.,models,' -cf m.tar .; "
    found = {
        **ours(settings, OURS, "push", NAME, f"{host}/ours:1", environment={"HF_ENDPOINT": hub.url}),
        "oci-modelcar": shell(modelcar, env),
        "oci-modelcar --workers 4": shell(f"{modelcar} --workers 4", env),
        "hf download + oras push": shell(
            f"{download}cd m; exec {tool('oras')} push --plain-http {host}/oras:1 $(ls)", env
        ),
        CRANE: shell(download + tar + append, env),
    }
    if program("skopeo"):
        maker = f"{peer('modelcar-maker')} --registry {host} -r maker -t 1 --base-image {base}/base:1 {NAME}"
        found["modelcar-maker (olot, skopeo)"] = shell(f"{plain_http(host, base)}exec {maker}", env)
    return found


def _floors(model: Path, hub: Hub, host: str) -> Contenders:
    inside = f"cd {shlex.quote(str(model))}; "
    upload = upload_floor(host, model, jobs=2)
    urls = " ".join(f"{hub.url}/{NAME}/resolve/main/{path.name}" for path in sorted(model.iterdir()))
    download = f"printf '%s\\n' {urls} | xargs -P2 -n1 curl -sfL -o /dev/null"
    loop = [sys.executable, stream_floor.__file__, hub.url, NAME, host, "floor"]
    return {
        "floor: stream_floor, 2 threads": Command([*loop, "2"]),
        "floor: stream_floor, 4 threads": Command([*loop, "4"]),
        "floor: curl -P2 down": shell(inside + download),
        "floor: curl -P2 up": shell(inside + upload),
        "floor: curl down and up at once": shell(f"{inside}({download}) & {upload}; wait"),
    }


def _push_base(host: str) -> None:
    """Push the base image that ours takes from its own package to `host`."""
    found = find_spec("modelcar_base_image")
    layout = Path(found.origin or "").parent / "embedded_oci_layout" if found else Path()
    argv = [str(tool("crane")), "push", "--insecure", str(layout), f"{host}/base:1"]
    subprocess.run(argv, check=True, capture_output=True)
