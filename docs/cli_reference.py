# ruff: noqa: INP001 - a script beside the documents, not a package
"""Write docs/cli.md from the commands themselves; with `--check`, only say whether it is up to date."""

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from kubectl_modelcar.cli import root

REFERENCE = Path(__file__).resolve().parent / "cli.md"
NAME = "kubectl modelcar"
HEAD = """\
<!-- made by docs/cli_reference.py from the commands; change them, then run `make docs` -->

# Commands

With `oc` instead of `kubectl` they are the same. kubectl's own options go after the command's name
(`kubectl modelcar status NAME -n team-a`): kubectl takes none before a plugin's name.

"""


def reference() -> str:
    """Return the whole document."""
    context = click.Context(root, info_name=NAME, **root.context_settings)
    commands = [_command(context, name) for name in root.list_commands(context)]
    usage = f"{_code(f'{NAME} COMMAND [OPTIONS] ...')}\n{_prose(root)}"
    return "\n".join([HEAD + usage, *commands])


def _command(parent: click.Context, name: str) -> str:
    command = root.get_command(parent, name)
    if command is None:
        raise LookupError(f"the group lists {name} and does not have it")
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    options = _table(command.get_params(context), context)
    return "\n".join([f"## {name}\n", _code(usage), _prose(command), options])


def _code(text: str) -> str:
    return f"```\n{text}\n```\n"


def _prose(command: click.Command) -> str:
    """Return a command's help as Markdown; a paragraph whose line breaks click keeps becomes a code block."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n".join(_code(text[2:]) if text.startswith("\b\n") else f"{_escaped(text)}\n" for text in paragraphs)


def _table(parameters: Sequence[click.Parameter], context: click.Context) -> str:
    """Return what `--help` says of each option; the arguments are in the usage line."""
    options = [parameter for parameter in parameters if isinstance(parameter, click.Option)]
    rows = [record for record in (option.get_help_record(context) for option in options) if record]
    return "\n".join(["| Option | What it does |", "| --- | --- |", *(_line(*row) for row in rows)]) + "\n"


def _line(names: str, text: str) -> str:
    cells = (f"`{names}`", _escaped(text))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Return text in which Markdown sees no tags; click's own spacing before defaults is dropped."""
    return re.sub(r" {2,}", " ", text).replace("<", "&lt;")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the document, or with --check return 1 when it would change."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 when it is out of date")
    arguments.add_argument("--output", type=Path, default=REFERENCE, help="the document")
    options = arguments.parse_args(argv)
    made = reference()
    if not options.check:
        options.output.write_text(made, "utf-8")
        return 0
    if options.output.exists() and options.output.read_text("utf-8") == made:
        return 0
    sys.stderr.write(f"{options.output} is out of date; run: make docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
