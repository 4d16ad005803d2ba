"""Simple rules that turn a model's size into the numbers of a pod. Each rule returns its number and its reason.

They decide how much room to ask for, not how long the context may be: vLLM measures that itself and is right.
"""

import math
from dataclasses import dataclass

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.serving.architecture import Architecture
from kubectl_modelcar.serving.quantity import GIB, format_bytes, gib

__all__ = ["Sized", "claim_size", "cpu_memory", "gpu_count", "gpu_memory", "holds", "shared_memory", "startup_looks"]

_SLOWEST_READ = 200_000_000
"""Bytes a second of the slowest volumes that weights are commonly read from (network block storage, NFS)."""
_WARM_UP = 180
"""Seconds for torch.compile and CUDA graphs on a cold cache."""
_SHORTEST_BUDGET = 600
"""Seconds; vLLM's own VLLM_ENGINE_READY_TIMEOUT_S."""
_HOST_MEMORY_PER_GPU = 30
"""GiB; the preset that OME gives a serving pod for each GPU."""
_KV_CACHE_ON_CPU = 4
"""GiB; given to vLLM as VLLM_CPU_KVCACHE_SPACE."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A number and the sentence that says where it comes from."""

    amount: int
    reason: str


def gpu_count(asked: int | None, architecture: Architecture | None) -> Sized:
    """Return how many GPUs, which is vLLM's tensor parallel size too.

    Raises InvalidInput where the model cannot be split so.
    """
    if asked is None:
        return Sized(1, "one GPU, as --gpus does not say otherwise")
    heads = architecture.heads if architecture else None
    if asked < 1:
        raise InvalidInput(f"--gpus {asked}: a GPU server needs at least one", "or use --accelerator cpu")
    if heads and heads % asked:
        fitting = ", ".join(str(n) for n in (1, 2, 4, 8, 16) if heads % n == 0)
        raise InvalidInput(
            f"--gpus {asked}: the model has {heads} attention heads, which cannot be split over {asked} GPUs",
            f"choose one of {fitting}",
        )
    return Sized(asked, f"--gpus {asked}; the model is split over them (tensor parallel)")


def claim_size(model_bytes: int) -> Sized:
    """Return the GiB of the claim: twice the model, as an update is pulled beside the version that it replaces."""
    return Sized(
        gib(2 * model_bytes * 1.05 + GIB),
        f"twice the model ({format_bytes(model_bytes)}), so that an update fits beside it, with 5 % and 1 GiB over",
    )


def holds(claim_bytes: int, model_bytes: int) -> bool:
    """Tell whether a claim that is there already is large enough for the model, once."""
    return claim_bytes >= model_bytes * 1.05


def gpu_memory(weight_bytes: int, gpus: int, shm: int) -> tuple[Sized, Sized]:
    """Return request and limit in GiB of host memory beside `gpus` GPUs; `shm` GiB of /dev/shm count as memory."""
    request = max(8, min(gib(1.2 * weight_bytes), _HOST_MEMORY_PER_GPU * gpus))
    limit = max(request, gib(1.2 * weight_bytes) + 8 * gpus) + shm
    return (
        Sized(request, f"1.2 times the weights, at least 8 GiB and at most {_HOST_MEMORY_PER_GPU} GiB a GPU"),
        Sized(limit, f"1.2 times the weights, 8 GiB a GPU, and {shm} GiB of /dev/shm"),
    )


def cpu_memory(weight_bytes: int, shm: int) -> tuple[Sized, Sized, Sized]:
    """Return request and limit in GiB of a server without GPU, and the GiB of its KV cache."""
    request = gib(1.2 * weight_bytes) + _KV_CACHE_ON_CPU + 2
    return (
        Sized(request, f"1.2 times the weights, {_KV_CACHE_ON_CPU} GiB of KV cache, and 2 GiB for the program"),
        Sized(request + gib(weight_bytes) + shm, f"the request, the weights once more, and {shm} GiB of /dev/shm"),
        Sized(_KV_CACHE_ON_CPU, "vLLM's own default on CPU"),
    )


def shared_memory(gpus: int) -> Sized:
    """Return the GiB of /dev/shm, where the processes of one server (NCCL) meet."""
    if gpus <= 1:
        return Sized(2, "one process needs little shared memory")
    return Sized(max(8, 2 * gpus), f"{gpus} processes exchange tensors through it")


def startup_looks(weight_bytes: int, period: int) -> Sized:
    """Return how often, `period` seconds apart, the startup probe looks before the server counts as failed."""
    seconds = max(_SHORTEST_BUDGET, math.ceil(weight_bytes / _SLOWEST_READ) + _WARM_UP)
    return Sized(
        math.ceil(seconds / period),
        f"{seconds} s to start: reading {format_bytes(weight_bytes)} at {_SLOWEST_READ // 10**6} MB/s and "
        f"{_WARM_UP} s to compile, at least {_SHORTEST_BUDGET} s",
    )
