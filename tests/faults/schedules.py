"""Schedules of faults: what may go wrong in one push, drawn by hypothesis, and what must hold afterwards."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from kubectl_modelcar.errors import ModelcarError, NetworkGaveUp
from kubectl_modelcar.progress import Silent
from kubectl_modelcar.push import PushResult
from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Fault
from tests.push.pushing import push_to

MIB = 1 << 20
EDGES = (0, 1, 511, 512, 513, 65_535, 65_536, 262_144, 262_145, 300_000, MIB, MIB + 1)
"""Sizes in bytes around a tar's block, a chunk of ours and a raw file that is held in memory."""
LARGE = (5 * MIB + 1, 17 * MIB, 40 * MIB)
"""Around ECR's smallest part, a refill of the budget, and the largest of the matrix."""
BLOBS = 20
STEPS = {
    "HEAD": ("HEAD", "/blobs/sha256:"),
    "POST": ("POST", "/blobs/uploads/"),
    "PATCH": ("PATCH", "/blobs/uploads/"),
    "PUT": ("PUT", "/blobs/uploads/"),
    "GET": ("GET", "/blobs/uploads/"),
    "manifest": ("PUT", "/manifests/"),
    "read back": ("HEAD", "/manifests/"),
}
REPOSITORY = "org/m"


@dataclass(frozen=True)
class Schedule:
    """A model, a registry, and what goes wrong between them."""

    sizes: tuple[int, ...]
    profile: str
    auth: str | None
    format: str
    jobs: int
    faults: tuple[Fault, ...]
    rules: tuple[tuple[str, int], ...]
    token_lifetime: int


@dataclass
class Listening(Silent):
    """A watcher that keeps all that is said."""

    said: list[str] = field(default_factory=list)

    def begin(self, name, total):
        self.said.append(f"{name} {total}")

    def end(self, name, outcome):
        self.said.append(f"{name} {outcome}")

    def stage(self, name, state, detail=""):
        self.said.append(f"{name} {state} {detail}")

    def warn(self, text):
        self.said.append(text)


def _at(step: str, **what) -> st.SearchStrategy[Fault]:
    """Return faults of a kind: at a step, after some that pass, one or two of them."""
    method, path = STEPS[step]
    return st.builds(
        lambda after, times: Fault(method, path, times=times, after=after, **what),
        st.one_of(st.integers(0, 3), st.integers(0, BLOBS)),
        st.integers(1, 2),
    )


def _statuses(step: str) -> st.SearchStrategy[Fault]:
    """R1 to R5, R11: an answer that may pass, with and without a Retry-After of each form, the work done or not."""
    waits = st.sampled_from(
        [{}, {"Retry-After": "1"}, {"Retry-After": "20"}, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}]
    )
    return st.builds(
        lambda status, headers, fault, apply: replace(fault, status=status, headers=headers, apply=apply),
        st.sampled_from([429, 500, 502, 503, 504]),
        waits,
        _at(step),
        st.booleans(),
    )


def _cuts(step: str) -> st.SearchStrategy[Fault]:
    """R6, R7: a connection that ends at 0, 10, 50 or 99 % of a small body or of a large one, by a reset or in order."""
    return st.builds(
        lambda at, fault, reset: replace(fault, cut_request_after=at, reset=reset),
        st.sampled_from([0, 1, 100, 6554, 30_000, 150_000, 297_000, 4 * MIB, 20 * MIB, 39 * MIB]),
        _at(step),
        st.booleans(),
    )


