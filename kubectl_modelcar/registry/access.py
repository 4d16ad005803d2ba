"""How a registry may be reached; what the registry options of every command say."""

import functools
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import ImageReference

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""The names of Docker Hub; the last one is the host that answers."""


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """The registry options as they were typed."""

    authfile: Path | None = None
    ca_file: Path | None = None
    plain_http: bool = False
    insecure: bool = False

    def ssl_context(self) -> ssl.SSLContext:
        """Return what TLS connections trust: the system's store (SSL_CERT_FILE), REQUESTS_CA_BUNDLE and `ca_file`.

        Raises LocalFailure for a file that holds no certificate.
        """
        bundle = os.environ.get("REQUESTS_CA_BUNDLE")
        places = () if self.plain_http else (bundle and Path(bundle), self.ca_file)
        around = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"), str(Path.cwd())
        return _context(tuple(place for place in places if place), around, insecure=self.insecure)

    def origin(self, reference: ImageReference) -> str:
        """Return the URL of the registry's own origin, without a path."""
        scheme = "http" if self.plain_http else "https"
        return f"{scheme}://{DOCKER_HUB[-1] if reference.registry in DOCKER_HUB else reference.registry}"


@functools.cache
def _context(places: tuple[Path, ...], around: tuple[str | None, ...], *, insecure: bool) -> ssl.SSLContext:
    """Return one context for all connections of a kind: to read a system's store takes 20 ms."""
    del around  # what Python reads itself, and from where
    context = ssl.create_default_context()
    for place in places:
        _trust(context, place)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust(context: ssl.SSLContext, place: Path) -> None:
    """Trust the certificates in a PEM file or, as requests allows, in a folder prepared by c_rehash."""
    try:
        if place.is_dir():
            context.load_verify_locations(capath=place)
        else:
            context.load_verify_locations(cafile=place)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror or "it holds none"
        raise LocalFailure(f"cannot read certificates from {place}: {why}", "--ca-file takes a PEM file") from error


def repository_path(reference: ImageReference) -> str:
    """Return the repository as the API names it: Docker Hub's official images live below `library/`."""
    short = reference.registry in DOCKER_HUB and "/" not in reference.repository
    return f"library/{reference.repository}" if short else reference.repository
