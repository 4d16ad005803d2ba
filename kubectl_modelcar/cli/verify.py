"""`verify IMAGE`."""

from typing import Any

import click

from kubectl_modelcar.cli.options import output_option, progress_option, registry_options
from kubectl_modelcar.cli.output import emit, human_bytes, table
from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.image import Verdict, parse_location
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.registry import RegistryAccess, open_images
from kubectl_modelcar.text import one_line
from kubectl_modelcar.verification import Verification, VerifiedImage, verify


@click.command(name="verify")
@click.argument("image")
@click.option("--deep", is_flag=True, help="Read every byte: digests, sizes, names and the sha256 of each file.")
@click.option("--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Blobs in parallel.")
@registry_options
@output_option("text", "json", "yaml")
@progress_option
def command(image: str, deep: bool, jobs: int, access: RegistryAccess, output: str, progress: Progress) -> None:  # noqa: FBT001  click passes a flag by its name
    """Verify IMAGE where it is stored, every image of an index, and say who can read it.

    All blobs must be there at their sizes, and agree with manifest, config and annotations. With --deep every byte is
    read, through memory. All that is wrong is told; the exit code is 6 then.

    \b
    Examples:
      kubectl modelcar verify quay.io/example/granite:3.1
      kubectl modelcar verify oci:granite-layout:v1 --deep
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    result = verify(open_images(parse_location(image), access), deep=deep, jobs=jobs, progress=progress)
    emit(output, text=_text(result), data=_json(result))
    if result.problems:
        count = len(result.problems)
        raise IntegrityFailure(
            f"{result.reference} has {count} {'problem' if count == 1 else 'problems'}",
            "push the model again, or ask whoever made the image",
        )


def _text(result: Verification) -> str:
    facts = {
        "Reference": result.reference,
        "Images": ", ".join(one.platform or one.digest for one in result.images) if len(result.images) > 1 else None,
        "Checked": _checked(result),
        "Result": f"{len(result.problems)} wrong" if result.problems else "good",
    }
    lines = [f"{name + ':':<11} {one_line(value)}" for name, value in facts.items() if value]
    problems = ["", "PROBLEM", *map(one_line, result.problems)] if result.problems else []
    return "\n".join([*lines, *problems, *_readers(result.images)])


def _checked(result: Verification) -> str:
    said = f"{len(result.blobs)} blobs, {human_bytes(sum(result.blobs.values()))}"
    return f"{said}, every byte" if result.deep else f"{said}, by size; --deep reads every byte"


def _readers(images: tuple[VerifiedImage, ...]) -> list[str]:
    """Return the table of consumers, once for images that have the same."""
    alike: dict[tuple[Verdict, ...], list[str]] = {}
    for image in images:
        if image.consumers:
            alike.setdefault(image.consumers, []).append(image.platform or image.digest)
    lines = []
    for verdicts, names in alike.items():
        rows = [(one.consumer, one.answer.value, one.why) for one in verdicts]
        lines += ["", *([f"{', '.join(map(one_line, names))}:"] if len(alike) > 1 else [])]
        lines.append(table(("CONSUMER", "READS IT", "WHY"), rows))
    return lines


def _json(result: Verification) -> dict[str, Any]:
    return {
        "reference": result.reference,
        "digest": result.digest,
        "mediaType": result.media_type,
        "deep": result.deep,
        "good": not result.problems,
        "problems": list(result.problems),
        "images": [
            {
                "digest": image.digest,
                "platform": image.platform,
                "blobs": len(image.blobs),
                "bytes": sum(image.blobs.values()),
                "problems": list(image.problems),
                "consumers": [
                    {"consumer": one.consumer, "answer": one.answer.value, "why": one.why} for one in image.consumers
                ],
            }
            for image in result.images
        ],
        "seconds": round(result.seconds, 3),
    }
