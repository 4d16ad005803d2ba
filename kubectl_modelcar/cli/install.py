"""`install NAME IMAGE`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kubectl_modelcar.cli.invocation import command_name
from kubectl_modelcar.cli.options import (
    Duration,
    cluster_options,
    output_option,
    progress_option,
    registry_options,
)
from kubectl_modelcar.cli.output import emit
from kubectl_modelcar.cluster import (
    CLAIMS,
    ClusterOptions,
    Helm,
    Overrides,
    Reached,
    connect,
    connect_with_helm,
    helm_alone,
)
from kubectl_modelcar.errors import InvalidInput, LocalFailure, ModelcarError, NotAuthorised
from kubectl_modelcar.image import DEFAULT_TAG, ImageReference, Location, parse_location
from kubectl_modelcar.install import (
    InstallCluster,
    Installed,
    InstallRequest,
    Means,
    Preview,
    check_name,
    install,
    preview,
)
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.serving import Accelerator, Reason, ServerImage, Wishes

if TYPE_CHECKING:
    from kubectl_modelcar.registry import RegistryAccess

_STAND_IN = "registry.example.com"
_SHORT = 5.0
"""Seconds that a dry run on the client waits for a cluster."""


@click.command(name="install", short_help="Serve an image's model on the cluster")
@click.argument("name")
@click.argument("image")
@click.option(
    "--accelerator",
    type=click.Choice([a.value for a in Accelerator]),
    default="nvidia",
    show_default=True,
    help="What the model runs on.",
)
@click.option("--gpus", type=click.IntRange(1), help="GPUs of each pod.  [default: 1]")
@click.option(
    "--storage-size", metavar="SIZE", help="Size of the claim, such as 40Gi.  [default: 2.1 times the model and 1Gi]"
)
@click.option("--storage-class", metavar="CLASS", help="Storage class of the claim.  [default: the cluster's]")
@click.option("--served-model-name", metavar="NAME", help="Name of the model in requests.  [default: the image's]")
@click.option("--context-length", type=click.IntRange(1), metavar="TOKENS", help="Longest sequence.")
@click.option("--replicas", type=click.IntRange(0), help="Pods.  [default: 1]")
@click.option("--server-image", metavar="IMAGE", help="vLLM image.  [default: upstream's]")
@click.option("--route/--no-route", default=None, help="Make a Route.  [default: on OpenShift]")
@click.option("--api-key/--no-api-key", default=None, help="Ask for an API key.  [default: with a Route]")
@click.option(
    "-f", "--values", "files", multiple=True, type=click.Path(path_type=Path), help="Values file for helm; repeatable."
)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Value for helm; repeatable.")
@click.option(
    "--dry-run", type=click.Choice(("none", "client", "server")), default="none", help="Print, apply nothing."
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the first token.")
@click.option("--timeout", type=Duration(), default="30m", show_default=True, help="How long to wait.")
@click.option("--create-namespace", is_flag=True, help="Make the namespace if it is not there.")
@click.option("--helm-binary", type=click.Path(), help="helm to use.  [default: HELM_BIN, or the one on PATH]")
@registry_options
@cluster_options
@output_option("text", "json", "yaml", "name")
@progress_option
def command(
    *,
    name: str,
    image: str,
    dry_run: str,
    helm_binary: str | None,
    access: "RegistryAccess",
    cluster: ClusterOptions,
    output: str,
    progress: Progress,
    **options: Any,
) -> None:
    """Serve the model in IMAGE as the release NAME, and wait until it answers.

    The values that the model decides are computed; -v prints them on stderr with their reasons, in a dry run too. What
    -f and --set say wins.

    \b
    Examples:
      kubectl modelcar install granite quay.io/example/granite:3.1 --gpus 2
      kubectl modelcar install qwen3 quay.io/example/qwen3 --dry-run=client -v
      kubectl modelcar install qwen3 quay.io/example/qwen3 --accelerator cpu
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    from kubectl_modelcar.registry import open_image  # noqa: PLC0415  the SDKs load when a command runs

    check_name(name)
    location = parse_location(image)
    pulled = _in_registry(location, name, dry_run, progress)
    if dry_run == "client":
        api, helm, namespace = _perhaps_a_cluster(cluster, helm_binary, progress)
    else:
        api, helm = connect_with_helm(cluster, helm_binary)
        namespace = api.namespace
    request = _request(name, namespace, pulled, access, options)
    opened = open_image(location, access)
    if dry_run == "none" and api is not None:
        means = Means(helm, lambda: _docker_config(pulled, access), _first_token, progress)
        done = install(request, opened, api, means)
        _explain(done.plan.reasons)
        emit(output, text=_text(done), data=_json(done), name=f"release/{name}")
    else:
        shown = preview(request, opened, api, helm, server=dry_run == "server")
        _explain(shown.reasons)
        emit(output, text=shown.manifests.rstrip(), data=_preview_json(request, shown), name=f"release/{name}")


def _in_registry(location: Location, name: str, dry_run: str, progress: Progress) -> ImageReference:
    """Return the image as pods name it; a stand-in for a layout on disk, which they cannot pull."""
    if isinstance(location, ImageReference):
        return location
    if dry_run != "client":
        raise InvalidInput(f"a cluster cannot pull {location}", "push the model to a registry, and install from there")
    stand_in = ImageReference(_STAND_IN, name)
    progress.warn(f"a cluster cannot pull {location}; shown with {stand_in.name} in its place")
    return stand_in


