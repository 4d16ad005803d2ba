"""Tests of reading the puller's and vLLM's own words; the logs of vLLM 0.32.0 were recorded."""

from pathlib import Path

import pytest

from kubectl_modelcar.cluster.causes import puller_error, puller_progress, server_cause, server_phase

RECORDED = Path(__file__).parent / "recorded"


def recorded(name):
    return (RECORDED / f"vllm-0.32.0-{name}.log").read_text()


class TestServerCause:
    """Why vLLM ended."""

    @pytest.mark.parametrize(
        ("name", "beginning"),
        [
            (
                "fail-kv-cache-too-small",
                "ValueError: To serve at least one request with the model's max seq len (2048)",
            ),
            ("fail-missing-shard", "FileNotFoundError: Weight files referenced in index but missing"),
            (
                "fail-tensor-parallel-4",
                "Total number of attention heads (9) must be divisible by tensor",
            ),
            ("fail-truncated-shard", "safetensors._safetensors_rust.SafetensorError: Error while deserializing header"),
            ("fail-unknown-flag", "vllm: error: unrecognized arguments: --no-such-flag"),
        ],
    )
    def test_recorded(self, name, beginning):
        """The line with the cause, which is seldom the last one."""
        assert server_cause(recorded(name)).startswith(beginning)

    @pytest.mark.parametrize(
        ("log", "expected"),
        [
            ("", "it said nothing"),
            ("hello\n\n", "hello"),
            ("python3: error: can't open\n", "python3: error: can't open"),
            ("ValueError: \x1b]52;c;evil\x07\n", "ValueError: \\x1b]52;c;evil\\x07"),
            ("1 validation error for X\n", "1 validation error for X"),
        ],
        ids=["nothing", "no error", "another program", "hostile", "cut off"],
    )
    def test_others(self, log, expected):
        """Something is always said, and nothing acts on a terminal."""
        assert server_cause(log) == expected


class TestServerPhase:
    """What a starting vLLM is at."""

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("(EngineCore pid=1) INFO 11-24 [core.py:1] Initializing a V1 LLM engine (v0.32.0)", "starting the engine"),
            ("(Worker pid=1) INFO [x.py:1] Starting to load model /models/1", "loading weights"),
            ("Loading safetensors checkpoint shards:  67% Completed | 2/3 [00:00<00:00]", "loading weights 2/3"),
            ("(Worker pid=1) INFO [x.py:1] Loading weights took 0.41 seconds", "weights loaded"),
            ("(Worker pid=1) INFO [x.py:1] Dynamo bytecode transform time: 3.2 s", "compiling"),
            ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####", "capturing CUDA graphs 40%"),
            ("INFO:     Application startup complete.", "opening its port"),
            ("", ""),
            ("something new", ""),
        ],
    )
    def test_lines(self, line, expected):
        """Each phase by its line; an unknown line says nothing."""
        assert server_phase(f"something else\n{line}\n") == expected

    def test_order_of_a_recorded_start(self):
        """Phases come in their order."""
        lines = recorded("start-compile-bfloat16").splitlines()
        seen = []
        for end in range(1, len(lines) + 1):
            phase = server_phase("\n".join(lines[:end][-120:]))
            if phase and seen[-1:] != [phase]:
                seen.append(phase)
        assert [phase.rstrip("/0123456789 ") for phase in seen if not phase.endswith(("0/3", "2/3"))] == [
            "starting the engine",
            "loading weights",
            "loading weights",
            "weights loaded",
            "compiling",
            "opening its port",
        ]

    def test_progress_bars(self):
        """A bar's carriage returns are line breaks."""
        bar = "shards:  0% Completed | 0/3\rLoading safetensors checkpoint shards:  67% Completed | 2/3"
        assert server_phase(bar) == "loading weights 2/3"


class TestPuller:
    """The puller's lines."""

    def test_progress(self):
        """The last line, without its prefix."""
        assert puller_progress("noise\npuller: pulling x\npuller: 42% 1/2\nnoise\n") == "42% 1/2"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("puller: error: a\npuller: hint: b\n", ("a", "b")),
            ("puller: error: a\npuller: hint: b\npuller: error: c\npuller: hint: d\n", ("c", "d")),
            ("puller: error: a\n", ("a", None)),
            ("sh: python3: not found\n", ("sh: python3: not found", None)),
            ("", ("it said nothing", None)),
        ],
        ids=["both", "the last", "no hint", "not the puller", "nothing"],
    )
    def test_error(self, text, expected):
        """The last error and its hint."""
        assert puller_error(text) == expected
