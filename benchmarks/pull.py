"""Pull an image from a registry into a folder in memory: a disk that writes back would be what is measured.

`oras pull` reads the raw artifact that `oras push` made; the others read our image. The floor downloads the layers by
curl, four at a time: no hashing, no unpacking.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import MIB, Counters, table
from benchmarks.parts import Contenders, Settings, in_turn, make_model, ours, registry, shell
from benchmarks.peers import plain_http, program
from tests.tools import tool

OURS = "kubectl modelcar pull"


def measure(settings: Settings) -> Iterator[str]:
    """Yield one table."""
    size = 300 if settings.quick else 4096
    model, folder = settings.work / f"model-{size}", settings.memory / "pulled"
    make_model(model, shards=8, size=size * MIB)
    with registry(settings.memory / "registry") as source:
        layers = _push(model, source.host, settings.work)
        contenders = {
            name: replace(command, writes=(folder,))
            for name, command in _contenders(settings, source.host, folder, layers).items()
        }
        counters = Counters(source=source.sent)
        found = in_turn(
            settings, contenders, before=lambda: shutil.rmtree(folder, ignore_errors=True), counters=counters
        )
        shutil.rmtree(folder, ignore_errors=True)
    yield f"{size} MiB in 8 shards.\n\n{table(found, OURS)}"


def _push(model: Path, host: str, work: Path) -> list[str]:
    """Push the model as our image and as an artifact of oras; return the digests of the image's layers."""
    image = [sys.executable, "-m", "kubectl_modelcar", "push", str(model), f"{host}/ours:1", "--plain-http", "-q"]
    names = sorted(path.name for path in model.iterdir())
    subprocess.run(image, check=True, cwd=work, stdout=subprocess.DEVNULL)
    artifact = [str(tool("oras")), "push", "--plain-http", f"{host}/oras:1", *names]
    subprocess.run(artifact, cwd=model, check=True, capture_output=True)
    shown = subprocess.run([tool("crane"), "manifest", "--insecure", f"{host}/ours:1"], check=True, capture_output=True)
    return [layer["digest"] for layer in json.loads(shown.stdout)["layers"]]


def _contenders(settings: Settings, host: str, folder: Path, layers: list[str]) -> Contenders:
    make = f"mkdir {folder}; "
    blobs = f"printf '%s\\n' {' '.join(layers)} | xargs -P4 -I@ curl -sf -o {folder}/@ http://{host}/v2/ours/blobs/@"
    found = {
        **ours(settings, OURS, "pull", f"{host}/ours:1", str(folder)),
        "oras pull": shell(f"exec {tool('oras')} pull --plain-http -o {folder} {host}/oras:1"),
        "crane export + tar": shell(f"{make}{tool('crane')} export --insecure {host}/ours:1 - | tar -C {folder} -x"),
        "floor: curl -P4": shell(make + blobs),
    }
    if skopeo := program("skopeo"):
        copy = f"{skopeo} copy -q docker://{host}/ours:1 dir:{folder}/d; "
        untar = (
            f"for layer in {' '.join(digest[7:] for digest in layers)}; do tar -C {folder} -xf {folder}/d/$layer; done"
        )
        found["skopeo copy + tar"] = shell(plain_http(host) + make + copy + untar)
    return found
