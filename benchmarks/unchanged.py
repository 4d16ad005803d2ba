"""Push a repository of the Hub that the registry has already, from a machine that has nothing of it."""

from collections.abc import Iterator

from benchmarks.hub import CRANE, OURS, parts, peers
from benchmarks.measure import Counters, run, table
from benchmarks.parts import Settings, in_turn


def measure(settings: Settings) -> Iterator[str]:
    """Yield one table, of the second push of each."""
    with parts(settings) as (_, hub, base, target):
        contenders = {
            name: found for name, found in peers(settings, hub, base.host, target.host).items() if name != CRANE
        }
        counters = Counters(hub.sent, target.read)
        for command in contenders.values():
            run(command, scratch=settings.scratch)
        found = in_turn(settings, contenders, before=lambda: None, counters=counters)
    yield f"Nothing changed since the first push; HOME, TMPDIR and cwd are new.\n\n{table(found, OURS)}"
