"""What the puller and vLLM write, read for how far they are and for why they failed. Pure.

vLLM's lines are those of 0.32 (v1/worker/gpu_model_runner.py, default_loader.py, api_server.py); an unknown line says
nothing, and never fails a stage.
"""

import re

from kubectl_modelcar.text import one_line

__all__ = ["puller_error", "puller_progress", "server_cause", "server_phase"]

_PULLER = "puller: "
_PHASES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Application startup complete|Starting vLLM server"), "opening its port"),
    (re.compile(r"Capturing CUDA graphs.*?(\d+%)"), "capturing CUDA graphs {0}"),
    (re.compile(r"torch\.compile|Dynamo bytecode|Compiling a graph|Warming up model"), "compiling"),
    (re.compile(r"Loading weights took"), "weights loaded"),
    (re.compile(r"checkpoint shards:\s+\d+% Completed \| (\d+)/(\d+)"), "loading weights {0}/{1}"),
    (re.compile(r"Starting to load model"), "loading weights"),
    (re.compile(r"Initializing a V1 LLM engine|Resolved architecture"), "starting the engine"),
)
_PREFIX = re.compile(r"^\((?:APIServer|EngineCore|Worker)[^)]*\)\s*(?:ERROR\s+\S+ \S+ \[[^\]]*\]\s*)?")
_CAUSE = re.compile(r"^(?:[\w.]*(?:Error|Exception|Exit)|vllm: error|\S+: error): ?\S")
_SAYS_NOTHING = re.compile(
    r"Engine core initialization failed|See root cause above|WorkerProc initialization failed|EngineDeadError"
)
_COUNTS = re.compile(r"\d+ validation errors? for ")


def puller_progress(log: str) -> str:
    """Return the puller's last line without its prefix: `42% 113.0/269.0 MB`."""
    lines = [line.removeprefix(_PULLER) for line in log.splitlines() if line.startswith(_PULLER)]
    return one_line(lines[-1]) if lines else ""


def puller_error(text: str) -> tuple[str, str | None]:
    """Return the puller's last error and its hint; the last line where it did not come to say one."""
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(f"{_PULLER}error:")]
    hints = [line for line in lines if line.startswith(f"{_PULLER}hint:")]
    if errors:
        hint = one_line(hints[-1].removeprefix(f"{_PULLER}hint:")) if hints else None
        return one_line(errors[-1].removeprefix(f"{_PULLER}error:")), hint
    return one_line(lines[-1]) if lines else "it said nothing", None


def server_phase(log: str) -> str:
    """Return what a starting vLLM is at, empty where its last lines do not say."""
    for line in reversed(log.splitlines()):
        for pattern, phase in _PHASES:
            if match := pattern.search(line):
                return phase.format(*match.groups())
    return ""


def server_cause(log: str) -> str:
    """Return the line that tells why vLLM ended: the last error that names a cause.

    Its very last line seldom does: `RuntimeError: Engine core initialization failed. See root cause above.`
    """
    lines = [_PREFIX.sub("", line).strip() for line in log.splitlines()]
    causes = [place for place, line in enumerate(lines) if _CAUSE.match(line) and not _SAYS_NOTHING.search(line)]
    if causes:
        return one_line(_of_validation(lines, causes[-1]))
    said = [line for line in lines if line]
    return one_line(said[-1]) if said else "it said nothing"


def _of_validation(lines: list[str], place: int) -> str:
    """Return the line, or what pydantic says below a line that only counts: `1 validation error for ModelConfig`."""
    if _COUNTS.search(lines[place]) and place + 1 < len(lines):
        return lines[place + 1].removeprefix("Value error, ").partition(" [type=")[0]
    return lines[place]
