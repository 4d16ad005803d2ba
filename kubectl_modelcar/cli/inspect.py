"""`inspect IMAGE`."""

from typing import Any

import click

from kubectl_modelcar.cli.options import output_option, progress_option, registry_options
from kubectl_modelcar.cli.output import emit, human_bytes, table
from kubectl_modelcar.cli.platform import open_for_platform, platform_option
from kubectl_modelcar.image import Answer, parse_location
from kubectl_modelcar.inspection import Inspection, inspect
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.text import one_line

_SHORT = 12  # hex digits of a digest, as docker shortens it


@click.command(name="inspect")
@click.argument("image")
@platform_option
@registry_options
@output_option("text", "json", "yaml")
@progress_option
def command(image: str, platform: str, access: RegistryAccess, output: str, progress: Progress) -> None:
    """Show what IMAGE holds: files with their sizes and layers, origin, base and platform, and who can read it.

    Weights are not downloaded, unless somebody else's image has them in a compressed layer.

    \b
    Examples:
      kubectl modelcar inspect quay.io/example/granite:3.1
      kubectl modelcar inspect oci:granite-layout:v1 -o json
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    del progress  # nothing here takes long enough
    found = inspect(open_for_platform(parse_location(image), access, platform))
    emit(output, text=_text(found), data=_json(found))


def _text(found: Inspection) -> str:
    facts = {
        "Reference": found.reference,
        "Source": found.source,
        "Revision": found.revision,
        "Licence": found.licence,
        "Created": found.created,
        "Platform": found.platform,
        "Base": found.base,
        "Model": f"{len(found.files)} files, {human_bytes(found.size)}",
        "Layers": f"{len(found.layers)}, {human_bytes(sum(layer.size for layer in found.layers))}",
    }
    lines = [f"{name + ':':<11} {one_line(value)}" for name, value in facts.items() if value]
    rows = [(file.path, human_bytes(file.size), _short(file.layer)) for file in found.files]
    return "\n".join([*lines, "", table(("FILE", "SIZE", "LAYER"), rows), "", f"Readable by: {_readers(found)}"])


def _readers(found: Inspection) -> str:
    """Return who can read the image, and who perhaps; `verify` says why, and why the others cannot."""
    marks = {Answer.YES: "", Answer.PARTLY: " (partly)", Answer.UNKNOWN: " (?)"}
    said = [one.consumer + marks[one.answer] for one in found.consumers if one.answer in marks]
    return ", ".join(said) or "nobody"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]


def _json(found: Inspection) -> dict[str, Any]:
    return {
        "reference": found.reference,
        "digest": found.digest,
        "mediaType": found.media_type,
        "platform": found.platform,
        "created": found.created,
        "source": found.source,
        "revision": found.revision,
        "licence": found.licence,
        "base": found.base,
        "files": [
            {"path": file.path, "bytes": file.size, "layer": file.layer}
            | ({"sha256": file.sha256} if file.sha256 else {})
            for file in found.files
        ],
        "layers": [
            {"digest": layer.digest, "mediaType": layer.media_type, "bytes": layer.size, "model": layer.model}
            for layer in found.layers
        ],
        "bytes": found.size,
        "consumers": [
            {"consumer": one.consumer, "answer": one.answer.value, "why": one.why} for one in found.consumers
        ],
    }
