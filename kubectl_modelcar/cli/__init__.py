"""The command line: the only place that knows click, and the one place that turns errors into text and exit codes."""

import os
import sys
import traceback

import click

from kubectl_modelcar.cli.commands import Commands
from kubectl_modelcar.cli.invocation import command_name
from kubectl_modelcar.errors import ModelcarError

__all__ = ["main", "root"]

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE
USAGE = 2
BUG = 1


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
    name = command_name()
    try:
        root.main(arguments, prog_name=name, standalone_mode=False)
    except ModelcarError as error:
        _trace(arguments)
        _complain(error.message, error.hint)
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context else name
        _complain(error.format_message(), f"{path} --help shows what it takes")
        return USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone; keep the interpreter's own flush at exit from saying so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  the edge: what gets here is a bug, and is said to be one
        _trace(arguments)
        _complain(f"this is a bug: {type(error).__name__}: {error}", f"{name} ... -v shows where; please report it")
        return BUG
    return 0


def _complain(message: str, hint: str | None) -> None:
    click.echo(f"error: {_one_line(message)}", err=True)
    if hint:
        click.echo(f"hint: {_one_line(hint)}", err=True)


def _one_line(text: str) -> str:
    """Return `text` on one line, without anything that a terminal would obey: parts of it come from servers."""
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _trace(arguments: list[str]) -> None:
    if any(argument in ("-v", "--verbose") for argument in arguments):
        traceback.print_exc()
