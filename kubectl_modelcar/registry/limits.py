"""What public registries are known not to take, to be said before the first byte is sent.

Documented figures and reports, none of them a promise: a limit may have been raised since, or not hold for one account.
So they warn and never refuse. A registry that is not in the table has no limit that is known.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from kubectl_modelcar.image import LayoutReference, Location, ModelFile

_MIB, _GIB = 2**20, 2**30
_MB, _GB = 10**6, 10**9
_UPLINK = 12.5 * _MB  # bytes a second: 100 Mbit/s, what is expected of an uplink before a time limit is spoken of


@dataclass(frozen=True, slots=True)
class Limits:
    """What a registry takes, in bytes and seconds; None is not known."""

    name: str
    layer: int | None = None
    """One blob."""
    request: int | None = None
    """One request's body: a blob in one piece is one."""
    chunk: int | None = None
    """One PATCH with a Content-Range."""
    seconds: float | None = None
    """From the beginning of an upload to its end."""
    manifest: int | None = None


class Layer(Protocol):
    """A layer that is going to be sent."""

    @property
    def name(self) -> str:
        """What to call it when talking to people."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def files(self) -> Sequence[ModelFile]:
        """The files that it is made of; none of a layer that is copied as it is."""


_TABLE = (
    # docs.github.com, "Working with the Container registry": 10 GB a layer, 10 minutes an upload. The chunk was
    # observed: rust-oci-client issue 35.
    (r"ghcr\.io", Limits("GitHub's registry", layer=10 * _GB, chunk=4 * _MIB, seconds=600)),
    # docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html, "Maximum layer size"; parts of 5 to 10 MiB are
    # for its own API.
    (r"\d+\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?", Limits("Amazon ECR", layer=52_000 * _MIB)),
    # docs.aws.amazon.com/AmazonECR/latest/public/public-service-quotas.html
    (r"public\.ecr\.aws", Limits("Amazon ECR Public", layer=10_000 * _MIB)),
    # learn.microsoft.com/azure/container-registry/container-registry-skus: 200 GiB a layer, 4 MiB a manifest
    (r"[a-z0-9-]+\.azurecr\.(io|cn|us)", Limits("Azure Container Registry", layer=200 * _GIB, manifest=4 * _MIB)),
    # oras-py pull request 137, 2024: "will not accept a single blob put over 20GB"
    (r"quay\.io", Limits("quay.io", request=20 * _GB)),
    # support.huaweicloud.com/eu/swr_faq/swr_faq_1012.html
    (r"swr\.[a-z0-9-]+\.myhuaweicloud\.(com|eu)", Limits("Huawei's SWR", layer=10 * _GB)),
    # cloudflare/serverless-registry issue 71; behind a domain of one's own it cannot be told from others
    (r"[a-z0-9.-]+\.workers\.dev", Limits("Cloudflare's serverless registry", request=500 * _MB)),
)


def limits_of(host: str) -> Limits | None:
    """Return what is known of a registry by its HOST[:PORT]."""
    name = host.lower().removesuffix(":443")
    return next((limits for pattern, limits in _TABLE if re.fullmatch(pattern, name)), None)


def limit_warnings(location: Location, layers: Sequence[Layer], manifest_size: int = 0) -> list[str]:
    """Return a sentence for each layer that the registry of `location` will probably not take: which, why, what helps.

    `manifest_size` is in bytes. An OCI layout takes everything.
    """
    limits = None if isinstance(location, LayoutReference) else limits_of(location.registry)
    if limits is None:
        return []
    return [*_of_layers(limits, layers), *_of_manifest(limits, manifest_size)]


def _of_layers(limits: Limits, layers: Sequence[Layer]) -> Iterator[str]:
    for layer in layers:
        what = f"{layer.name} ({_amount(layer.size)})"
        if limits.layer and layer.size > limits.layer:
            yield f"{limits.name} takes layers of up to {_amount(limits.layer)}: {what} {_way_out(layer, limits.layer)}"
        elif limits.request and layer.size > limits.request:
            said = f"{limits.name} is known to refuse more than {_amount(limits.request)} in one request"
            yield f"{said}: {what} {_way_out(layer, limits.request)}"
        elif limits.seconds and layer.size > limits.seconds * _UPLINK:
            rate = layer.size / limits.seconds
            yield (
                f"{limits.name} ends an upload after {limits.seconds / 60:.0f} minutes: {what} needs {_amount(rate)} a "
                "second; with --jobs 1 a layer has the uplink to itself"
            )


def _of_manifest(limits: Limits, size: int) -> Iterator[str]:
    if limits.manifest and size > limits.manifest:
        yield (
            f"{limits.name} takes manifests of up to {_amount(limits.manifest)}, this one has about {_amount(size)}: "
            "leave files out with --exclude"
        )


def _way_out(layer: Layer, limit: int) -> str:
    """Say what helps: several files in one layer can be parted, one file needs other shards or another registry."""
    too_large = f"is too large by {_amount(layer.size - limit)}"
    if not layer.files:
        return f"{too_large}: push to another registry, or push the model itself, in smaller shards (max_shard_size)"
    largest = max(layer.files, key=lambda file: file.size)
    if largest.size <= limit:
        return "holds more than a file: with --format artifact each file is a layer, and nothing else"
    return (
        f"{too_large}: save the model in smaller shards (max_shard_size), push to "
        f"another registry, or leave it out with --exclude {largest.path}"
    )


def _amount(size: float) -> str:
    if size < _GB:
        return f"{size / _MB:.1f} MB"
    return f"{size / _GB:.1f} GB"
