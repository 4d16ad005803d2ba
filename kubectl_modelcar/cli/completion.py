"""`completion SHELL`."""

import click
from click.shell_completion import get_completion_class

from kubectl_modelcar.cli import COMPLETE


@click.command(name="completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL for the program `kubectl-modelcar`.

    \b
    Examples:
      source <(kubectl-modelcar completion bash)
      source <(kubectl-modelcar completion zsh)
      kubectl-modelcar completion fish | source
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    complete = get_completion_class(shell)
    if complete is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(complete(ctx.find_root().command, {}, "kubectl-modelcar", COMPLETE).source())
