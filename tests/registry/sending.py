"""A blob and a manifest, sent to a fake registry: the verbs of the tests of the wire."""

import random
from contextlib import contextmanager

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import CONFIG_TYPE, BaseImage, Document, image_manifest, parse_location
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.upload import RegistryTarget
from tests.fakes.registry import PASSWORD, USER, digest_of

BLOB = random.Random(2).randbytes(300_000)  # noqa: S311  bytes that do not repeat
DIGEST = digest_of(BLOB)
LOGIN = puller.Credential(USER, PASSWORD)


def target(registry, **access):
    """Return the target org/m:1 of a registry."""
    access = {"plain_http": registry.url.startswith("http:"), **access}
    return RegistryTarget(parse_location(f"{registry.host}/org/m:1"), RegistryAccess(**access))


def chunks(data=BLOB, size=65_536):
    """Return a function that gives the bytes anew each time."""
    return lambda: (memoryview(data)[start : start + size] for start in range(0, len(data), size))


def send(registry, digest=None, **access):
    """Send BLOB, its digest known or not."""
    return target(registry, **access).upload("w.safetensors", len(BLOB), chunks(), digest)


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


def blob_bytes(registry):
    """Return how many bytes of blobs were sent, attempts that failed included."""
    return sum(request.received for request in registry.requests("PATCH|PUT", "/uploads/"))