FAULTS = st.one_of(
    *map(_statuses, STEPS),
    *map(_cuts, ("PATCH", "PUT", "manifest")),
    *(_at(step, lose_answer=True) for step in STEPS),  # R8, R11
    st.builds(
        lambda fault, most: replace(fault, take_only=most), _at("PATCH"), st.sampled_from([2, 70_000, 6 * MIB])
    ),  # R9
    *(_at(step, cut_after=3) for step in ("GET", "manifest", "read back")),
)
LASTING = st.builds(lambda fault: replace(fault, times=-1), st.one_of(*map(_statuses, STEPS)))  # R4
FLIPS = st.builds(  # R12: once; a way that changes bytes again and again is a row of its own (exit 6)
    lambda fault, at: replace(fault, times=1, corrupt_request_at=at), _at("PATCH"), st.sampled_from([0, 511, 60_000])
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Draw one: 20 blobs, mostly small, up to six faults, and rules of R10 and R14."""
    profile = draw(st.sampled_from(["v3", "2.8", "quay", "ghcr", "ecr"]))
    auth = draw(st.sampled_from([None, "basic", "bearer"]))
    faults = draw(st.lists(FAULTS, max_size=5))
    if draw(st.integers(0, 9)) == 0:
        faults.append(draw(LASTING))
    if draw(st.integers(0, 3)) == 0:
        faults.insert(0, draw(FLIPS))
    rules = {}
    if draw(st.integers(0, 4)) == 0:
        rules["expire_after"] = draw(st.integers(1, 6))
    if auth == "bearer" and draw(st.booleans()):
        rules["token_uses"] = draw(st.integers(1, 10))
    return Schedule(
        draw(_sizes()),
        profile,
        auth,
        draw(st.sampled_from(["image", "artifact"])) if profile != "quay" else "image",
        # A token that is good for k requests is asked for k times too often by several threads: R14 is about one.
        draw(st.sampled_from([1, 4, 8])) if "token_uses" not in rules else 1,
        tuple(faults),
        tuple(rules.items()),
        draw(st.sampled_from([300, 1])),
    )


@st.composite
def _sizes(draw: st.DrawFn) -> tuple[int, ...]:
    sizes = draw(st.sampled_from(MODELS))
    return sizes + tuple(draw(st.sampled_from(LARGE)) for _ in range(draw(st.integers(0, 24)) == 0))


def _model(number: int) -> tuple[int, ...]:
    chosen = random.Random(number)  # noqa: S311  no secret
    # Each request costs two milliseconds here: where there are few blobs, each of them meets more of the faults.
    count = BLOBS - 1 if number % 4 == 0 else 4 + number % 4
    return tuple(chosen.choice(EDGES if one % 4 == 0 else EDGES[:5]) for one in range(count))


MODELS = [_model(number) for number in range(12)]


def run(schedule: Schedule, home: Path, log_in) -> tuple[PushResult | ModelcarError, FakeRegistry, list[str]]:
    """Push by the schedule; return what came of it, the registry as it is then, and all that was said."""
    watcher = Listening()
    faults = [replace(fault) for fault in schedule.faults]  # they count down
    with FakeRegistry(
        schedule.auth, profile=schedule.profile, token_lifetime=schedule.token_lifetime, **dict(schedule.rules)
    ) as registry:
        registry.create_repository(REPOSITORY)
        log_in(registry.host)
        registry.faults += faults
        outcome: PushResult | ModelcarError
        try:
            outcome = push_to(
                registry, folder_of(home, schedule.sizes), progress=watcher, jobs=schedule.jobs, format=schedule.format
            )
        except ModelcarError as error:
            outcome = error.with_traceback(None)  # which would keep the connections
            watcher.said += [error.message, error.hint or ""]
    return outcome, registry, watcher.said


def check(
    schedule: Schedule, outcome: PushResult | ModelcarError, registry: FakeRegistry, said: Sequence[str], home: Path
) -> None:
    """Hold what came of a schedule against the invariants I1 to I4."""
    for tag, digest in registry.tags.items():  # I1
        document = json.loads(registry.manifests[digest][1])
        for blob in (document["config"], *document["layers"]):
            held = registry.blobs[blob["digest"]]
            assert registry.knows(REPOSITORY, blob["digest"]), tag
            assert (f"sha256:{hashlib.sha256(held).hexdigest()}", len(held)) == (blob["digest"], blob["size"])
    if isinstance(outcome, PushResult):  # I2
        expected = digest_without_faults(home, schedule.sizes, schedule.format)
        assert registry.tags == {f"{REPOSITORY}:1": expected}
        assert outcome.digest == expected
    else:
        assert isinstance(outcome, NetworkGaveUp), repr(outcome)
        assert outcome.hint
    assert registry.leaks() == []  # I3
    text = "\n".join(said)  # I4
    secrets = [PASSWORD, *registry.tokens, "_state="]
    assert [secret for secret in secrets if secret in text] == []
    assert USER + ":" not in text


@cache
def folder_of(home: Path, sizes: tuple[int, ...]) -> Path:
    """Write files of these sizes, once; return their folder."""
    folder = home / f"model-{hashlib.sha256(repr(sizes).encode()).hexdigest()[:12]}"
    folder.mkdir()
    for number, size in enumerate(sizes):
        data = random.Random(number * 100_003 + size).randbytes(size)  # noqa: S311  bytes that do not repeat
        (folder / f"blob-{number:02}.txt").write_bytes(data)
    return folder


@cache
def digest_without_faults(home: Path, sizes: tuple[int, ...], kind: str) -> str:
    """Return the digest of a push when nothing goes wrong."""
    with FakeRegistry() as registry:
        return push_to(registry, folder_of(home, sizes), format=kind).digest
