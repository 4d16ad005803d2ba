"""A model of three shards and the verbs to push it: what the tests of pushing share."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from kubectl_modelcar.image import parse_location
from kubectl_modelcar.memory import Memory
from kubectl_modelcar.progress import Silent
from kubectl_modelcar.push import PushOptions, push, tags_of
from kubectl_modelcar.registry import (
    NONE,
    OpenBase,
    RegistryAccess,
    open_base,
    open_image,
    open_target,
    remembered_images,
)
from kubectl_modelcar.source import FolderSource
from tests.source.weights import index, weights

ACCESS = RegistryAccess(plain_http=True)
SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
FILES = {
    "config.json": b'{"model_type":"llama"}',
    "model.safetensors.index.json": index(*SHARDS),
    **{shard: weights(200_000 + number, seed=number) for number, shard in enumerate(SHARDS)},
}
SIZE = sum(len(data) for data in FILES.values())


@dataclass
class Counting:
    """A source that counts the bytes that are read from it."""

    inner: object
    whole: int = 0
    parts: int = 0

    @property
    def rereadable(self):
        return self.inner.rereadable

    def listing(self, selection):
        return self.inner.listing(selection)

    def stamp(self, file):
        return self.inner.stamp(file)

    def chunks(self, file, start=0):
        for chunk in self.inner.chunks(file, start):
            self.whole += len(chunk)
            yield chunk

    def read(self, file, offset, length):
        data = self.inner.read(file, offset, length)
        self.parts += len(data)
        return data

    def stop(self):
        self.inner.stop()


@dataclass
class Recording(Silent):
    """A watcher that remembers."""

    events: list = field(default_factory=list)

    def begin(self, name, total):
        self.events.append(("begin", name, total))

    def end(self, name, outcome):
        self.events.append(("end", name, outcome))


NOTHING = Path("/proc/self/nothing")
"""Where no memory can be kept: a machine that never saw the model."""


def push_to(registry, source, tag="1", *, base=NONE, progress=None, memory=NOTHING, repository="org/m", **options):
    """Push a folder or a source and return the result."""
    location = parse_location(f"{registry.host}/{repository}:{tag}")
    options = PushOptions(**options)
    target = open_target(location, ACCESS)
    return push(
        source if hasattr(source, "listing") else FolderSource(source),
        target,
        location,
        [base if isinstance(base, OpenBase) else open_base(base, ACCESS, one) for one in options.platforms],
        options,
        images=remembered_images(target, tags_of(location, options.tags), allow_unsafe=options.allow_unsafe),
        memory=Memory(memory),
        progress=progress,
    )


def sent(registry):
    """Return the bytes of blobs and manifests that the registry took."""
    return sum(request.received for request in registry.log)


def pulled(registry, folder, tag="1"):
    """Pull the image and return its files."""
    opened = open_image(parse_location(f"{registry.host}/org/m:{tag}"), ACCESS)
    opened.unpack(folder, jobs=2, progress=Silent())
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_of(registry, tag="1"):
    return json.loads(registry.manifests[registry.tags[f"org/m:{tag}"]][1])
