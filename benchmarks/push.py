"""Push a folder to a registry: ours beside oras, crane and a floor.

    python -m benchmarks.push [--runs 5] [--size 4096] [--work DIR] [--storage DIR]

The floor uploads blobs whose digests are known already, by curl, four at a time: no hashing, no tar, no manifest.
"""

import argparse
import hashlib
import shlex
import tempfile
from pathlib import Path

from benchmarks.measure import MIB, Run, run, table
from benchmarks.parts import MODELCAR, empty, machine, make_model, registry
from tests.tools import tool

OURS = "kubectl modelcar push"


def commands(model: Path, host: str, digests: dict[str, str], *, slow: bool) -> dict[str, list[str]]:
    """Return each contender's argv."""
    names = " ".join(sorted(path.name for path in model.iterdir()))
    inside = f"cd {shlex.quote(str(model))} && "
    found = {
        OURS: [*MODELCAR, "push", str(model), f"{host}/ours:1", "--plain-http", "-q"],
        "oras push": ["sh", "-c", f"{inside}exec {tool('oras')} push --plain-http {host}/oras:1 {names}"],
        "floor: curl -P4, digests known": ["sh", "-c", inside + _floor(host, digests)],
    }
    if slow:
        append = f"{tool('crane')} append --insecure --oci-empty-base -t {host}/crane:1 -f"
        packed = '"$TMPDIR/m.tar"'
        found["tar + crane append"] = ["sh", "-c", f"tar -C {model} -cf {packed} . && {append} {packed} && rm {packed}"]
    return found


def _floor(host: str, digests: dict[str, str]) -> str:
    lines = "\n".join(f"{name} {digest}" for name, digest in digests.items())
    begin = f"curl -sf -X POST -D - -o /dev/null http://{host}/v2/floor/blobs/uploads/"
    where = f"where=$({begin} | tr -d '\\r' | sed -n 's/^Location: //p')"
    one = f'{where}; curl -sf -T "$0" -H \'Content-Type: application/octet-stream\' -o /dev/null "$where&digest=$1"'
    return f"printf '%s\\n' {shlex.quote(lines)} | xargs -P4 -n2 sh -c {shlex.quote(one)}"


def main() -> None:
    """Measure and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--size", type=int, default=4096, help="MiB of weights")
    options.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "modelcar-bench"))
    options.add_argument("--storage", type=Path, default=Path("/dev/shm/modelcar-bench/registry"))  # noqa: S108  memory
    chosen = options.parse_args()
    model = chosen.work / f"model-{chosen.size}"
    make_model(model, shards=8, size=chosen.size * MIB)
    digests = {path.name: f"sha256:{_sha256(path)}" for path in sorted(model.iterdir())}
    runs: dict[str, list[Run]] = {}
    with registry(chosen.storage) as host:
        for turn in range(chosen.runs):
            for name, argv in commands(model, host, digests, slow=turn == 0).items():
                empty(chosen.storage)
                runs.setdefault(name, []).append(run(argv, scratch=chosen.work / "scratch"))
    print(f"{chosen.size} MiB in 8 shards, registry v3 on loopback. {machine()}\n\n{table(runs, OURS)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    main()
