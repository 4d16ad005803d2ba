"""R13: a file that changes while it is pushed."""

import os

import pytest

from tests.faults.program import Line, environment_of, left_open, model, start
from tests.source.weights import weights

SHARDS, SIZE = 3, 12_000_000
READ, AHEAD = 2, 3
"""The shard that is being read at the pause, and one that is not yet: more of a file than any socket holds is left."""
PAUSE = SIZE + 2_000_000


def grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path):
    os.truncate(path, SIZE // 2)


def touch(path):
    os.utime(path)


def write_other_bytes(path):
    path.write_bytes(weights(path.stat().st_size, seed=99))


def replace_by_another(path):
    other = path.with_suffix(".new")
    other.write_bytes(weights(path.stat().st_size, seed=98))
    other.replace(path)


def remove(path):
    path.unlink()


class TestR13:
    @pytest.mark.parametrize(
        ("shard", "change"),
        [
            (READ, grow),
            (READ, shrink),
            (READ, touch),
            (READ, write_other_bytes),
            (AHEAD, grow),
            (AHEAD, shrink),
            (AHEAD, touch),
            (AHEAD, write_other_bytes),
            (AHEAD, replace_by_another),
            (AHEAD, remove),
        ],
        ids=lambda value: getattr(value, "__name__", {READ: "being read", AHEAD: "ahead"}.get(value)),
    )
    def test_r13_file_changed_while_pushing(self, registry, tmp_path, shard, change):
        """Exit code 7, an error that names the file, no tag, and no upload left open."""
        folder = model(tmp_path / "model", SHARDS, SIZE)
        path = folder / f"model-{shard:05}-of-{SHARDS:05}.safetensors"
        with Line(registry.host, pause_after=PAUSE) as line:
            options = ("--plain-http", "--progress", "none", "--jobs", 1)
            running = start(
                tmp_path / "said", "push", folder, f"{line.host}/org/m:1", *options, **environment_of(tmp_path / "home")
            )
            assert line.reached.wait(30)
            change(path)
            line.go_on.set()
            done = running.wait()
        error, hint = done.err.splitlines()
        assert (done.code, done.out, str(path) in error, hint[:6]) == (7, "", True, "hint: "), done.err
        assert registry.tags == {}
        assert left_open(registry) == []

    def test_r13_tag_of_before(self, registry, tmp_path):
        """What the tag named before, it still names."""
        folder = model(tmp_path / "model", SHARDS, SIZE)
        registry.add_manifest("org/m", b"{}", "application/vnd.oci.image.manifest.v1+json", "1")
        before = dict(registry.tags)
        with Line(registry.host, pause_after=PAUSE) as line:
            options = ("--plain-http", "--progress", "none", "--jobs", 1)
            running = start(tmp_path / "said", "push", folder, f"{line.host}/org/m:1", *options)
            assert line.reached.wait(30)
            grow(folder / f"model-{AHEAD:05}-of-{SHARDS:05}.safetensors")
            line.go_on.set()
            assert running.wait().code == 7
        assert registry.tags == before