def _request(
    name: str, namespace: str, image: ImageReference, access: "RegistryAccess", options: dict[str, Any]
) -> InstallRequest:
    wishes = Wishes(
        accelerator=Accelerator(options["accelerator"]),
        gpus=options["gpus"],
        storage_size=options["storage_size"],
        storage_class=options["storage_class"],
        served_model_name=options["served_model_name"],
        context_length=options["context_length"],
        replicas=options["replicas"],
        server_image=_server_image(options["server_image"]),
    )
    overrides = Overrides(options["files"], options["sets"])
    overrides.check()
    return InstallRequest(
        name=name,
        namespace=namespace,
        reference=image.name,
        tag=image.tag or ("" if image.digest else DEFAULT_TAG),
        wishes=wishes,
        overrides=overrides,
        plain_http=access.plain_http,
        insecure=access.insecure,
        registry_ca=_pem(access.ca_file),
        **{key: options[key] for key in ("route", "api_key", "create_namespace", "wait", "timeout")},
    )


def _server_image(text: str | None) -> ServerImage | None:
    if text is None:
        return None
    image = parse_location(text)
    if not isinstance(image, ImageReference) or not (image.tag or image.digest):
        raise InvalidInput(
            f"--server-image {text} does not say which version", "write HOST/REPO:TAG or HOST/REPO@DIGEST"
        )
    return ServerImage(image.name, image.tag or "", image.digest or "")


def _pem(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LocalFailure(f"cannot read certificates from {path}", "--ca-file takes a PEM file") from error


def _perhaps_a_cluster(
    options: ClusterOptions, helm_binary: str | None, progress: Progress
) -> tuple[InstallCluster | None, Helm, str]:
    """Return the cluster if it answers, since it decides some values; a dry run on the client goes on without."""
    namespace = options.namespace or "default"
    helm = helm_alone(helm_binary)
    try:
        api = connect(replace(options, request_timeout=options.request_timeout or _SHORT))
        namespace = api.namespace
        api.list(CLAIMS)
    except ModelcarError as error:
        progress.warn(f"{error.message}; shown as for a plain Kubernetes")
        return None, helm, namespace
    return api, helm, namespace


def _docker_config(image: ImageReference, access: "RegistryAccess") -> bytes:
    from kubectl_modelcar.registry import docker_config, find_credential  # noqa: PLC0415  as above

    credential = find_credential(image, access.authfile)
    if credential is None:  # they were there a moment ago, when the image was read
        raise NotAuthorised(f"there are no credentials for {image.registry} any more", "log in to that registry again")
    return docker_config(image, credential)


def _first_token(reached: Reached, silence: float) -> float:
    from kubectl_modelcar.chat import Client, Endpoint  # noqa: PLC0415  HTTP/SSE, not for dry runs

    endpoint = Endpoint.parse(
        reached.url,
        headers=reached.headers,
        ssl_context=reached.ssl_context,
        model=reached.model,
        proxy=reached.proxy,
    )
    with Client(endpoint, idle_seconds=silence) as client:
        return client.first_token()


def _explain(reasons: Sequence[Reason]) -> None:
    if click.get_current_context().params.get("verbose"):
        for reason in reasons:
            click.echo(f"# {reason}", err=True)


def _text(done: Installed) -> str:
    chat = f"{command_name()} chat {done.name} -n {done.namespace}"
    if not done.ready:
        return f"Watch: {command_name()} status {done.name} -n {done.namespace} -w\nChat:  {chat}"
    lines = []
    if done.reached is not None:
        url = done.reached.public_url or f"{done.reached.inside}/v1 (inside the cluster)"
        lines.append(f"URL:  {url}")
    if done.api_key_secret:
        template = "'{{index .data \"api-key\" | base64decode}}'"
        lines.append(f"Key:  kubectl get secret {done.api_key_secret} -n {done.namespace} -o go-template={template}")
    return "\n".join([*lines, f"Chat: {chat}"])


def _json(done: Installed) -> dict[str, Any]:
    reached = done.reached
    return {
        "name": done.name,
        "namespace": done.namespace,
        "image": done.image,
        "revision": done.revision,
        "ready": done.ready,
        "url": None if reached is None else reached.public_url,
        "insideUrl": None if reached is None else reached.inside,
        "via": None if reached is None else reached.via,
        "model": done.plan.served_model_name,
        "apiKeySecret": done.api_key_secret,
        "firstTokenSeconds": None if done.first_token_seconds is None else round(done.first_token_seconds, 3),
        "chat": f"{command_name()} chat {done.name} -n {done.namespace}",
        "reasons": _reasons(done.plan.reasons),
    }


def _preview_json(request: InstallRequest, shown: Preview) -> dict[str, Any]:
    import yaml  # noqa: PLC0415  for dry runs

    return {
        "name": request.name,
        "namespace": request.namespace,
        "image": shown.image,
        "values": shown.values,
        "reasons": _reasons(shown.reasons),
        "manifests": [document for document in yaml.safe_load_all(shown.manifests) if document],
    }


def _reasons(reasons: Sequence[Reason]) -> list[dict[str, str]]:
    return [{"value": reason.value, "chosen": reason.chosen, "why": reason.why} for reason in reasons]
