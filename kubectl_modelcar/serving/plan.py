"""From a model and what the user wishes to the chart's values, with a reason for every number."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.serving.model import ModelFacts
from kubectl_modelcar.serving.quantity import format_bytes, parse_quantity
from kubectl_modelcar.serving.sizing import (
    Sized,
    claim_size,
    cpu_memory,
    gpu_count,
    gpu_memory,
    holds,
    shared_memory,
    startup_looks,
)

__all__ = [
    "Accelerator",
    "Reason",
    "ServerImage",
    "ServingPlan",
    "Surroundings",
    "Wishes",
    "plan_serving",
]

_LOOK_PERIOD = 10
"""Seconds between two startup probes."""
_NUMERIC_USER = 1001
"""A user that is not root, for clusters that choose none: the uid that Red Hat's vLLM images are made for."""
_CPU_IMAGE = "docker.io/vllm/vllm-openai-cpu"
_CPU_TAG = "v0.32.0"
"""The release of the chart's own default image, built for CPUs (on Docker Hub since vLLM 0.16)."""


class Accelerator(StrEnum):
    """What the model runs on."""

    NVIDIA = "nvidia"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class ServerImage:
    """An image by its parts, as the chart takes it."""

    repository: str
    tag: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for; None leaves it to the rules."""

    accelerator: Accelerator = Accelerator.NVIDIA
    gpus: int | None = None
    storage_size: str | None = None
    storage_class: str | None = None
    served_model_name: str | None = None
    context_length: int | None = None
    replicas: int | None = None
    server_image: ServerImage | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the cluster and the registry decide."""

    route: bool
    """Whether to make a Route."""
    assigns_users: bool
    """Whether the cluster gives each namespace its own user and group ids, as OpenShift does."""
    pull_secret: str | None = None
    api_key_secret: str | None = None
    claim_size: str | None = None
    """Size that the release's claim asks for, where one is there already."""
    ca_config_map: str | None = None
    """Whom the puller trusts for the model's registry."""
    plain_http: bool = False
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value is what it is."""

    value: str
    """Dotted path in the chart's values."""
    chosen: str
    why: str

    def __str__(self) -> str:
        """Return it as a line: `storage.size = 40Gi: twice the model ...`."""
        return f"{self.value} = {self.chosen}: {self.why}"


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How a model is to be served."""

    served_model_name: str
    reasons: tuple[Reason, ...]
    _values: Mapping[str, Any]

    def values(self) -> Mapping[str, Any]:
        """Return the chart's values, as helm takes them in `-f`."""
        return self._values


def plan_serving(model: ModelFacts, wishes: Wishes, surroundings: Surroundings) -> ServingPlan:
    """Choose every value that the model, the wishes and the cluster decide.

    Raises InvalidInput where a wish cannot be had with this model.
    """
    served = wishes.served_model_name or model.reference.rpartition("/")[2]
    compute, compute_reasons = _compute(model, wishes)
    storage, storage_reasons = _storage(model, wishes, surroundings)
    looks = startup_looks(model.weight_bytes, _LOOK_PERIOD)
    args, arg_reasons = _context(model, wishes)
    server: dict[str, Any] = {
        "args": args,
        "startup": {"periodSeconds": _LOOK_PERIOD, "failureThreshold": looks.amount},
        **compute["server"],
    }
    if surroundings.api_key_secret:
        server["apiKey"] = {"existingSecret": surroundings.api_key_secret}
    values: dict[str, Any] = {
        "model": {"image": _image_values(model, surroundings), "servedName": served},
        "storage": storage,
        "server": server,
        "accelerator": compute["accelerator"],
        "route": {"enabled": surroundings.route},
    }
    if wishes.replicas is not None:
        values["replicas"] = wishes.replicas
    if not surroundings.assigns_users:
        values["podSecurityContext"] = {
            "runAsUser": _NUMERIC_USER,
            "runAsGroup": 0,
            "fsGroup": _NUMERIC_USER,
        }
    reasons = (
        *compute_reasons,
        *storage_reasons,
        *arg_reasons,
        Reason("server.startup.failureThreshold", str(looks.amount), looks.reason),
    )
    return ServingPlan(served, reasons, values)


def _image_values(model: ModelFacts, surroundings: Surroundings) -> dict[str, Any]:
    return {
        "reference": model.reference,
        "digest": model.digest,
        "tag": model.tag,
        **({"pullSecret": surroundings.pull_secret} if surroundings.pull_secret else {}),
        **({"ca": {"configMap": surroundings.ca_config_map}} if surroundings.ca_config_map else {}),
        **({"plainHttp": True} if surroundings.plain_http else {}),
        **({"insecure": True} if surroundings.insecure else {}),
    }


