"""`push SOURCE IMAGE`."""

import os
import re
import time
from typing import Any

import click
from click.core import ParameterSource

from kubectl_modelcar.cli.options import output_option, progress_option, registry_options, split_values
from kubectl_modelcar.cli.output import emit
from kubectl_modelcar.cli.pushed import copy_json, plan_json, plan_text, push_json
from kubectl_modelcar.copying import copy
from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import LayoutReference, Location, parse_layout, parse_location, parse_pairs, parse_platform
from kubectl_modelcar.image import parse_tag as checked_tag
from kubectl_modelcar.memory import Memory, cache_folder
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.push import PushOptions, plan_push, push, tags_of
from kubectl_modelcar.registry import (
    OpenBase,
    RegistryAccess,
    open_base,
    open_layout,
    open_target,
    remembered_images,
)
from kubectl_modelcar.source import FolderSource, Selection, open_source

_LAYOUT = "oci:"
_LAST_SECOND = 253402300799  # of the year 9999, the last that RFC 3339 can write
_OF_IMAGES = ("base", "platform", "label")
_OF_MODELS = (
    *_OF_IMAGES,
    "revision",
    "include",
    "exclude",
    "format_",
    "annotation",
    "allow_unsafe",
    "spool",
    "dry_run",
)


@click.command(name="push", short_help="Push a model as an image")
@click.argument("source")
@click.argument("image")
@click.option("--revision", help="Branch, tag or commit of the Hub repository.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Files to take instead of the default ones; repeatable."
)
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files to leave out; repeatable.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("image", "artifact")),
    default="image",
    show_default=True,
    help="A container image, or raw files for oras, modctl and CRI-O (ModelPack).",
)
@click.option("--base", default="embedded", show_default=True, help="Image below the model: embedded, none, or IMAGE.")
@click.option(
    "--platform",
    multiple=True,
    default=("linux/amd64",),
    show_default=True,
    metavar="OS/ARCH",
    help="Platform of the image; repeatable, several make an index.",
)
@click.option("--tag", multiple=True, help="A further tag; repeatable.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Label of the image's config; repeatable.")
@click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="Annotation of the manifest; repeatable.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Files in parallel.")
@click.option(
    "--spool", is_flag=True, help="Download each file to disk first, by the Hub's own client (Xet); bounded, removed."
)
@click.option("--allow-unsafe", is_flag=True, help="Take files that can run code when they are loaded.")
@click.option("--dry-run", is_flag=True, help="Say what would be pushed, and push nothing.")
@registry_options
@output_option("text", "json", "yaml", "name")
@progress_option
def command(source: str, image: str, access: RegistryAccess, output: str, progress: Progress, **options: Any) -> None:
    """Push the model SOURCE as the image IMAGE and print its digest.

    SOURCE is ORG/NAME on the Hugging Face Hub, a folder (./NAME), or an image in an OCI layout (oci:FOLDER[:TAG]),
    which is copied as it is. A file is a layer, streamed: no second copy of the model is made, and what the registry
    has is not sent again.

    \b
    Examples:
      kubectl modelcar push Qwen/Qwen3-0.6B quay.io/example/qwen3:0.6b
      kubectl modelcar push ./granite quay.io/example/granite:2 --exclude '*.md'
      kubectl modelcar push oci:granite-layout:v1 quay.io/example/granite:v1
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    location = parse_location(image)
    tags = tuple(map(checked_tag, split_values(options["tag"])))
    if source.startswith(_LAYOUT):
        _copy(source, location, tags, access, output, progress, jobs=options["jobs"])
        return
    settings = _settings(options, tags)
    opened = open_source(source, revision=options["revision"], spool=options["spool"])
    if isinstance(location, LayoutReference) and isinstance(opened, FolderSource) and opened.holds(location.folder):
        raise InvalidInput(f"the layout {location.folder} is inside the model's folder {source}", "name one outside it")
    bases = _bases(options["base"], access, settings)
    if options["dry_run"]:
        plan = plan_push(opened, location, bases, settings, progress=progress)
        emit(output, text=plan_text(plan), data=plan_json(plan), name=location.name)
        return
    target = open_target(location, access)
    images = remembered_images(target, tags_of(location, tags), allow_unsafe=settings.allow_unsafe)
    result = push(
        opened, target, location, bases, settings, images=images, memory=Memory(cache_folder()), progress=progress
    )
    emit(output, text=result.reference, data=push_json(result), name=result.reference)


def _settings(options: dict[str, Any], tags: tuple[str, ...]) -> PushOptions:
    if options["format_"] == "artifact" and (given := _given(_OF_IMAGES)):
        raise InvalidInput(f"{given[0]} makes no sense with --format artifact", "an artifact has files and no image")
    return PushOptions(
        selection=Selection(split_values(options["include"]), split_values(options["exclude"])),
        format=options["format_"],
        platforms=tuple(map(parse_platform, split_values(options["platform"]))),
        tags=tags,
        labels=parse_pairs(options["label"], option="--label"),
        annotations=parse_pairs(options["annotation"], option="--annotation"),
        created=_created(),
        jobs=options["jobs"],
        allow_unsafe=options["allow_unsafe"],
    )


def _bases(text: str, access: RegistryAccess, settings: PushOptions) -> list[OpenBase]:
    if settings.format == "artifact":
        return []
    return [open_base(text, access, platform) for platform in settings.platforms]


def _copy(
    source: str,
    location: Location,
    tags: tuple[str, ...],
    access: RegistryAccess,
    output: str,
    progress: Progress,
    *,
    jobs: int,
) -> None:
    if given := _given(_OF_MODELS):
        raise InvalidInput(
            f"{given[0]} makes no sense for the image {source}: it is copied as it is", "push the model's folder anew"
        )
    named = tags_of(location, tags)
    target = open_target(location, access)
    result = copy(open_layout(parse_layout(source)), target, location, named, jobs=jobs, progress=progress)
    emit(output, text=result.reference, data=copy_json(result), name=result.reference)


def _given(names: tuple[str, ...]) -> list[str]:
    """Return those of the options that were typed, as they were."""
    context = click.get_current_context()
    return [
        f"--{name.strip('_').replace('_', '-')}"
        for name in names
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]


def _created() -> str | None:
    """Return SOURCE_DATE_EPOCH (reproducible-builds.org) as RFC 3339."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,12}", text) or int(text) > _LAST_SECOND:
        raise InvalidInput(f"SOURCE_DATE_EPOCH={text!r} is not a number of seconds", "unset it, or correct it")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(text)))
