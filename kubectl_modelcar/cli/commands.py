"""The commands by name, with the line that help shows; a command's own module is imported when it runs."""

import copy
import difflib
import importlib

import click

from kubectl_modelcar.cli.invocation import command_name

COMMANDS = {
    "push": "Push a model from Hugging Face or a folder as an image",
    "pull": "Pull an image into a plain model folder",
    "inspect": "Show the files, layers and origin of an image",
    "verify": "Check an image where it is stored, and who can read it",
    "install": "Serve an image's model on the cluster",
    "status": "Show how far an installed model is",
    "uninstall": "Remove an installed model",
    "chat": "Talk to a model that is served",
    "completion": "Print the completion script of a shell",
    "version": "Print the version",
}


class Commands(click.Group):
    """A group whose commands are loaded one at a time, so that help and completion import click alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of a user's way."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that was asked for."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"kubectl_modelcar.cli.{cmd_name}").command
        name, text = command_name(), command.help or ""
        if name != "oc modelcar":
            return command
        called_by_oc = copy.copy(command)  # whose examples can be typed as they are
        called_by_oc.help = text.replace("kubectl modelcar", name)
        return called_by_oc

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may be meant."""
        close = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and close and not args[0].startswith("-"):
            raise click.UsageError(f"No such command '{args[0]}'. Did you mean {close[0]}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[click.shell_completion.CompletionItem]":
        """Complete command names from the table, and options as click does."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  only a completing shell needs it

        names = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]