def _compute(model: ModelFacts, wishes: Wishes) -> tuple[dict[str, Any], tuple[Reason, ...]]:
    if wishes.accelerator is Accelerator.CPU:
        return _on_cpu(model, wishes)
    gpus = gpu_count(wishes.gpus, model.architecture)
    shm = shared_memory(gpus.amount)
    request, limit = gpu_memory(model.weight_bytes, gpus.amount, shm.amount)
    server = {
        "resources": _memory(request, limit),
        "shm": {"sizeLimit": f"{shm.amount}Gi"},
        **_server_image(wishes.server_image),
    }
    reasons = (
        Reason("accelerator.count", str(gpus.amount), gpus.reason),
        *_memory_reasons(request, limit),
        Reason("server.shm.sizeLimit", f"{shm.amount}Gi", shm.reason),
    )
    return {"server": server, "accelerator": {"count": gpus.amount}}, reasons


def _on_cpu(model: ModelFacts, wishes: Wishes) -> tuple[dict[str, Any], tuple[Reason, ...]]:
    if wishes.gpus:
        raise InvalidInput(f"--gpus {wishes.gpus} and --accelerator cpu contradict each other", "leave one out")
    shm = shared_memory(1)
    request, limit, cache = cpu_memory(model.weight_bytes, shm.amount)
    server = {
        "resources": _memory(request, limit),
        "shm": {"sizeLimit": f"{shm.amount}Gi"},
        "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": str(cache.amount)}],
        **_server_image(wishes.server_image or ServerImage(_CPU_IMAGE, _CPU_TAG)),
    }
    reasons = (
        Reason("accelerator.count", "0", "--accelerator cpu"),
        *_memory_reasons(request, limit),
        Reason("server.env.VLLM_CPU_KVCACHE_SPACE", f"{cache.amount} GiB", cache.reason),
    )
    return {"server": server, "accelerator": {"count": 0}}, reasons


def _memory(request: Sized, limit: Sized) -> dict[str, Any]:
    return {"requests": {"memory": f"{request.amount}Gi"}, "limits": {"memory": f"{limit.amount}Gi"}}


def _memory_reasons(request: Sized, limit: Sized) -> tuple[Reason, Reason]:
    return (
        Reason("server.resources.requests.memory", f"{request.amount}Gi", request.reason),
        Reason("server.resources.limits.memory", f"{limit.amount}Gi", limit.reason),
    )


def _server_image(image: ServerImage | None) -> dict[str, Any]:
    if image is None:
        return {}
    return {"image": {"repository": image.repository, "tag": image.tag, "digest": image.digest}}


def _storage(
    model: ModelFacts, wishes: Wishes, surroundings: Surroundings
) -> tuple[dict[str, Any], tuple[Reason, ...]]:
    if wishes.storage_size is not None:
        _check_claim_size(wishes.storage_size, model.total_bytes, surroundings.claim_size)
        size, why = wishes.storage_size, "--storage-size"
    elif surroundings.claim_size and holds(parse_quantity(surroundings.claim_size), model.total_bytes):
        # As it is, to the letter: a claim cannot shrink, and many storage classes cannot grow one.
        size, why = surroundings.claim_size, "the claim that is there already is large enough"
    else:
        sized = claim_size(model.total_bytes)
        size, why = f"{sized.amount}Gi", sized.reason
    storage: dict[str, Any] = {"size": size}
    if wishes.storage_class is not None:
        storage["storageClass"] = wishes.storage_class
    return storage, (Reason("storage.size", size, why),)


def _check_claim_size(size: str, model_bytes: int, existing: str | None) -> None:
    if parse_quantity(size) < model_bytes:
        raise InvalidInput(
            f"--storage-size {size}: the model alone has {format_bytes(model_bytes)}",
            f"ask for {claim_size(model_bytes).amount}Gi, or leave it out",
        )
    if existing is not None and parse_quantity(size) < parse_quantity(existing):
        raise InvalidInput(
            f"--storage-size {size}: the claim that is there already has {existing} and cannot shrink",
            "leave it out, or uninstall with --delete-storage first",
        )


def _context(model: ModelFacts, wishes: Wishes) -> tuple[list[str], tuple[Reason, ...]]:
    """Choose vLLM's --max-model-len.

    `auto` (vLLM 0.14 and newer) lets the server find the longest context that fits its GPU. It is said only where we
    know the server's version, and never on CPU, where it comes down to 512 tokens.
    """
    limit = model.architecture.context if model.architecture else None
    if wishes.context_length is not None:
        if limit and wishes.context_length > limit:
            raise InvalidInput(
                f"--context-length {wishes.context_length}: the model was made for at most {limit} tokens",
                f"choose {limit} or fewer",
            )
        args = [f"--max-model-len={wishes.context_length}"]
        return args, (Reason("server.args", args[0], "--context-length"),)
    if wishes.accelerator is Accelerator.NVIDIA and wishes.server_image is None:
        args = ["--max-model-len=auto"]
        return args, (Reason("server.args", args[0], "vLLM finds the longest context that fits the GPU"),)
    return [], ()
