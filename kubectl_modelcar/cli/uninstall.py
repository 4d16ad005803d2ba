"""`uninstall NAME`."""

from dataclasses import asdict

import click

from kubectl_modelcar.cli.options import cluster_options, output_option, progress_option
from kubectl_modelcar.cli.output import emit
from kubectl_modelcar.cluster import ClusterOptions, connect_with_helm
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.uninstall import Uninstalled, uninstall


@click.command(name="uninstall", short_help="Remove an installed model")
@click.argument("name")
@click.option("--delete-storage", is_flag=True, help="Delete the claim too, and the model in it.")
@click.option("--helm-binary", type=click.Path(), help="helm to use.  [default: HELM_BIN, or the one on PATH]")
@cluster_options
@output_option("text", "json", "yaml", "name")
@progress_option
def command(
    name: str,
    *,
    delete_storage: bool,
    helm_binary: str | None,
    cluster: ClusterOptions,
    output: str,
    progress: Progress,
) -> None:
    """Remove the release NAME. The claim with the model stays, unless --delete-storage is given.

    \b
    Examples:
      kubectl modelcar uninstall granite
      kubectl modelcar uninstall granite --delete-storage -n models
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    api, helm = connect_with_helm(cluster, helm_binary)
    result = uninstall(name, api, helm, delete_storage=delete_storage)
    for claim in result.kept_claims:
        progress.warn(f"claim {claim} stays, with the model in it; --delete-storage deletes it")
    emit(output, text=_text(result), data=_json(result), name=f"release/{name}")


def _text(result: Uninstalled) -> str:
    lines = [f"release {result.name} uninstalled", *(f"claim {claim} deleted" for claim in result.deleted_claims)]
    return "\n".join(lines)


def _json(result: Uninstalled) -> dict[str, object]:
    found = asdict(result)
    return {
        "name": found["name"],
        "namespace": found["namespace"],
        "removed": list(found["removed"]),
        "deletedClaims": list(found["deleted_claims"]),
        "keptClaims": list(found["kept_claims"]),
    }
