"""Peak memory and disk of push and pull, whatever the file's size.

The weights are one sparse file; the registry's storage and the folder that is pulled to are on the disk, which needs
twice the largest size.
"""

import shutil
from collections.abc import Iterator

from benchmarks.measure import MIB, run
from benchmarks.parts import Settings, make_model, ours, registry, shell
from tests.tools import tool


def measure(settings: Settings) -> Iterator[str]:
    """Yield one table."""
    lines = ["| command | file MiB | wall s | peak RSS MiB | disk besides MiB |", "|---|---|---|---|---|"]
    for size in (300, 2048) if settings.quick else (300, 20480):
        model, folder = settings.work / "sparse", settings.work / "pulled"
        for left in (model, folder):
            shutil.rmtree(left, ignore_errors=True)
        make_model(model, shards=1, size=size * MIB, sparse=True)
        with registry(settings.work / "registry") as target:
            image = f"{target.host}/sparse:1"
            commands = {
                **ours(settings, "kubectl modelcar push", "push", str(model), image),
                **ours(settings, "kubectl modelcar pull", "pull", image, str(folder)),
            }
            names = " ".join(sorted(path.name for path in model.iterdir()))
            commands["oras push"] = shell(
                f"cd {model}; exec {tool('oras')} push --plain-http {target.host}/oras:1 {names}"
            )
            for name, command in commands.items():
                shutil.rmtree(folder, ignore_errors=True)
                seen = run(command, scratch=settings.scratch)
                lines.append(f"| {name} | {size} | {seen.wall:.1f} | {seen.rss / MIB:.0f} | {seen.disk / MIB:.0f} |")
        for left in (model, folder):
            shutil.rmtree(left, ignore_errors=True)
    yield "One sparse file.\n\n" + "\n".join(lines)
