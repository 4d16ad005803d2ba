"""Which files of a repository or a folder make the model."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from kubectl_modelcar.errors import IntegrityFailure, InvalidInput, NotFoundOrRefused
from kubectl_modelcar.source.model import MOST

# What servers read: weights, configurations, tokenizers of every kind, and the papers that must travel with them.
DEFAULT_PATTERNS = (
    "*.safetensors",
    "*.json",
    "*.jsonl",
    "*.txt",
    "*.model",
    "*.tiktoken",
    "*.jinja",
    "*.jinja2",
    "*.bpe",
    "*.spm",
    "*.vocab",
    "*.yaml",
    "*.yml",
    "*.md",
    "LICENSE*",
    "LICENCE*",
    "NOTICE*",
    "COPYING*",
    "README*",
    "USE_POLICY*",
)
_MISTRAL_WEIGHTS = "consolidated*.safetensors"
_INDEX_SUFFIX = ".safetensors.index.json"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BROKEN_INDEX = "download it again, or leave it out with --exclude"
_MAX_INDEX = MOST - 1  # bytes; the largest known one has 9 MB
_NAMED = 5  # of many problems, how many an error names
_MAX_COMPONENT = 255  # bytes; NAME_MAX of every Linux filesystem that holds volumes


@dataclass(frozen=True, slots=True)
class Selection:
    """The user's own patterns: `include` replaces the default ones, `exclude` takes away."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def pick(self, paths: Iterable[str], *, where: str) -> list[str]:
        """Return the paths to take, sorted.

        Raises NotFoundOrRefused when none is left, IntegrityFailure for a path that no folder can hold safely.
        """
        chosen = [path for path in sorted(paths) if self._wants(path)]
        if not self.include:
            chosen = _without_duplicate_weights(chosen)
        if not chosen:
            patterns = ", ".join(self.include) or "the default patterns"
            raise NotFoundOrRefused(
                f"no file of {where} matches {patterns}" + (f" less {', '.join(self.exclude)}" if self.exclude else ""),
                "see what is there, then choose with --include and --exclude",
            )
        _check_paths(chosen, where)
        return chosen

    def excludes(self, folder: str) -> bool:
        """Tell whether `exclude` takes a folder away as a whole: by its name, or by all that is in it."""
        return _matches(folder, self.exclude) or _matches(f"{folder}/", self.exclude)

    def _wants(self, path: str) -> bool:
        patterns: Iterable[str] = self.include or DEFAULT_PATTERNS
        if _is_hidden(path):  # as in a shell, only by a pattern that has the dot
            patterns = [pattern for pattern in patterns if _is_hidden(pattern)]
        return _matches(path, patterns) and not _matches(path, self.exclude)


def check_shards(paths: Sequence[str], read: Callable[[str], bytes], *, where: str) -> None:
    """Assert that every shard that a safetensors index names is among `paths`; `read` returns a small file whole.

    Raises IntegrityFailure naming all missing shards.
    """
    known = set(paths)
    for index in (path for path in paths if path.endswith(_INDEX_SUFFIX)):
        folder = PurePosixPath(index).parent
        shards = {str(folder / shard) for shard in _weight_map(index, read(index)).values()}
        missing = sorted(shards - known)
        if missing:
            raise IntegrityFailure(
                f"{index} of {where} names {len(missing)} of {len(shards)} shards that are not there: "
                + ", ".join(missing[:_NAMED])
                + (" ..." if len(missing) > _NAMED else ""),
                "complete the download, or check --include and --exclude",
            )


def _weight_map(index: str, data: bytes) -> Mapping[str, str]:
    if len(data) > _MAX_INDEX:
        raise IntegrityFailure(f"{index} is no safetensors index: it has {len(data)} bytes", _BROKEN_INDEX)
    try:
        weight_map = json.loads(data)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        weight_map = None
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise IntegrityFailure(
            f"{index} is no safetensors index: it has no weight_map of tensors to files", _BROKEN_INDEX
        )
    return weight_map


def _without_duplicate_weights(paths: list[str]) -> list[str]:
    """Leave Mistral's second copy of the weights out where the sharded one is there; it would double the image."""
    sharded = {
        PurePosixPath(path).parent for path in paths if fnmatchcase(PurePosixPath(path).name, "model*.safetensors")
    }
    return [
        path
        for path in paths
        if not (fnmatchcase(PurePosixPath(path).name, _MISTRAL_WEIGHTS) and PurePosixPath(path).parent in sharded)
    ]


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(path).parts)


def _matches(path: str, patterns: Iterable[str]) -> bool:
    name = PurePosixPath(path).name
    return any(fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in patterns)


def _check_paths(paths: Sequence[str], where: str) -> None:
    problems = [f"{path!r} {problem}" for path in paths if (problem := _problem(path))]
    folded: dict[str, str] = {}
    for path in paths:
        first = folded.setdefault(path.casefold(), path)
        if first != path:
            problems.append(f"{path!r} and {first!r} differ in case only")
    if problems:
        raise IntegrityFailure(
            f"{where} has file names that are refused: {'; '.join(problems[:_NAMED])}", "leave them out with --exclude"
        )


def _problem(path: str) -> str | None:
    parts = path.split("/")
    if path.startswith("/"):
        return "is absolute"
    if "\\" in path or _CONTROL.search(path):
        return "holds a backslash or control characters"
    if any(part in ("", ".", "..") for part in parts):
        return "leaves its folder"
    if any(len(part.encode(errors="surrogateescape")) > _MAX_COMPONENT for part in parts):
        return f"has a part over {_MAX_COMPONENT} bytes"
    if any("\ud800" <= char <= "\udfff" for char in path):  # how Python shows bytes of a name that are not
        return "is not UTF-8"
    return None


def check_patterns(selection: Selection) -> None:
    """Refuse patterns that can match nothing, such as an empty one."""
    if any(not pattern for pattern in (*selection.include, *selection.exclude)):
        raise InvalidInput("an empty pattern was given", "quote patterns for the shell: --include '*.safetensors'")
