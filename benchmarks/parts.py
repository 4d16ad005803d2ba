"""What the measurements need: a random model, a registry, the peers."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import tool

MODELCAR = (sys.executable, "-m", "kubectl_modelcar")


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


@contextmanager
def registry(storage: Path) -> Iterator[str]:
    """Run distribution registry v3 with its storage in `storage`; yield HOST:PORT."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shutil.rmtree(storage, ignore_errors=True)
    storage.mkdir(parents=True)
    config = storage.parent / "registry.json"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "version": "0.1",
                "log": {"level": "error", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(storage)}},
                "http": {"addr": f"127.0.0.1:{port}"},
            }
        )
    )
    server = subprocess.Popen(
        [tool("registry"), "serve", config],
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(storage, ignore_errors=True)


def empty(storage: Path) -> None:
    """Forget every blob and repository, so that the next push sends everything."""
    shutil.rmtree(storage / "docker", ignore_errors=True)


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
