"""Tests of the sizing rules."""

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.serving.architecture import Architecture
from kubectl_modelcar.serving.sizing import (
    claim_size,
    cpu_memory,
    gpu_count,
    gpu_memory,
    holds,
    shared_memory,
    startup_looks,
)

GB = 10**9


def shape(heads):
    return Architecture("X", 1, heads, heads, 64, 1024)


class TestGpuCount:
    """How many GPUs."""

    @pytest.mark.parametrize(
        ("asked", "heads", "expected"),
        [(None, 32, 1), (1, 32, 1), (4, 32, 4), (3, 9, 3), (8, None, 8)],
    )
    def test_allowed(self, asked, heads, expected):
        """One by default; any number that divides the heads."""
        assert gpu_count(asked, shape(heads)).amount == expected

    @pytest.mark.parametrize(
        ("asked", "heads", "message", "hint"),
        [
            (
                3,
                32,
                "--gpus 3: the model has 32 attention heads, which cannot be split over 3 GPUs",
                "choose one of 1, 2, 4, 8, 16",
            ),
            (0, 32, "--gpus 0: a GPU server needs at least one", "or use --accelerator cpu"),
        ],
    )
    def test_refused(self, asked, heads, message, hint):
        """vLLM would fail after the pull; we say it before."""
        with pytest.raises(InvalidInput) as caught:
            gpu_count(asked, shape(heads))
        assert (caught.value.message, caught.value.hint) == (message, hint)


class TestClaimSize:
    """How large the claim is."""

    @pytest.mark.parametrize(
        ("model", "expected"), [(0, 1), (270_000_000, 2), (16 * GB, 33)], ids=["nothing", "small", "8B in 16 bits"]
    )
    def test_sizes(self, model, expected):
        """GiB, rounded up."""
        assert claim_size(model).amount == expected

    @pytest.mark.parametrize(("claim", "expected"), [(17 * GB, True), (16 * GB, False)])
    def test_existing_claim(self, claim, expected):
        """One that is there already must hold the model once, with a margin for the file system."""
        assert holds(claim, 16 * GB) == expected


class TestMemory:
    """Requests and limits."""

    @pytest.mark.parametrize(
        ("weights", "gpus", "shm", "expected"),
        [
            pytest.param(270_000_000, 1, 2, (8, 11), id="small"),
            pytest.param(16 * GB, 1, 2, (18, 28), id="8B"),
            pytest.param(140 * GB, 4, 8, (120, 197), id="70B on 4"),
        ],
    )
    def test_gpu(self, weights, gpus, shm, expected):
        """The request stays below the preset, the limit leaves room for the whole model."""
        request, limit = gpu_memory(weights, gpus, shm)
        assert (request.amount, limit.amount) == expected

    def test_cpu(self):
        """A CPU server holds the weights and the KV cache in memory."""
        assert [sized.amount for sized in cpu_memory(16 * GB, 2)] == [24, 41, 4]


class TestSharedMemory:
    """Memory that processes share."""

    @pytest.mark.parametrize(("gpus", "expected"), [(0, 2), (1, 2), (2, 8), (4, 8), (8, 16)])
    def test_sizes(self, gpus, expected):
        """GiB by the number of processes."""
        assert shared_memory(gpus).amount == expected


class TestStartupLooks:
    """The startup probe's budget."""

    @pytest.mark.parametrize(
        ("weights", "expected"), [(0, 60), (16 * GB, 60), (140 * GB, 88)], ids=["empty", "8B", "70B"]
    )
    def test_budget(self, weights, expected):
        """Looks, ten seconds apart; never less than vLLM's own limit."""
        assert startup_looks(weights, 10).amount == expected
