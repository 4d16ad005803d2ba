"""How a registry may be reached; what the registry options of every command say."""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import ImageReference

_DOCKER_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


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
        context = ssl.create_default_context()
        for file in (os.environ.get("REQUESTS_CA_BUNDLE"), self.ca_file):
            if file:
                try:
                    context.load_verify_locations(cafile=str(file))
                except (OSError, ssl.SSLError) as error:
                    raise LocalFailure(
                        f"cannot read certificates from {file}: {error}", "--ca-file takes a PEM file"
                    ) from error
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def origin(self, reference: ImageReference) -> str:
        """Return the URL of the registry's own origin, without a path."""
        scheme = "http" if self.plain_http else "https"
        return f"{scheme}://{_DOCKER_HUB.get(reference.registry, reference.registry)}"


def repository_path(reference: ImageReference) -> str:
    """Return the repository as the API names it: Docker Hub's official images live below `library/`."""
    short = reference.registry in _DOCKER_HUB and "/" not in reference.repository
    return f"library/{reference.repository}" if short else reference.repository
