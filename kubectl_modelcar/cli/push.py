"""`push SOURCE IMAGE`."""

import os
import time
from typing import Any

import click

from kubectl_modelcar.cli.options import output_option, progress_option, registry_options, split_values
from kubectl_modelcar.cli.output import emit
from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import LayoutReference, Platform, parse_location
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.push import PushOptions, PushResult, push
from kubectl_modelcar.registry import RegistryAccess, open_base, open_target, remembered_layers
from kubectl_modelcar.source import FolderSource, Selection, open_source


@click.command(name="push", short_help="Push a model as an image")
@click.argument("source")
@click.argument("image")
@click.option("--revision", help="Branch, tag or commit of the Hub repository.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Files to take instead of the default ones; repeatable."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files to leave out; repeatable.")
@click.option("--base", default="embedded", show_default=True, help="Image below the model: embedded, none, or IMAGE.")
@click.option("--platform", default="linux/amd64", show_default=True, metavar="OS/ARCH", help="Platform of the image.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Files in parallel.")
@click.option("--allow-unsafe", is_flag=True, help="Take files that can run code when they are loaded.")
@registry_options
@output_option("text", "json", "yaml", "name")
@progress_option
def command(
    source: str,
    image: str,
    revision: str | None,
    base: str,
    platform: str,
    access: RegistryAccess,
    output: str,
    progress: Progress,
    **options: Any,
) -> None:
    """Push the model SOURCE as the image IMAGE and print its digest.

    A file is a layer, streamed: no second copy of the model is made, and what the registry has is not sent again.

    \b
    Examples:
      kubectl modelcar push Qwen/Qwen3-0.6B quay.io/example/qwen3:0.6b
      kubectl modelcar push ./granite quay.io/example/granite:v2 --exclude '*.md'
      kubectl modelcar push ./granite oci:granite-layout:v1
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    location = parse_location(image)
    settings = PushOptions(
        selection=Selection(split_values(options["include"]), split_values(options["exclude"])),
        jobs=options["jobs"],
        allow_unsafe=options["allow_unsafe"],
        platform=_platform(platform),
        created=_created(),
    )
    opened = open_source(source, revision=revision)
    if isinstance(location, LayoutReference) and isinstance(opened, FolderSource) and opened.holds(location.folder):
        raise InvalidInput(f"the layout {location.folder} is inside the model's folder {source}", "name one outside it")
    result = push(
        opened,
        open_target(location, access),
        location,
        open_base(base, access, settings.platform),
        settings,
        before=lambda: remembered_layers(location, access),
        progress=progress,
    )
    emit(output, text=result.reference, data=_json(result), name=result.reference)


def _platform(text: str) -> Platform:
    system, slash, architecture = text.partition("/")
    if not (system and slash and architecture) or "/" in architecture:
        raise InvalidInput(f"--platform {text!r} is not OS/ARCHITECTURE", "for example linux/amd64 or linux/arm64")
    return Platform(system, architecture)


def _created() -> str | None:
    """Return SOURCE_DATE_EPOCH (reproducible-builds.org) as RFC 3339."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidInput(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds", "unset it, or correct it")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(text)))


def _json(result: PushResult) -> dict[str, Any]:
    origin = result.listing.origin
    return {
        "reference": result.reference,
        "digest": result.digest,
        "image": str(result.location),
        "source": {"repository": origin.repository, "commit": origin.revision, "text": origin.text},
        "layers": [
            {
                "digest": layer.descriptor.digest,
                "mediaType": layer.descriptor.media_type,
                "bytes": layer.descriptor.size,
                "files": [{"path": file.path, "bytes": file.size} for file in layer.files],
                "outcome": "sent" if layer.sent else "exists",
            }
            for layer in result.layers
        ],
        "leftOut": list(result.listing.left_out),
        "bytes": sum(layer.descriptor.size for layer in result.layers),
        "bytesSent": result.sent_bytes,
        "seconds": round(result.seconds, 3),
    }
