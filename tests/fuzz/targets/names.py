"""Image references, as the command line and as the pod reads them."""

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import ImageReference, parse_location
from kubectl_modelcar.registry import RegistryAccess
from tests.fuzz import texts
from tests.fuzz.trial import Target

_WORDS = (b"oci:", b"localhost", b":5000", b"@sha256:", b"[::1]", b"a.b/", b"-", b"__", b"_", b"library/")


def parse(raw: bytes) -> None:
    """Parse as typed; what is accepted says the same again, and the pod reads the same from it."""
    location = parse_location(raw.decode(errors="surrogateescape"))
    assert parse_location(str(location)) == location
    if isinstance(location, ImageReference):
        puller._origin(RegistryAccess().origin(location))
        host, repository, target = puller._parse(str(location))
        assert (host, target) == (_hub(location.registry), location.target)
        assert repository.removeprefix("library/") == location.repository.removeprefix("library/")


def parse_in_pod(raw: bytes) -> None:
    """Parse as the chart's value; what is accepted names a repository that can be asked."""
    host, repository, _ = puller._parse(raw.decode(errors="surrogateescape"))
    puller.Registry(f"https://{host}", repository)


def _hub(host: str) -> str:
    return puller.DOCKER_HUB if host in puller.DOCKER_HUB_HOSTS else host


TARGETS = (
    Target("reference", parse, texts.reference, _WORDS),
    Target("reference-in-pod", parse_in_pod, texts.reference, _WORDS),
)
