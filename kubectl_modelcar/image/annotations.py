"""Annotations and labels: the keys that we set, the files that a layer remembers, and pairs as they are typed."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image.layer import ModelFile

_OURS = "io.github.kubectl-modelcar."
FILES_ANNOTATION = _OURS + "files"
RECIPE_ANNOTATION = _OURS + "recipe"
UNSAFE_ANNOTATION = _OURS + "unsafe"  # "allowed": files that can run code were not looked for

# image-spec annotations.md, "Pre-Defined Annotation Keys".
FACTS = "org.opencontainers.image."
CREATED = FACTS + "created"
SOURCE = FACTS + "source"
REVISION = FACTS + "revision"
LICENSES = FACTS + "licenses"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_UTF_8 = re.compile("[\ud800-\udfff]")  # what Python makes of such bytes in an argument
_HEX = re.compile(r"[0-9a-f]+")


def remember(files: Iterable[ModelFile], sha256: Mapping[str, str]) -> str:
    """Return the value of FILES_ANNOTATION: what is in a layer, with the sha256 (hex, by path) that became known."""
    return compact([_entry(file, sha256.get(file.path) or file.sha256) for file in files])


def remembered_files(annotations: Mapping[str, str]) -> tuple[ModelFile, ...] | None:
    """Return the files that a layer's annotations remember; None where they remember none, or nothing that is sound."""
    try:
        entries = json.loads(annotations.get(FILES_ANNOTATION, "null"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        return None
    return tuple(ModelFile(one["path"], one["size"], one.get("sha256"), one.get("git")) for one in entries)


def parse_pairs(texts: Sequence[str], *, option: str) -> dict[str, str]:
    """Parse KEY=VALUE as it is typed; `option` names where, for errors.

    Raises InvalidInput naming every pair that is wrong: no key, a key twice, a key that only `push` may set.
    """
    pairs: dict[str, str] = {}
    problems = []
    for text in texts:
        key, equals, value = text.partition("=")
        if _NO_UTF_8.search(text):
            problems.append(f"{text!r} is not UTF-8")
        elif not equals or not key or key != key.strip() or _CONTROL.search(key):
            problems.append(f"{text!r} is not KEY=VALUE")
        elif key.startswith(_OURS):
            problems.append(f"{key} is set by push itself")
        elif pairs.setdefault(key, value) != value:
            problems.append(f"{key} is given twice")
    if problems:
        raise InvalidInput(f"{option}: {', '.join(problems)}", f"for example {option} team=search")
    return pairs


def compact(value: object) -> str:
    """Return JSON without spaces, the form of all that is hashed."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _entry(file: ModelFile, sha256: str | None) -> dict[str, str | int]:
    known = {"sha256": sha256, "git": file.git}
    return {"path": file.path, "size": file.size, **{key: value for key, value in known.items() if value}}


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or not entry["path"]:
        return False
    size, digests = entry.get("size"), [entry[key] for key in ("sha256", "git") if key in entry]
    return (
        isinstance(size, int)
        and not isinstance(size, bool)
        and size >= 0
        and all(isinstance(digest, str) and _HEX.fullmatch(digest) for digest in digests)
    )
