"""`status NAME`."""

from typing import Any

import click

from kubectl_modelcar.cli.invocation import command_name
from kubectl_modelcar.cli.options import Duration, cluster_options, output_option, progress_option
from kubectl_modelcar.cli.output import emit, table
from kubectl_modelcar.cluster import ClusterOptions, connect
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.status import Status, status


@click.command(name="status", short_help="Show how far an installed model is")
@click.argument("name")
@click.option("-w", "--watch", is_flag=True, help="Wait until it is ready.")
@click.option("--timeout", type=Duration(), default="30m", show_default=True, help="How long to wait with -w.")
@cluster_options
@output_option("text", "json", "yaml")
@progress_option
def command(
    name: str, *, watch: bool, timeout: float, cluster: ClusterOptions, output: str, progress: Progress
) -> None:
    """Show how far the release NAME is: each stage, and what it waits for.

    \b
    Examples:
      kubectl modelcar status granite
      kubectl modelcar status granite -w --timeout 1h -n models
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    result = status(name, connect(cluster), progress, watch_for=timeout if watch else None)
    emit(output, text=_text(result), data=_json(result))


def _text(result: Status) -> str:
    rows = [(stage.name, stage.state, stage.detail or "<none>") for stage in result.stages]
    lines = [table(("STAGE", "STATE", "DETAIL"), rows)]
    if result.is_ready:
        lines += ["", f"Chat: {command_name()} chat {result.name} -n {result.namespace}"]
    hints = [f"Hint: {stage.name}: {stage.hint}" for stage in result.stages if stage.hint]
    return "\n".join([*lines, *(hint.replace("kubectl modelcar", command_name()) for hint in hints)])


def _json(result: Status) -> dict[str, Any]:
    reached = result.reached
    return {
        "name": result.name,
        "namespace": result.namespace,
        "ready": result.is_ready,
        "stages": [
            {"name": stage.name, "state": stage.state, "detail": stage.detail, "hint": stage.hint}
            for stage in result.stages
        ],
        "url": None if reached is None else reached.public_url,
        "insideUrl": None if reached is None else reached.inside,
        "via": None if reached is None else reached.via,
        "model": None if reached is None else reached.model,
    }
