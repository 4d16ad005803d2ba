"""Waiting for a release, stage by stage."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kubectl_modelcar.cluster.objects import Objects
from kubectl_modelcar.cluster.snapshot import Snapshot, read_snapshot
from kubectl_modelcar.cluster.stage import Stage
from kubectl_modelcar.cluster.stages import stages_of, stuck_at
from kubectl_modelcar.errors import ClusterFailure, NetworkGaveUp, NotAuthorised, WaitTimedOut
from kubectl_modelcar.progress import Progress

__all__ = ["Clock", "wait_for_release"]

_PAUSE = 1.0
_READS_ROLES = 30.0
"""Seconds after its start in which an API server may still refuse everybody."""
_ROUTER_LIMIT = 60.0
"""Seconds that a Route alone may hold up a release: the API server leads to the model too."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Time as a wait sees it, in seconds."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class _Watch:
    """What a wait remembers from one look to the next."""

    progress: Progress
    clock: Clock
    deadline: float
    told: dict[str, Stage] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    """Since when a stage has been what holds things up, in the same state."""
    cut_off_at: float | None = None
    """When the API server last did not answer."""
    cut_off: bool = False

    def tell(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            before = self.told.get(stage.name)
            is_news = before is None or stage.state != before.state or stage.detail != before.detail
            if stage.state != "pending" and is_news and not (before and before.state == stage.state == "done"):
                self.told[stage.name] = stage
                self.progress.stage(stage.name, stage.state, stage.detail)

    def is_just_back(self) -> bool:
        """Tell whether the API server started a moment ago: it refuses everybody until it has read its roles."""
        return self.cut_off_at is not None and self.clock.now() - self.cut_off_at < _READS_ROLES

    def held_up_for(self, stage: Stage) -> float:
        key = f"{stage.name} {stage.state}"
        self.since = {key: self.since.get(key, self.clock.now())}
        return self.clock.now() - self.since[key]


def wait_for_release(
    objects: Objects, release: str, *, progress: Progress, timeout: float, clock: Clock | None = None
) -> Sequence[Stage]:
    """Wait until every stage is done, and return them. `timeout` is in seconds.

    Raises ClusterFailure for a stage that failed for good, WaitTimedOut with the cause of the one that is stuck; on ^C
    it says how to look again and lets KeyboardInterrupt go on.
    """
    clock = clock or Clock()
    watch = _Watch(progress, clock, clock.now() + timeout)
    place = f"{release} -n {objects.namespace}"
    try:
        while True:
            snapshot, stages = _look(objects, release, watch)
            stuck = stuck_at(stages) if stages else Stage("cluster", "waiting", "the API server does not answer")
            if stuck is None or _is_stopped(snapshot):
                return stages
            held_up = watch.held_up_for(stuck)
            if stuck.name == "route" and stuck.state == "waiting" and held_up >= _ROUTER_LIMIT:
                progress.warn("no router has admitted the Route")
                return stages
            if stuck.state == "failed" and held_up >= stuck.patience:
                raise ClusterFailure(
                    f"{release} cannot start ({stuck.name}): {stuck.detail}",
                    stuck.hint or f"look again: kubectl modelcar status {place}",
                )
            if clock.now() >= watch.deadline:
                raise _timed_out(release, stuck, timeout, place)
            clock.pause(_PAUSE)
    except KeyboardInterrupt:
        progress.warn(f"Stopped watching; the install goes on. Resume: kubectl modelcar status {place} -w")
        raise


def _look(objects: Objects, release: str, watch: _Watch) -> tuple[Snapshot | None, Sequence[Stage]]:
    """Return the stages, or none while the API server is away: it may restart, and then we go on."""
    try:
        snapshot = read_snapshot(objects, release)
    except (NetworkGaveUp, NotAuthorised) as error:
        if isinstance(error, NetworkGaveUp):
            watch.cut_off_at = watch.clock.now()
        elif not watch.is_just_back():
            raise
        if not watch.cut_off:
            watch.progress.warn(f"{error.message}; still trying")
        watch.cut_off = True
        return None, ()
    watch.cut_off = False
    stages = stages_of(snapshot)
    watch.tell(stages)
    return snapshot, stages


def _is_stopped(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and snapshot.deployment is not None and snapshot.replicas == 0


def _timed_out(release: str, stuck: Stage, timeout: float, place: str) -> WaitTimedOut:
    return WaitTimedOut(
        f"{release} was not ready within {timeout:g} s; it waits for: {stuck.name}"
        + (f" ({stuck.detail})" if stuck.detail else ""),
        (f"{stuck.hint}; " if stuck.hint else "")
        + f"the install goes on, watch it: kubectl modelcar status {place} -w",
    )
