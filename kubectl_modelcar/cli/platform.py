"""`--platform` of the commands that read one image, and what it means of an image that has no choice."""

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from kubectl_modelcar.image import Location
from kubectl_modelcar.registry import OpenImage, RegistryAccess, open_image


def platform_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Pass `platform`, which one of an index is meant."""
    return click.option(
        "--platform",
        default="linux/amd64",
        show_default=True,
        metavar="OS/ARCH",
        help="Which one of an index; when it is given, an image for another one is refused.",
    )(command)


def open_for_platform(location: Location, access: RegistryAccess, platform: str) -> OpenImage:
    """Open the image that `location` names.

    Raises NotFoundOrRefused when `--platform` was typed, too, and it is for another one.
    """
    opened = open_image(location, access, platform=platform)
    if click.get_current_context().get_parameter_source("platform") is not ParameterSource.DEFAULT:
        opened.require_platform(platform)
    return opened
