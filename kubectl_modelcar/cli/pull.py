"""`pull IMAGE FOLDER`."""

from pathlib import Path
from typing import Any

import click

from kubectl_modelcar.cli.options import output_option, progress_option, registry_options
from kubectl_modelcar.cli.output import emit
from kubectl_modelcar.cli.platform import open_for_platform, platform_option
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.pull import PullResult, pull
from kubectl_modelcar.registry import RegistryAccess


@click.command(name="pull")
@click.argument("image")
@click.argument("folder", type=click.Path(path_type=Path))
@platform_option
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Layers in parallel.")
@registry_options
@output_option("text", "json", "yaml")
@progress_option
def command(
    image: str, folder: Path, platform: str, jobs: int, access: RegistryAccess, output: str, progress: Progress
) -> None:
    """Pull the model in IMAGE into the new folder FOLDER, every byte verified.

    It runs the puller of the pods. An interrupted pull goes on where it stopped; a folder that holds just this model
    already is read and checked, and nothing is downloaded.

    \b
    Examples:
      kubectl modelcar pull quay.io/example/granite:3.1 ./granite
      kubectl modelcar pull oci:granite-layout:v1 ./granite
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    result = pull(open_for_platform(parse_location(image), access, platform), folder, jobs=jobs, progress=progress)
    emit(output, text=str(result.folder), data=_json(result))


def _json(result: PullResult) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "reference": f"{result.location.name}@{result.digest}",
        "digest": result.digest,
        "files": [{"path": file.path, "bytes": file.size} for file in result.files],
        "bytes": result.size,
        "seconds": round(result.seconds, 3),
    }
