"""A blob and a manifest, sent to a fake registry: the verbs of the tests of the wire."""

import random
import threading
import time
from contextlib import contextmanager

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import (
    CONFIG_TYPE,
    LAYER_TYPE,
    BaseImage,
    Descriptor,
    Document,
    Held,
    image_manifest,
    parse_location,
)
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import PASSWORD, USER, FakeRegistry, digest_of

MIB = 1 << 20
BLOB = random.Random(2).randbytes(300_000)  # noqa: S311  bytes that do not repeat
DIGEST = digest_of(BLOB)
LOGIN = puller.Credential(USER, PASSWORD)


class Clock:
    """Time that passes by waiting alone; many may wait at once, and are done at once."""

    def __init__(self):
        self.now, self.waits = 0.0, []
        self._lock = threading.Lock()

    def monotonic(self):
        """Return the seconds that were waited."""
        return self.now

    def time(self):
        """Return the seconds since 1970, by the real clock."""
        return time.time()

    def wait(self, seconds):
        """Wait."""
        with self._lock:
            self.waits.append(seconds)
            self.now = max(self.now, self.now + seconds)


class Stream:
    """Content in chunks of a size, which remembers from where it was asked for."""

    def __init__(self, data=None, size=65_536, name="w.safetensors"):
        self.data, self.step, self.name = BLOB if data is None else data, size, name
        self.starts = []

    @property
    def size(self):
        """How many bytes it is."""
        return len(self.data)

    def chunks(self, start=0):
        """Yield the bytes from `start` on."""
        self.starts.append(start)
        yield from (memoryview(self.data)[at : at + self.step] for at in range(start, self.size, self.step))


def target(registry, **access):
    """Return the target org/m:1 of a registry."""
    access = {"plain_http": registry.url.startswith("http:"), **access}
    return RegistryTarget(parse_location(f"{registry.host}/org/m:1"), RegistryAccess(**access))


def send(registry, digest=None, content=None, **access):
    """Send BLOB, its digest known or not."""
    return target(registry, **access).upload(content or Stream(), digest)


def held(data=BLOB, name="w.safetensors"):
    """Return content that is in memory."""
    return Held(name, data)


@contextmanager
def counted_connections(registry):
    """Count the connections that a registry takes meanwhile."""
    server, counted = registry._server, [0]
    take = server.get_request

    def counting():
        counted[0] += 1
        return take()

    server.get_request = counting
    yield counted
    server.get_request = take


def manifest(registry):
    """Return a manifest whose config is there."""
    config = Document(CONFIG_TYPE, b"{}")
    registry.add_blob("org/m", config.data)
    return image_manifest(config, BaseImage(), [], {})


def asked(registry):
    """Return methods and statuses, in order."""
    return [(request.method, request.status) for request in registry.log]


def big(size=40 * MIB):
    """Return bytes that take a while and do not repeat."""
    return random.Random(3).randbytes(size)  # noqa: S311  no secret


def publish(there, *blobs, tag="1"):
    """Push an image of these blobs, their digests unknown, in the order of every push, and return its digest."""
    there.prepare()
    layers = []
    for number, data in enumerate(blobs or (BLOB,)):
        digest = there.upload(Stream(data, MIB, f"{number}.safetensors"))
        layers.append(Descriptor(LAYER_TYPE, digest, len(data)))
    config = Document(CONFIG_TYPE, b"{}")
    if not there.has_blob(config.digest):
        there.upload(Held("the config", config.data), config.digest)
    document = image_manifest(config, BaseImage(), layers, {})
    assert there.put_manifest(document, tag) == document.digest
    return document.digest


def published(*blobs):
    """Return the digest of such an image when nothing goes wrong."""
    with FakeRegistry() as registry:
        return publish(target(registry), *blobs)


def wasted(registry, data):
    """Return how many bytes of blobs came that were sent in vain, when `data` is the blob that was sent."""
    return sum(request.received for request in registry.requests("PATCH|PUT", "/uploads/")) - len(data)


def methods(registry, pattern="POST|PATCH|PUT|GET|HEAD|DELETE"):
    """Return the methods and statuses of an upload in short, as `PATCH 202`."""
    return [f"{r.method} {r.status}" for r in registry.requests(pattern, "/blobs/")]
