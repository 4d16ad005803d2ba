"""Peak memory and temporary disk of push and pull, whatever the file's size.

    python -m benchmarks.memory [--sizes 300,20480] [--work DIR]

The weights are one sparse file; the registry's storage and the folder that is pulled to are on WORK's disk, which needs
twice the largest size.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.measure import MIB, run
from benchmarks.parts import MODELCAR, machine, make_model, registry


def main() -> None:
    """Measure and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--sizes", default="300,20480", help="MiB, with commas")
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "modelcar-bench"))
    chosen = options.parse_args()
    print(f"One sparse file, registry v3 on loopback. {machine()}\n")
    print("| command | file MiB | wall s | peak RSS MiB | temp disk MiB |\n|---|---|---|---|---|")
    for size in map(int, chosen.sizes.split(",")):
        model, folder = chosen.work / "sparse", chosen.work / "pulled"
        for left in (model, folder):
            shutil.rmtree(left, ignore_errors=True)
        make_model(model, shards=1, size=size * MIB, sparse=True)
        with registry(chosen.work / "registry") as host:
            image = f"{host}/sparse:1"
            for name, more in {"push": (str(model), image), "pull": (image, str(folder))}.items():
                seen = run([*MODELCAR, name, *more, "--plain-http", "-q"], scratch=chosen.work / "scratch")
                print(
                    f"| {name} | {size} | {seen.wall:.1f} | {seen.rss / MIB:.0f} | {seen.disk / MIB:.0f} |", flush=True
                )
        for left in (model, folder):
            shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    main()
