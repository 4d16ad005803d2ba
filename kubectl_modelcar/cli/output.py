"""Results go to stdout, in the format that was asked for; everything else goes to stderr."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.text import escaped, one_line

CLOSE_DISPLAY = "kubectl_modelcar.close_display"


def emit(output: str, *, text: str, data: Mapping[str, Any], name: str | None = None) -> None:
    """Print a result as text, json, yaml or name.

    Raises LocalFailure when stdout does not take it.
    """
    context = click.get_current_context(silent=True)
    if context:
        context.meta.get(CLOSE_DISPLAY, lambda: None)()
    try:
        click.echo(_rendered(output, text, data, name))
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_stdout()
        raise LocalFailure(
            f"the result cannot be written to stdout: {error.strerror}",
            "the work itself is done; ask for the result again",
        ) from error


def forget_stdout() -> None:
    """Keep the interpreter from writing at its end what stdout has not taken; it would leave with a code of its own."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _rendered(output: str, text: str, data: Mapping[str, Any], name: str | None) -> str:
    match output:
        case "json":
            return json.dumps(data, indent=2)  # ASCII: nothing in it acts on a terminal
        case "yaml":
            import yaml  # noqa: PLC0415  only this format needs it

            return yaml.safe_dump(dict(data), sort_keys=False).rstrip()  # ASCII, as JSON is
        case "name":
            return name or text
        case _:
            return escaped(text)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table the kubectl way: upper-case header, three spaces, no lines."""
    cells = [list(header), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def human_bytes(size: float) -> str:
    """Return a size for people, in decimal units as registries and disks count: 269.0 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004  the step of decimal units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
