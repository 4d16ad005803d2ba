"""What the measurements need: a random model, a registry, the peers."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command, Counters, Run, run
from tests.tools import tool


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says. `work` is on a disk, `memory` in memory; `beside` are other checkouts of ours."""

    runs: int
    quick: bool
    work: Path
    memory: Path
    beside: tuple[Path, ...] = ()

    @property
    def scratch(self) -> Path:
        """Where the commands live."""
        return self.work / "scratch"


Contenders = dict[str, Command]


def ours(settings: Settings, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Contenders:
    """Return our command, called `name`, and the same one of each other checkout."""
    argv = [sys.executable, "-m", "kubectl_modelcar", *arguments, "--plain-http", "-q"]
    env = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ} | dict(environment or {})
    others = {f"{name} of {place.name}": Command(argv, {**env, "PYTHONPATH": str(place)}) for place in settings.beside}
    return {name: Command(argv, env), **others}


def shell(script: str, environment: Mapping[str, str] | None = None) -> Command:
    """Return a contender of several commands."""
    return Command(["sh", "-ec", script], environment or {})


def in_turn(
    settings: Settings,
    contenders: Contenders,
    *,
    before: Callable[[], None],
    counters: Counters | None = None,
    once: Container[str] = (),
) -> dict[str, list[Run]]:
    """Run the contenders one after the other, round by round, those of `once` in the first alone."""
    runs: dict[str, list[Run]] = {}
    for turn in range(settings.runs):
        for name, command in contenders.items():
            if turn == 0 or name not in once:
                before()
                runs.setdefault(name, []).append(run(command, scratch=settings.scratch, counters=counters))
    return runs


def make_model(folder: Path, *, shards: int, size: int, sparse: bool = False) -> None:
    """Write a model of `size` bytes of random (or sparse) weights in `shards` files, once."""
    if (folder / "config.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    each = size // shards
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    for name in names:
        header = json.dumps({"w": {"dtype": "U8", "shape": [each], "data_offsets": [0, each]}}).encode()
        header += b" " * (-len(header) % 8)
        with (folder / name).open("wb") as file:
            file.write(len(header).to_bytes(8, "little") + header)
            if sparse:
                file.truncate(8 + len(header) + each)
            else:
                left = each
                while left:
                    left -= file.write(os.urandom(min(left, 1 << 24)))
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": dict(zip(names, names, strict=True))})
    )
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {str(n): n for n in range(50_000)}}}))
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))


@dataclass(frozen=True, slots=True)
class Registry:
    """A running distribution registry v3: HOST:PORT, its storage, its process."""

    host: str
    storage: Path
    pid: int

    def empty(self) -> None:
        """Forget every blob and repository, so that the next push sends everything."""
        shutil.rmtree(self.storage / "docker", ignore_errors=True)

    def read(self) -> int:
        """Return the bytes that the process has read, from sockets and from its storage (proc(5), io: rchar)."""
        return self._io("rchar")

    def sent(self) -> tuple[int, int]:
        """Return (0, the bytes that it has written), in the form of `Counters.source`; requests are not counted."""
        return 0, self._io("wchar")

    def _io(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


@contextmanager
def registry(storage: Path) -> Iterator[Registry]:
    """Run a registry with its storage in `storage`, which is removed at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.rmtree(storage, ignore_errors=True)
    storage.mkdir(parents=True)
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    written = storage.with_suffix(".json")
    written.write_text(json.dumps(config))  # JSON is YAML
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen([tool("registry"), "serve", written], env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            yield Registry(f"127.0.0.1:{port}", storage, server.pid)
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(storage, ignore_errors=True)
            written.unlink()


def forget(folder: Path) -> None:
    """Drop the files of `folder` from the page cache, and nothing else: programs and other work keep theirs."""
    os.sync()  # pages that are not written yet would stay
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def recall(folder: Path) -> None:
    """Read the files of `folder`, so that they are in the page cache."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def machine() -> str:
    """Return one line on where this was measured."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({cpu}), {memory:.0f} GiB, {system}"


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the registry did not start")
