"""The wire: credentials, reading and sending images; an OCI layout folder has the same interface as a registry."""

from typing import TYPE_CHECKING

from kubectl_modelcar.image import LayoutReference, Location
from kubectl_modelcar.registry.access import RegistryAccess
from kubectl_modelcar.registry.agreement import annotation_problems, config_problems, survey_problems
from kubectl_modelcar.registry.base import EMBEDDED, NONE, OpenBase, open_base
from kubectl_modelcar.registry.credentials import docker_config, find_credential
from kubectl_modelcar.registry.facts import image_facts
from kubectl_modelcar.registry.layout import LayoutTarget
from kubectl_modelcar.registry.limits import Limits, limit_warnings, limits_of
from kubectl_modelcar.registry.missing import BlobsMissing
from kubectl_modelcar.registry.reading import OpenImage, StoredImages, open_image, open_images
from kubectl_modelcar.registry.recall import remembered_images
from kubectl_modelcar.registry.repository import OpenRepository, open_layout

if TYPE_CHECKING:
    from kubectl_modelcar.registry.upload import RegistryTarget

__all__ = [
    "EMBEDDED",
    "NONE",
    "BlobsMissing",
    "LayoutTarget",
    "Limits",
    "OpenBase",
    "OpenImage",
    "OpenRepository",
    "RegistryAccess",
    "StoredImages",
    "annotation_problems",
    "config_problems",
    "docker_config",
    "find_credential",
    "image_facts",
    "limit_warnings",
    "limits_of",
    "open_base",
    "open_image",
    "open_images",
    "open_layout",
    "open_target",
    "remembered_images",
    "survey_problems",
]


def open_target(location: Location, access: RegistryAccess) -> "RegistryTarget | LayoutTarget":
    """Return where an image can be pushed to; nothing is asked or written yet."""
    if isinstance(location, LayoutReference):
        return LayoutTarget(location)
    from kubectl_modelcar.registry.upload import RegistryTarget  # noqa: PLC0415  the SDK loads for a push alone

    return RegistryTarget(location, access)
