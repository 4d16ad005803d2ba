"""Pull an image from a registry into a folder: ours beside oras, crane and a floor.

    python -m benchmarks.pull [--runs 5] [--size 4096] [--work DIR] [--storage DIR]

`oras pull` reads the raw artifact that `oras push` made; crane and the floor read our image. The floor downloads the
layers by curl, four at a time: no hashing, no unpacking.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measure import MIB, Run, run, table
from benchmarks.parts import MODELCAR, machine, make_model, registry
from tests.tools import tool

OURS = "kubectl modelcar pull"


def commands(host: str, folder: Path, layers: list[str]) -> dict[str, list[str]]:
    """Return each contender's argv; each writes into `folder`."""
    crane = f"mkdir {folder} && {tool('crane')} export --insecure {host}/ours:1 - | tar -C {folder} -x"
    floor = f"mkdir {folder} && printf '%s\\n' {' '.join(layers)} | xargs -P4 -I@ curl -sf -o {folder}/@ http://{host}/v2/ours/blobs/@"
    return {
        OURS: [*MODELCAR, "pull", f"{host}/ours:1", str(folder), "--plain-http", "-q"],
        "oras pull": [str(tool("oras")), "pull", "--plain-http", "-o", str(folder), f"{host}/oras:1"],
        "crane export + tar": ["sh", "-c", crane],
        "floor: curl -P4": ["sh", "-c", floor],
    }


def main() -> None:
    """Measure and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--size", type=int, default=4096, help="MiB of weights")
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "modelcar-bench"))
    options.add_argument("--storage", type=Path, default=Path("/dev/shm/modelcar-bench/registry"))  # noqa: S108  memory
    chosen = options.parse_args()
    model = chosen.work / f"model-{chosen.size}"
    folder = chosen.storage.parent / "pulled"  # in memory too: a disk that writes back would be what is measured
    make_model(model, shards=8, size=chosen.size * MIB)
    runs: dict[str, list[Run]] = {}
    with registry(chosen.storage) as host:
        subprocess.run([*MODELCAR, "push", model, f"{host}/ours:1", "--plain-http", "-q"], check=True)
        names = sorted(path.name for path in model.iterdir())
        subprocess.run(
            [tool("oras"), "push", "--plain-http", f"{host}/oras:1", *names], cwd=model, check=True, capture_output=True
        )
        shown = subprocess.run(
            [tool("crane"), "manifest", "--insecure", f"{host}/ours:1"], check=True, capture_output=True
        )
        layers = [layer["digest"] for layer in json.loads(shown.stdout)["layers"]]
        for _ in range(chosen.runs):
            for name, argv in commands(host, folder, layers).items():
                shutil.rmtree(folder, ignore_errors=True)
                runs.setdefault(name, []).append(run(argv, scratch=chosen.work / "scratch"))
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{chosen.size} MiB in 8 shards, registry v3 on loopback. {machine()}\n\n{table(runs, OURS)}")


if __name__ == "__main__":
    main()
