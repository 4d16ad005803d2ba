"""The command line: the only place that knows click, and the one place that turns errors into text and exit codes."""

import os
import sys
import traceback
from typing import Any

import click

from kubectl_modelcar import __version__
from kubectl_modelcar.cli.commands import Commands
from kubectl_modelcar.cli.invocation import command_name
from kubectl_modelcar.cli.options import VERBOSE
from kubectl_modelcar.cli.output import forget_stdout
from kubectl_modelcar.errors import ModelcarError
from kubectl_modelcar.text import escaped, one_line, redacted

__all__ = ["COMPLETE", "main", "root"]

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE
USAGE = 2
BUG = 1
COMPLETE = "_KUBECTL_MODELCAR_COMPLETE"  # where completion scripts put what they ask


@click.version_option(__version__, message="%(version)s")
@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def root() -> None:
    """Take a language model from Hugging Face to an OCI image, to a running vLLM server, to an answer.

    \b
    SOURCE is ORG/NAME[@REVISION], hf://ORG/NAME[@REVISION], or a folder (./x, /x).
    IMAGE  is HOST/REPO[:TAG][@DIGEST], or oci:FOLDER[:TAG] for an OCI layout on disk.
    NAME   is the release that `install` makes.
    """  # noqa: D301  \b is click's mark for "do not rewrap"


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code; every expected error becomes one `error:` line and a hint."""
    name, meta = command_name(), dict[str, Any]()
    try:
        _invoke(name, arguments, meta)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        forget_stdout()  # whoever read it is gone
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  the edge: what nobody expected is a bug, and is said to be one
        if meta.get(VERBOSE):
            click.echo(redacted(escaped("".join(traceback.format_exception(error)))), err=True, nl=False)
        return _explain(name, error)
    return 0


def _invoke(name: str, arguments: list[str], meta: dict[str, Any]) -> None:
    """Run the command; it leaves what it was told about errors in `meta`."""
    if COMPLETE in os.environ:  # a shell asks; click answers and leaves
        root.main(arguments, prog_name=name, complete_var=COMPLETE)
    # Not root.main: it turns a reader who left into exit code 1.
    with root.make_context(name, arguments) as context:
        try:
            root.invoke(context)
        finally:
            meta.update(context.meta)
    sys.stdout.flush()


def _explain(name: str, error: Exception) -> int:
    """Say what went wrong on stderr and return the exit code for it."""
    match error:
        case ModelcarError():
            # Below this floor nobody knows by which name we were called.
            _complain(error.message, error.hint and error.hint.replace("kubectl modelcar", name))
            return error.exit_code
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message())
            return 0
        case click.ClickException():
            context: click.Context | None = getattr(error, "ctx", None)
            _complain(error.format_message(), f"{context.command_path if context else name} --help shows what it takes")
            return USAGE
        case _:
            _complain(f"this is a bug: {type(error).__name__}: {error}", f"{name} ... -v shows where; please report it")
            return BUG


def _complain(message: str, hint: str | None) -> None:
    click.echo(f"error: {one_line(redacted(message))}", err=True)
    if hint:
        click.echo(f"hint: {one_line(redacted(hint))}", err=True)
