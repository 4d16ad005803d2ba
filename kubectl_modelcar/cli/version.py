"""`version`."""

import click

from kubectl_modelcar import __version__
from kubectl_modelcar.cli.output import emit


@click.command(name="version")
@click.option(
    "-o", "--output", type=click.Choice(("text", "json", "yaml")), default="text", help="Format of the result."
)
def command(output: str) -> None:
    """Print the version of this program."""
    emit(output, text=__version__, data={"version": __version__})
