"""Read a model out of an OCI image: from a registry or a layout folder, verified, resumable, standard library only.

A pod's init container runs this one file as `python3 puller.py` (any uid, Python 3.9 or later, from a ConfigMap) and
`kubectl modelcar` loads it as a library. It reads top-down: values, the doors (`resolve`, `list_files`, `read_file`,
`unpack`, `pull`), layers, the two sources of images (`Layout`, `Registry`), the wire, credentials, the pod's entry.

What lands where: of a tar layer the members below `models/`, without that prefix; a layer whose title names a file is
that file. Layers apply in order as in a container: a later file replaces, a whiteout (`.wh.NAME`) removes. Only plain
files and folders are accepted, and nothing shows under its final name before every layer's digest has been checked.
"""

# ruff: noqa: INP001 (a chart's file, in no package)

from __future__ import annotations

import argparse
import base64
import contextlib
import email.utils
import errno
import fcntl
import gzip
import hashlib
import http.client
import io
import ipaddress
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import stat
import sys
import tarfile
import threading
import time
import urllib.parse
import urllib.request
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from _typeshed import WriteableBuffer

__all__ = [
    "Authenticator",
    "Credential",
    "Descriptor",
    "File",
    "Layout",
    "Manifest",
    "Patience",
    "PullError",
    "Registry",
    "Source",
    "Survey",
    "Watch",
    "entries_of",
    "list_files",
    "listed_files",
    "lists_cheaply",
    "main",
    "model_layers",
    "pull",
    "read_file",
    "resolve",
    "survey",
    "unpack",
]

# Exit codes, the same as the command line's.
USAGE, NOT_AUTHORISED, REFUSED, NETWORK, INTEGRITY, LOCAL = 2, 3, 4, 5, 6, 7

FILES_ANNOTATION = "io.github.kubectl-modelcar.files"  # set by `push`: JSON list of {"path", "size", "sha256"?, ...}
TITLE = "org.opencontainers.image.title"  # image-spec annotations.md
FILEPATH = "org.cncf.model.filepath"  # ModelPack model-spec 0.0.7 docs/annotations.md
REF_NAME = "org.opencontainers.image.ref.name"  # image-spec annotations.md, in a layout's index.json
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MIB = 1 << 20
DAY = 24 * 60 * 60  # seconds
MOST_MANIFEST = 4 * MIB  # distribution-spec 1.1, "Pushing Manifests": the size registries must accept
MOST_PROBLEMS = 100  # of one layer that are told one by one
SHELLS = ("bin/sh", "usr/bin/sh", "usr/local/bin/sh", "sbin/sh", "usr/sbin/sh")  # where a container's PATH finds it
MOST_DEPTH = 100  # folders above a file; shutil.rmtree recurses
MOST_FILES = 100_000  # of one layer; the largest Hub repositories have a few thousand
IDENTITY_TOKEN = "<token>"  # noqa: S105 (docker's marker for a credential that is an OAuth2 refresh token)
MOST_CHALLENGE = 16 << 10  # characters; real ones have some hundred
MOST_TEXT = 1000  # characters of an error that still can be read
DEFAULT_TAG = "latest"  # what docker, and `push` without a tag, mean
MARKER = ".complete"
STOPPED = "the transfer was stopped"
LOST_AND_FOUND = "lost+found"  # ext4 puts it at the root of every fresh volume

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")  # distribution-spec 1.1, "Pulling manifests"
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")  # names, and addresses without their brackets
_TAR_TYPE = re.compile(r".*\.tar(?:[.+](?:gzip|zstd))?")
_T = TypeVar("_T")


class PullError(Exception):
    """An expected failure: what was done, who refused (`message`), what to do next (`hint`), and the exit code.

    `passes` is in how many seconds another attempt may succeed, 0 where nobody said; None for what stays as it is.
    """

    def __init__(self, exit_code: int, message: str, hint: str = "", passes: float | None = None) -> None:
        # Parts of the text come from registries and archives: keep it on one line and free of terminal escapes.
        self.exit_code, self.message, self.hint = exit_code, _printable(message), _printable(hint)
        self.passes = passes
        super().__init__(self.message)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:MOST_TEXT])


# ---------------------------------------------------------------- values


@dataclass(frozen=True)
class Credential:
    """A user name and its password; with the name `<token>` the password is an OAuth2 refresh token."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of a blob: media type, digest, size in bytes (image-spec descriptor.md)."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, str] | None = None

    @classmethod
    def from_json(cls, data: object) -> Descriptor:
        """Check and convert image-spec's JSON object; raise `PullError` for anything else."""
        if not isinstance(data, dict):
            raise PullError(INTEGRITY, f"a descriptor is not an object: {data!r}")
        media_type, digest, size = data.get("mediaType", ""), data.get("digest"), data.get("size")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise PullError(INTEGRITY, f"a descriptor has the digest {digest!r}; only sha256 is supported")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:  # an int64, descriptor.md
            raise PullError(INTEGRITY, f"the descriptor of {digest} has the size {size!r}")
        if not isinstance(media_type, str):
            raise PullError(INTEGRITY, f"the descriptor of {digest} has the media type {media_type!r}")
        platform = data.get("platform")
        return cls(media_type, digest, size, _texts(data.get("annotations")), _texts(platform) if platform else None)


@dataclass(frozen=True)
class Manifest:
    """An image manifest of one platform; `raw` are the bytes that `digest` is of."""

    digest: str
    media_type: str
    raw: bytes = field(repr=False)
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]


@dataclass(frozen=True)
class File:
    """A model file, its path relative to the model's folder, its size in bytes, and the layer that holds it."""

    path: str
    size: int
    layer: Descriptor
    sha256: str | None = None


@dataclass(frozen=True)
class Survey:
    """What a layer's bytes are, all of them read; `diff_id` is None where they are no tar that can be read.

    `damage` is what is wrong with the blob, `problems` what the puller would refuse in it, each a sentence. `plain`
    says that every model file's name begins with `models/`, `shell` that a `sh` is in the layer.
    """

    files: tuple[File, ...]
    diff_id: str | None
    plain: bool
    shell: bool
    damage: str
    problems: tuple[str, ...]


class Body(Protocol):
    """Bytes of a blob; `close` may come from another thread and then ends a waiting `readinto`."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from its start and return how much; 0 at the end."""

    def close(self) -> None:
        """Let the connection or the file go."""


class Source(Protocol):
    """Where images are read from."""

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return the bytes and the media type of the manifest that a tag or a digest names."""

    def open(self, descriptor: Descriptor, offset: int = 0) -> Body:
        """Return the blob's bytes from `offset` on."""

    def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return how many bytes of the blob are there, None where that is not said; raise `PullError` for no blob."""

    def stop(self) -> None:
        """End what other threads wait for here, at once and for good."""


class Watch(Protocol):
    """A watcher of transfers, by layer; calls come from several threads. Amounts are bytes."""

    def begin(self, name: str, total: int) -> None:
        """Hear of a transfer."""

    def advance(self, name: str, amount: int) -> None:
        """Hear that `amount` more bytes came."""

    def end(self, name: str, outcome: str) -> None:
        """Hear that it is over: "received", or "exists" when it was there already."""


class _Unwatched:
    def begin(self, name: str, total: int) -> None: ...
    def advance(self, name: str, amount: int) -> None: ...
    def end(self, name: str, outcome: str) -> None: ...


@dataclass(frozen=True)
class Patience:
    """How long to go on after failures that may pass; times in seconds."""

    attempts: int = 6  # in a row, with less than `refill` bytes of progress between them
    base: float = 0.5  # full jitter: a random wait up to base * 2**n, at most cap
    cap: float = 30.0
    longest: float = 300.0  # the longest Retry-After that is honoured
    refill: int = 16 * MIB


def _texts(data: object) -> dict[str, str]:
    pairs = data.items() if isinstance(data, dict) else ()
    return {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, str)}


def _json(raw: bytes | str, what: str) -> dict[str, Any]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise PullError(INTEGRITY, f"{what} is not a JSON object")
    return data


def _hex(digest: str) -> str:
    return digest.split(":", 1)[1]


# ---------------------------------------------------------------- the doors


def resolve(source: Source, reference: str, platform: str = "") -> Manifest:
    """Return the image manifest that `reference` (a tag or a digest) names, its bytes checked against the digest.

    An index is followed to `platform` ("linux/amd64", "linux/arm64/v8"). Without one, this machine's is preferred and
    the first other one taken: a model's files are the same on all of them.
    """
    return _select(source, *_fetch(source, reference), platform)


def entries_of(source: Source, reference: str) -> tuple[str, str, tuple[Descriptor, ...] | None]:
    """Return digest and media type of what `reference` names, and the entries of an index, None for an image."""
    raw, media_type, digest = _fetch(source, reference)
    what = f"the manifest {digest} in {source}"
    data = _json(raw, what)
    media_type = _media_type(data, media_type)
    return digest, media_type, _descriptors(data.get("manifests"), what) if _is_index(data, media_type) else None


def model_layers(manifest: Manifest) -> tuple[Descriptor, ...]:
    """Return the layers that may hold model files: where some say what they hold, the others are the base image's."""
    listed = tuple(layer for layer in manifest.layers if FILES_ANNOTATION in layer.annotations)
    return listed or tuple(layer for layer in manifest.layers if _TAR_TYPE.fullmatch(layer.media_type) or _title(layer))


def lists_cheaply(manifest: Manifest) -> bool:
    """Tell whether `list_files` can do with a few bytes: each model layer says what it holds, or is one file."""
    return all(
        FILES_ANNOTATION in layer.annotations or (_title(layer) and not layer.media_type.endswith(("gzip", "zstd")))
        for layer in model_layers(manifest)
    )


def list_files(source: Source, manifest: Manifest) -> list[File]:
    """Return the model's files, sorted by path.

    Images made by `push` say it in the manifest; of others the tar headers are read: past large members by a new
    request where the tar is uncompressed, through everything where it is gzip.
    """
    contents = [_contents(source, layer) for layer in model_layers(manifest)]
    return [file for _, file in sorted(_merge(contents).values(), key=lambda found: found[1].path)]


def read_file(source: Source, manifest: Manifest, path: str, limit: int = 64 * MIB) -> bytes:
    """Return one file's bytes; raise `PullError` when there is none or it is larger than `limit` bytes.

    The bytes are checked against the file's own sha256 where the manifest knows it, else against the layer's digest
    where the whole layer is no larger than `limit`, else not: a digest needs all bytes of a layer.
    """
    for layer in reversed(model_layers(manifest)):
        listed = {file.path: file for file in listed_files(layer) or ()}
        if listed and path not in listed:
            continue
        digest = listed[path].sha256 if listed else None
        with closing(_Blob(source, layer, verify=digest is None and layer.size <= limit)) as blob:
            data, removed = _find(_entries(blob, layer), path, limit)
            if data is not None:
                blob.finish()
                if digest not in (None, hashlib.sha256(data).hexdigest()):
                    raise PullError(INTEGRITY, f"{path} in {source} has other bytes than the manifest says")
                return data
        if removed:
            break
    raise PullError(REFUSED, f"reading {path} from {source}: there is no such file", "`inspect` lists the files")


def survey(source: Source, layers: Sequence[Descriptor], *, jobs: int = 4, watch: Watch | None = None) -> list[Survey]:
    """Read every byte of `layers` and return what they are, in order; nothing is written.

    What is wrong with a layer is told in its survey; only failures of the network and of the login are raised.
    """
    watching = watch or _Unwatched()

    def look(_place: int, layer: Descriptor, stopped: threading.Event) -> Survey:
        return _survey_layer(source, layer, stopped, watching)

    found = _together(source, jobs, look, dict(enumerate(layers)))
    return [found[place] for place in range(len(layers))]


def unpack(
    source: Source, manifest: Manifest, folder: Path, *, jobs: int = 4, watch: Watch | None = None
) -> list[File]:
    """Write the model's files below `folder` and return them, sorted by path.

    `folder` is created; it must be empty, or hold what an interrupted `unpack` of the same manifest left: that goes on
    with the layers that are missing. Files appear under their names only after all layers are there and verified.
    """
    work = folder / f".partial-{_hex(manifest.digest)}"
    plan = _Plan(source, manifest, jobs, watch or _Unwatched(), durable=False)
    with _naming_local_failures(folder):
        _make_folders(folder)
        with _alone_in(folder):
            there = {path.name for path in folder.iterdir()} - {LOST_AND_FOUND}
            if not work.exists() and any(not name.startswith(".partial-") for name in there):
                raise PullError(LOCAL, f"unpacking to {folder}: the folder is not empty", "name a new or empty folder")
            _remove_partials(folder, keep=work)
            files = _fill(plan, work, folder)
            shutil.rmtree(work)
    return files


def pull(  # noqa: PLR0913 (each is one flag of the pod's entry)
    source: Source, reference: str, volume: Path, *, platform: str = "", jobs: int = 4, watch: Watch | None = None
) -> Path:
    """Bring the model to `<volume>/<hex>` and return that folder; `<hex>` is of the digest that `reference` names.

    With the model complete there, a digest costs no request and a tag one. Otherwise layers go to
    `<volume>/.partial-<hex>`, survive a killed process there, and are renamed when all are verified; the marker is
    last. Other `.partial-*` are removed; of the other complete models all but the newest are, too.
    """
    fetched = None if _DIGEST.fullmatch(reference) else _fetch(source, reference)
    digest = fetched[2] if fetched else reference
    model, work = volume / _hex(digest), volume / f".partial-{_hex(digest)}"
    with _naming_local_failures(volume):
        if _is_there(volume, digest):
            return model
        _make_folders(volume)
        with _locked(volume, watch or _Unwatched()):
            if _is_complete(model):
                return model
            _remove_partials(volume, keep=work)
            _take_back(model, work)
            _prune(volume)
            manifest = _select(source, *(fetched or _fetch(source, reference)), platform)
            plan = _Plan(source, manifest, jobs, watch or _Unwatched(), durable=True)
            files = _fill(plan, work, work / "model")
            os.rename(work / "model", model)  # noqa: PTH104 (Path.rename says the same with one more object)
            _write_marker(model, digest, files)
            shutil.rmtree(work, ignore_errors=True)
    return model


# ---------------------------------------------------------------- manifests


def _fetch(source: Source, reference: str) -> tuple[bytes, str, str]:
    raw, media_type = source.manifest(reference)
    if len(raw) > MOST_MANIFEST:
        raise PullError(INTEGRITY, f"the manifest of {reference!r} in {source} is larger than {MOST_MANIFEST} bytes")
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    if reference.startswith("sha256:") and digest != reference:
        raise PullError(INTEGRITY, f"the manifest {reference} in {source} has other bytes: their digest is {digest}")
    return raw, media_type, digest


def _select(source: Source, raw: bytes, media_type: str, digest: str, platform: str) -> Manifest:
    what = f"the manifest {digest} in {source}"
    data = _json(raw, what)
    # The document's own word counts, a Content-Type may be lost on the way; both kinds at once is CVE-2021-41190.
    media_type = _media_type(data, media_type)
    if "manifests" in data and "layers" in data:
        raise PullError(INTEGRITY, f"{what} is an index and an image at once")
    if _is_index(data, media_type):
        entry = _choose(_descriptors(data.get("manifests"), what), platform, what)
        raw, media_type, digest = _fetch(source, entry.digest)
        what = f"the manifest {digest} in {source}"
        data = _json(raw, what)
        media_type = _media_type(data, media_type)
    if data.get("schemaVersion") == 1 or media_type.startswith("application/vnd.docker.distribution.manifest.v1"):
        raise PullError(REFUSED, f"{what} has the obsolete schema 1", "push the image again with a current tool")
    lacking = [name for name in ("config", "layers") if data.get(name) is None]
    if lacking:
        message = f"{what} is no image manifest: it has no {' and no '.join(lacking)}; its media type is {media_type!r}"
        raise PullError(REFUSED, message, "push the model again with a current tool")
    layers, config = _descriptors(data["layers"], what), Descriptor.from_json(data["config"])
    return Manifest(digest, media_type, raw, config, layers, _texts(data.get("annotations")))


def _is_index(data: Mapping[str, Any], media_type: str) -> bool:
    return media_type in INDEX_TYPES or (media_type not in MANIFEST_TYPES and "manifests" in data)


def _media_type(data: Mapping[str, Any], content_type: str) -> str:
    return str(data.get("mediaType") or content_type.partition(";")[0].strip().lower())


def _descriptors(data: object, what: str) -> tuple[Descriptor, ...]:
    if not isinstance(data, list):
        raise PullError(INTEGRITY, f"{what} has no list of descriptors")
    return tuple(Descriptor.from_json(entry) for entry in data)


def _choose(entries: Sequence[Descriptor], platform: str, what: str) -> Descriptor:
    """Pick an index's entry: a match, without a wish any, last one that names no platform (containerd's order)."""
    named = [e for e in entries if e.platform and e.platform.get("os", "unknown") != "unknown"]
    unnamed = [e for e in entries if not e.platform]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    matching = [e for e in named if _fits(e, platform or f"linux/{machine}")]
    candidates = [*matching, *([] if platform else named), *unnamed]
    if not candidates:
        there = ", ".join(sorted(_platform(e) for e in named)) or "none that runs"
        raise PullError(REFUSED, f"{what} has no image for {platform or 'any platform'}", f"it has {there}")
    return candidates[0]


def _platform(entry: Descriptor) -> str:
    parts = entry.platform or {}
    return "/".join(filter(None, (parts.get("os"), parts.get("architecture"), parts.get("variant"))))


def _fits(entry: Descriptor, platform: str) -> bool:
    return _platform(entry) == platform or _platform(entry).startswith(platform + "/")


# ---------------------------------------------------------------- what is in a layer


@dataclass(frozen=True)
class _Contents:
    """What a layer adds, and the paths (files or folders, "" for all) that it removes from the layers below."""

    files: tuple[File, ...]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    """A file of a layer, its bytes next in `stream`; or with `removes` a path that is to go."""

    path: str
    size: int
    stream: _Stream
    sha256: str | None = None
    removes: bool = False


class _Stream(Protocol):
    def readinto(self, buffer: memoryview) -> int | None:
        """Fill the buffer from its start and return how much."""


def _title(layer: Descriptor) -> str:
    return layer.annotations.get(TITLE) or layer.annotations.get(FILEPATH) or ""


def _label(layer: Descriptor, *, lenient: bool = False) -> str:
    try:
        listed = listed_files(layer)
    except PullError:
        if not lenient:
            raise
        listed = None
    if not listed:
        return _title(layer) or layer.digest[:19]
    return listed[0].path if len(listed) == 1 else f"{listed[0].path} and {len(listed) - 1} more"


def listed_files(layer: Descriptor) -> tuple[File, ...] | None:
    """Return the files that the manifest says are in the layer, None where it says nothing.

    Raises `PullError` where what it says cannot be meant.
    """
    text = layer.annotations.get(FILES_ANNOTATION)
    if text is None:
        return None
    try:
        return tuple(_remembered(entry, layer) for entry in json.loads(text))
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        message = f"the layer {layer.digest} has an annotation {FILES_ANNOTATION} that cannot be read"
        raise PullError(INTEGRITY, message) from error


def _remembered(entry: Mapping[str, object], layer: Descriptor) -> File:
    """Return what an entry of the annotation says; keys that are not known here are later versions'."""
    path, size, sha256 = entry["path"], entry["size"], entry.get("sha256")
    if not isinstance(path, str) or not path or _place("models/" + path) != path:
        raise ValueError(path)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(size)
    if sha256 is not None and not (isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256)):
        raise ValueError(sha256)
    return File(path, size, layer, sha256)


def _place(name: str, *, bare: bool = False) -> str | None:
    """Return where a member or title lands in the model's folder: "" is that folder, None is outside of it.

    With `bare` the prefix `models/` may be missing. Refuse names that could mean another place or confuse a terminal.
    """
    if any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in name):
        raise PullError(INTEGRITY, f"the image holds a file with control characters in its name: {name}")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(parts) > MOST_DEPTH:
        raise PullError(INTEGRITY, f"the image holds a file more than {MOST_DEPTH} folders deep: {name}")
    if ".." in parts:
        raise PullError(INTEGRITY, f"the image holds a file with '..' in its name: {name}")
    if parts[:1] == ["models"]:
        return "/".join(parts[1:])
    if not bare:
        return None
    if name.startswith("/"):
        raise PullError(INTEGRITY, f"the image holds a file with an absolute name: {name}")
    return "/".join(parts)


def _on_disk(path: str) -> str:
    """Return a model's path as this process spells it: with LC_ALL=C and no UTF-8 mode only ASCII can be said."""
    return os.fsdecode(path.encode())


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")


def _above(path: str) -> Iterator[str]:
    """Yield the path, the folders above it and "" for all."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def _merge(contents: Iterable[_Contents]) -> dict[str, tuple[int, File]]:
    """Apply layers in order: path -> (the layer's place in the order, the file)."""
    merged: dict[str, tuple[int, File]] = {}
    for place, layer in enumerate(contents):
        gone = set(layer.removed)
        if gone:
            merged = {path: found for path, found in merged.items() if gone.isdisjoint(_above(path))}
        merged.update({file.path: (place, file) for file in layer.files})
    if MARKER in merged:
        raise PullError(INTEGRITY, f"the image holds a model file {MARKER}, which is the name of the puller's own mark")
    for path in merged:
        for parent in PurePosixPath(path).parents:
            if str(parent) in merged:
                raise PullError(INTEGRITY, f"the image holds {parent} as a file and as a folder of {path}")
    return merged


def _contents(source: Source, layer: Descriptor) -> _Contents:
    listed = listed_files(layer)
    if listed is not None:
        return _Contents(listed)
    with closing(_Blob(source, layer, verify=False)) as blob:
        return _gather(_entries(blob, layer), layer)


def _gather(entries: Iterable[_Entry], layer: Descriptor) -> _Contents:
    files: list[File] = []
    removed: list[str] = []
    for entry in entries:
        if entry.removes:
            removed.append(entry.path)
        else:
            files.append(File(entry.path, entry.size, layer, entry.sha256))
    return _Contents(tuple(files), tuple(removed))


class _Strict:
    """Hears of what is in a layer, and stops at the first thing that is wrong."""

    def member(self, name: str, path: str | None) -> None:
        """Hear of a tar's member and where it lands."""

    def wrong(self, error: PullError) -> None:
        """Hear of a member that is refused."""
        raise error

    def passed(self, view: memoryview) -> None:
        """Hear of bytes of the uncompressed tar."""

    def ended(self, unzipped: _Forward | None) -> None:
        """Hear that the last member has been seen; of a compressed tar there may be more to read."""


class _Surveyor(_Strict):
    """Goes on, and remembers: a digest must be of all bytes."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.more = 0
        self.plain, self.shell, self.is_tar = True, False, False
        self.diff_id: str | None = None
        self._hash = hashlib.sha256()

    def member(self, name: str, path: str | None) -> None:
        self.shell = self.shell or name.lstrip("./") in SHELLS
        self.plain = self.plain and (not path or name.startswith("models/"))

    def wrong(self, error: PullError) -> None:
        self.more += len(self.problems) >= MOST_PROBLEMS
        self.problems += [error.message] if len(self.problems) < MOST_PROBLEMS else []

    def passed(self, view: memoryview) -> None:
        self._hash.update(view)

    def ended(self, unzipped: _Forward | None) -> None:
        self.is_tar = True
        if unzipped:
            unzipped.drain()
            self.diff_id = "sha256:" + self._hash.hexdigest()


_STRICT = _Strict()


def _survey_layer(source: Source, layer: Descriptor, stopped: threading.Event, watch: Watch) -> Survey:
    label, surveyor, damage = _label(layer, lenient=True), _Surveyor(), ""
    files: list[File] = []

    def passed(amount: int) -> None:
        _go_on(stopped)
        watch.advance(label, amount)

    watch.begin(label, layer.size)
    buffer = bytearray(MIB)
    with closing(_Blob(source, layer, verify=True, passed=passed)) as blob:
        try:
            for entry in _entries(blob, layer, surveyor):
                if not entry.removes:
                    seen = hashlib.sha256()
                    for chunk in _chunks(entry, buffer):
                        seen.update(chunk)
                    files.append(File(entry.path, entry.size, layer, seen.hexdigest()))
        except PullError as error:
            _require_content(error)
            surveyor.wrong(error)
        try:
            blob.finish()
        except PullError as error:
            _require_content(error)
            damage = error.message
    if surveyor.more:
        surveyor.problems.append(f"the layer {layer.digest} holds {surveyor.more} more that are refused")
    watch.end(label, "damaged" if damage else "verified")
    diff_id = surveyor.diff_id or (layer.digest if surveyor.is_tar and not damage else None)
    return Survey(tuple(files), diff_id, surveyor.plain, surveyor.shell, damage, tuple(surveyor.problems))


def _require_content(error: PullError) -> None:
    """Raise again what says nothing of the layer: the network and the login."""
    if error.exit_code in (NETWORK, NOT_AUTHORISED):
        raise error


def _entries(blob: _Blob, layer: Descriptor, observer: _Strict = _STRICT) -> Iterator[_Entry]:
    """Yield a layer's model files; each one's bytes must be read before the next is asked for, or are skipped.

    The media type alone does not tell: `oras push` calls every file a tar layer, and others put a title on real tars.
    """
    title, is_tar = _title(layer), bool(_TAR_TYPE.fullmatch(layer.media_type))
    head = blob.peek(512) if is_tar else b""
    if head.startswith(b"\x28\xb5\x2f\xfd"):  # RFC 8878, 3.1.1
        hint = "push the model with uncompressed or gzip layers"
        raise PullError(REFUSED, f"the layer {layer.digest} is compressed with zstd, which cannot be read here", hint)
    zipped = head.startswith(b"\x1f\x8b")  # RFC 1952, 2.3.1
    if title and not zipped and head[257:262] != b"ustar":  # POSIX.1-2017 pax, "ustar Interchange Format"
        listed = listed_files(layer)
        path = listed[0].path if listed else _place(title, bare=True)
        if not path:
            raise PullError(INTEGRITY, f"the layer {layer.digest} has the title {title!r}, which names no file")
        yield _Entry(path, layer.size, blob, sha256=_hex(layer.digest))
        return
    with contextlib.ExitStack() as stack:
        if zipped:
            # GzipFile asks for 8 KiB at a time; the buffer keeps those requests away from the socket.
            unzipped = stack.enter_context(gzip.GzipFile(fileobj=io.BufferedReader(blob, MIB)))
            stream = _Forward(cast("_Stream", unzipped), layer, None, observer.passed)
        else:
            stream = _Forward(blob, layer, blob.skip)
        yield from _members(stream, observer, bare=".image." not in layer.media_type)
        observer.ended(stream if zipped else None)


def _members(stream: _Forward, observer: _Strict, *, bare: bool) -> Iterator[_Entry]:
    """Yield the model files of a tar; only layers of other kinds than a container's may leave out `models/`."""
    seen: set[str] = set()
    for member in stream.headers():
        try:
            entry = _entry(member, stream, seen, bare=bare)
            observer.member(member.name, entry.path if entry else None)
        except PullError as error:
            observer.wrong(error)
            continue
        if entry:
            yield entry


def _entry(member: tarfile.TarInfo, stream: _Forward, seen: set[str], *, bare: bool) -> _Entry | None:
    """Return what a member is to the model, None for nothing; `seen` are the files of the layer so far."""
    path = _place(member.name, bare=bare)
    folder, _, name = member.name.rpartition("/")
    if name.startswith(".wh."):  # image-spec layer.md, "Whiteouts"
        target = _place(folder if name == ".wh..wh..opq" else f"{folder}/{name[4:]}", bare=bare)
        return _Entry(target, 0, stream, removes=True) if target is not None else None
    if path is None or member.isdir():
        return None
    if not path or not member.isreg() or member.issparse():
        raise PullError(INTEGRITY, f"the image holds {member.name}, which is neither a plain file nor a folder")
    if path in seen or len(seen) >= MOST_FILES:
        problem = f"more than {MOST_FILES} files" if len(seen) >= MOST_FILES else f"{member.name} twice in a layer"
        raise PullError(INTEGRITY, f"the image holds {problem}")
    seen.add(path)
    return _Entry(path, member.size, stream)


def _chunks(entry: _Entry, buffer: bytearray) -> Iterator[memoryview]:
    """Yield the entry's bytes in pieces that live until the next one is asked for."""
    left = entry.size
    while left:
        view = memoryview(buffer)[: min(left, len(buffer))]
        count = entry.stream.readinto(view)
        if not count:
            raise PullError(INTEGRITY, f"the image ends inside {entry.path}: {left} of {entry.size} bytes are missing")
        yield view[:count]
        left -= count


def _read(readinto: Callable[[memoryview], int], size: int) -> bytes:
    """Return the next `size` bytes, fewer at the end."""
    buffer = memoryview(bytearray(size))
    filled = 0
    while filled < size:
        count = readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return bytes(buffer[:filled])


def _find(entries: Iterable[_Entry], path: str, limit: int) -> tuple[bytes | None, bool]:
    """Return the bytes of `path` if it is there, and whether the layer removes it from the layers below."""
    removed = False
    for entry in entries:
        if entry.removes:
            removed = removed or _is_below(path, entry.path)
        elif entry.path == path:
            if entry.size > limit:
                raise PullError(REFUSED, f"{path} has {entry.size} bytes; at most {limit} are read at once")
            return b"".join(map(bytes, _chunks(entry, bytearray(64 << 10)))), removed
    return None, removed


class _Blob(io.RawIOBase):
    """A layer's bytes, counted and with `verify` hashed as they pass, never more than the descriptor says."""

    def __init__(
        self, source: Source, layer: Descriptor, *, verify: bool, passed: Callable[[int], None] | None = None
    ) -> None:
        self._source, self._layer, self._passed = source, layer, passed
        self._hash = hashlib.sha256() if verify else None
        self._head, self._position = b"", 0  # the position is the body's: bytes in the head have been counted
        self._body: Body | None = None

    def readable(self) -> bool:
        return True

    def peek(self, size: int) -> bytes:
        """Return up to `size` first bytes without consuming them; to be called first."""
        self._head = _read(self.readinto, min(size, self._layer.size))
        return self._head

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._head:
            count = min(len(view), len(self._head))
            view[:count], self._head = self._head[:count], self._head[count:]
            return count
        view = view[: self._layer.size - self._position]
        if not view:
            return 0
        if self._body is None:
            self._body = self._source.open(self._layer, self._position)
        count = self._body.readinto(view)
        if not count:
            what = f"the blob {self._layer.digest} in {self._source} ends after {self._position} bytes"
            raise PullError(INTEGRITY, f"{what}; its manifest says {self._layer.size}")
        if self._hash:
            self._hash.update(view[:count])
        self._position += count
        if self._passed:
            self._passed(count)
        return count

    def skip(self, amount: int) -> None:
        """Go forward: by a new request where that is cheaper than reading on and nothing is hashed."""
        if self._hash is None and amount - len(self._head) > MIB:
            self._position, self._head = self._position - len(self._head) + amount, b""
            self._end_body()
            if self._position > self._layer.size:
                raise PullError(INTEGRITY, f"a file in the layer {self._layer.digest} is larger than the layer")
            return
        scratch = memoryview(bytearray(min(amount, MIB)))
        while amount:
            amount -= self.readinto(scratch[:amount]) or amount

    def finish(self) -> None:
        """Read to the end and compare the digest; a tar's padding belongs to the blob, too."""
        if self._hash is None:
            return
        scratch = bytearray(64 << 10)
        while self.readinto(scratch):
            pass
        digest = "sha256:" + self._hash.hexdigest()
        if digest != self._layer.digest:
            message = f"the blob {self._layer.digest} from {self._source} has other bytes: their digest is {digest}"
            raise PullError(INTEGRITY, message)

    def _end_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()

    def close(self) -> None:
        self._end_body()
        super().close()


class _Forward:
    """A tar as `tarfile` wants to see it, over bytes that only go forward."""

    def __init__(
        self,
        inner: _Stream,
        layer: Descriptor,
        skip: Callable[[int], None] | None,
        passed: Callable[[memoryview], None] | None = None,
    ) -> None:
        self._inner, self._layer, self._skip, self._passed = inner, layer, skip, passed
        self._position = 0
        self._last = b""
        self._headers = 0  # bytes since the last member; sparse maps have no end of their own

    def headers(self) -> Iterator[tarfile.TarInfo]:
        """Yield the members' headers, parsed by the standard library (PAX, GNU long names, base-256 sizes)."""
        # "r:" and not "r|": the stream mode copies every body through buffers of its own.
        fileobj = cast("IO[bytes]", self)
        try:
            archive = tarfile.open(fileobj=fileobj, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115 (owns nothing)
            member = archive.next()  # opening has read it, too
            while member is not None:
                self._check_size(member)
                yield member
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                self._headers = 0
                member = archive.next()
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            raise PullError(INTEGRITY, f"the layer {self._layer.digest} is no readable tar: {error}") from error
        if self._last.strip(b"\0"):
            # tarfile takes a damaged header for the end.
            raise PullError(INTEGRITY, f"the layer {self._layer.digest} has a damaged tar header")

    def _check_size(self, member: tarfile.TarInfo) -> None:
        size = self._layer.size if self._skip else member.offset_data + member.size  # of gzip nothing is known
        if member.size < 0 or member.offset_data + member.size > size:
            raise PullError(INTEGRITY, f"the image holds {member.name}, which says to be larger than its layer")

    def tell(self) -> int:
        return self._position

    def seek(self, target: int) -> int:
        amount = target - self._position
        if amount < 0:
            raise PullError(INTEGRITY, f"the layer {self._layer.digest} is no readable tar: it points backwards")
        if self._skip:
            self._skip(amount)
            self._position = target
        else:
            scratch = memoryview(bytearray(min(amount, MIB)))
            while self._position < target and self.readinto(scratch[: target - self._position]):
                pass
        return self._position

    def read(self, size: int) -> bytes:
        self._headers += size
        if self._headers > MIB:  # a name or PAX record, which tarfile reads whole
            raise PullError(INTEGRITY, f"the layer {self._layer.digest} has a tar header of {size} bytes")
        self._last = _read(self.readinto, size)
        return self._last

    def readinto(self, buffer: memoryview) -> int:
        try:
            count = self._inner.readinto(buffer) or 0
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise PullError(INTEGRITY, f"the layer {self._layer.digest} is no readable gzip: {error}") from error
        self._position += count
        if self._passed:
            self._passed(buffer[:count])
        return count

    def drain(self) -> None:
        """Read what follows the last member, which a digest of the tar is of, too."""
        scratch = memoryview(bytearray(64 << 10))
        while self.readinto(scratch):
            pass


# ---------------------------------------------------------------- to the disk


@dataclass(frozen=True)
class _Plan:
    """What is to be unpacked, and how; `durable` syncs files before they are called verified."""

    source: Source
    manifest: Manifest
    jobs: int
    watch: Watch
    durable: bool


def _together(
    source: Source, jobs: int, work: Callable[[int, Descriptor, threading.Event], _T], layers: Mapping[int, Descriptor]
) -> dict[int, _T]:
    """Return what `work` makes of each layer, several at a time.

    One failure, or ^C, ends the others at once and not at their next timeout: the event is set, the source stopped.
    """
    stopped = threading.Event()
    with ThreadPoolExecutor(max(1, jobs), "layer") as pool, contextlib.ExitStack() as failing:
        failing.callback(pool.shutdown, wait=False, cancel_futures=True)
        failing.callback(source.stop)
        failing.callback(stopped.set)
        running = {pool.submit(work, place, layer, stopped): place for place, layer in layers.items()}
        done = {running[future]: future.result() for future in as_completed(running)}
        failing.pop_all()
    return done


def _go_on(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise PullError(NETWORK, STOPPED)


def _fill(plan: _Plan, work: Path, target: Path) -> list[File]:
    """Unpack all layers into `work` and move the model's files to `target`; both are on one filesystem.

    `work/.layers/N` is what layer N holds, `work/.done/N` says that it is complete and verified.
    """
    layers = dict(enumerate(model_layers(plan.manifest)))
    contents = {place: _finished(work, target, place, layer) for place, layer in layers.items()}
    missing = {place: layer for place, layer in layers.items() if contents[place] is None}
    for place in missing:
        (work / ".done" / str(place)).unlink(missing_ok=True)  # it says nothing that holds
    _drop_unfinished(work)  # what a killed run left takes the space of what is to come
    _require_space(work.parent, sum(layer.size for layer in missing.values()))
    for place in layers.keys() - missing.keys():
        plan.watch.begin(_label(layers[place]), layers[place].size)
        plan.watch.end(_label(layers[place]), "exists")
    _make_folders(work, ".layers")
    _make_folders(work, ".done")
    try:
        contents.update(_unpack_layers(plan, work, missing))
    finally:
        _drop_unfinished(work)
    try:
        merged = _model(plan.source, [found for _, found in sorted(contents.items()) if found])
    except PullError:
        shutil.rmtree(work, ignore_errors=True)  # to go on from it would fail in the same way
        raise
    _move(merged, work, target, durable=plan.durable)
    return [file for _, file in sorted(merged.values(), key=lambda found: found[1].path)]


def _model(source: Source, contents: Sequence[_Contents]) -> dict[str, tuple[int, File]]:
    merged = _merge(contents)
    if not merged:
        hint = "images for models hold them below models/ (KServe's modelcar), artifacts name each layer's file"
        raise PullError(REFUSED, f"no model in {source}: no file below models/ and no titled layer", hint)
    return merged


def _unpack_layers(plan: _Plan, work: Path, layers: Mapping[int, Descriptor]) -> dict[int, _Contents]:
    def unpack_one(place: int, layer: Descriptor, stopped: threading.Event) -> _Contents:
        return _unpack_layer(plan, work, place, layer, stopped)

    return _together(plan.source, plan.jobs, unpack_one, layers)


def _unpack_layer(plan: _Plan, work: Path, place: int, layer: Descriptor, stopped: threading.Event) -> _Contents:
    label, folder = _label(layer), work / ".layers" / str(place)

    def passed(amount: int) -> None:
        _go_on(stopped)
        plan.watch.advance(label, amount)

    plan.watch.begin(label, layer.size)
    _make_folders(folder)
    with closing(_Blob(plan.source, layer, verify=True, passed=passed)) as blob:
        contents = _gather(_store(_entries(blob, layer), folder, durable=plan.durable), layer)
        blob.finish()
    listed = listed_files(layer)
    if listed is not None:
        if sorted((f.path, f.size) for f in listed) != sorted((f.path, f.size) for f in contents.files):
            raise PullError(INTEGRITY, f"the layer {layer.digest} holds other files than the manifest says")
        contents = _Contents(listed)
    mark = {"layer": layer.digest, "files": [(f.path, f.size, f.sha256) for f in contents.files]}
    _write_json(work / ".done" / str(place), {**mark, "removed": contents.removed}, durable=plan.durable)
    plan.watch.end(label, "received")
    return contents


def _store(entries: Iterable[_Entry], folder: Path, *, durable: bool) -> Iterator[_Entry]:
    """Write each entry below `folder`, which is fresh and holds no links, and pass it on."""
    buffer = bytearray(MIB)
    for entry in entries:
        if not entry.removes:
            path = folder / _on_disk(entry.path)
            if entry.size > MIB:  # of gzip layers the manifest does not say the size
                _require_space(folder, entry.size)
            try:
                _make_folders(folder, str(PurePosixPath(_on_disk(entry.path)).parent))
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            except (FileExistsError, NotADirectoryError) as error:
                raise PullError(INTEGRITY, f"the image holds {entry.path} as a file and as a folder") from error
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 (an open descriptor has no Path)
                _write(file, _chunks(entry, buffer), path, durable=durable)
        yield entry


def _write(file: io.FileIO, chunks: Iterable[memoryview], path: Path, *, durable: bool) -> None:
    try:
        for chunk in chunks:
            written = 0
            while written < len(chunk):
                written += file.write(chunk[written:])
        if durable:
            os.fsync(file.fileno())
    except OSError as error:
        raise _local_failure(error, path) from error


def _finished(work: Path, target: Path, place: int, layer: Descriptor) -> _Contents | None:
    """Return what an earlier run has unpacked of the layer, None when that is not all there."""
    try:
        mark = _json((work / ".done" / str(place)).read_bytes(), "a mark")
        files = tuple(File(path, size, layer, sha256) for path, size, sha256 in mark["files"])
        held = work / ".layers" / str(place)
        names = [_on_disk(file.path) for file in files]
        there = all((held / name).is_file() or (target / name).is_file() for name in names)
        return _Contents(files, tuple(mark["removed"])) if there and mark["layer"] == layer.digest else None
    except (OSError, PullError, KeyError, ValueError, TypeError):
        return None


def _drop_unfinished(work: Path) -> None:
    """Remove the layers that are not known to be whole, and `work` itself where none is."""
    done = {path.name for path in (work / ".done").glob("*")}
    for path in (work / ".layers").glob("*"):
        if path.name not in done:
            shutil.rmtree(path)
    if not done and work.exists():
        shutil.rmtree(work)


def _move(merged: Mapping[str, tuple[int, File]], work: Path, target: Path, *, durable: bool) -> None:
    folders = {target}
    _make_folders(target)
    for path, (place, _) in merged.items():
        name = _on_disk(path)
        held, final = work / ".layers" / str(place) / name, target / name
        if held.exists():  # else an interrupted run has moved it
            _make_folders(target, str(PurePosixPath(name).parent))
            held.replace(final)
        folders.add(final.parent)
    for folder in folders if durable else ():
        _sync_folder(folder)


def _is_complete(model: Path) -> bool:
    try:
        marker = _json((model / MARKER).read_bytes(), "the marker")
        sizes = dict(marker["files"])
        return bool(sizes) and all((model / _on_disk(path)).stat().st_size == size for path, size in sizes.items())
    except (OSError, PullError, KeyError, ValueError, TypeError):
        return False


def _is_there(volume: Path, digest: str) -> bool:
    """Tell whether the model is complete, and remove what a process that was killed after its last step left."""
    complete, work = _is_complete(volume / _hex(digest)), volume / f".partial-{_hex(digest)}"
    if complete and work.exists():
        shutil.rmtree(work, ignore_errors=True)
    return complete


def _prune(volume: Path) -> None:
    """Remove the complete models that nobody goes back to: all but the last one, for a claim holds two."""
    markers = [path for path in volume.glob(f"*/{MARKER}") if re.fullmatch("[0-9a-f]{64}", path.parent.name)]
    for marker in sorted(markers, key=lambda path: path.stat().st_mtime_ns)[:-1]:
        marker.unlink()  # first: what is left of a model that is being removed is not complete
        shutil.rmtree(marker.parent)


def _write_marker(model: Path, digest: str, files: Iterable[File]) -> None:
    _sync_folder(model.parent)
    _write_json(model / MARKER, {"digest": digest, "files": [(f.path, f.size) for f in files]}, durable=True)


def _take_back(model: Path, work: Path) -> None:
    """Clear the final name: without a marker a run was killed at its last step, with one the model is damaged."""
    if not model.exists():
        return
    if (work / ".done").exists() and not (model / MARKER).exists() and not (work / "model").exists():
        model.rename(work / "model")
        return
    shutil.rmtree(model)
    shutil.rmtree(work, ignore_errors=True)


def _write_json(path: Path, data: object, *, durable: bool) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(data, file)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    partial.replace(path)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network filesystems do not sync folders, nor need to
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(root: Path, relative: str = "") -> None:
    """Create `root` and the folders of `relative` below it, 0755: `Path.mkdir` gives parents the umask's mode."""
    wanted = root / relative
    for folder in (*reversed(wanted.parents), wanted):
        if not folder.is_dir():
            with suppress(FileExistsError):
                folder.mkdir(0o755)


def _remove_partials(folder: Path, keep: Path) -> None:
    for path in folder.glob(".partial-*"):
        if path != keep:
            shutil.rmtree(path)


def _require_space(folder: Path, need: int) -> None:
    state = os.statvfs(folder)
    have = state.f_bavail * state.f_frsize
    if have < need + need // 100:  # folders and marks take some, too
        message = f"writing to {folder}: {_amount(need)} are needed and {_amount(have)} are free"
        raise PullError(LOCAL, message, "free some space there, or use a larger volume")


def _amount(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


@contextmanager
def _locked(volume: Path, watch: Watch) -> Iterator[None]:
    """Hold the volume for this process, as far as its filesystem knows locks: several pods may share it."""
    waiting = f"waiting for another pull to {volume}"
    with contextlib.ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(volume / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                watch.begin(waiting, 0)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                watch.end(waiting, "exists")
        yield


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a user's folder for this process; its own descriptor is locked, so that no file is left in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a filesystem without locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                hint = "wait for it, or name another folder"
                raise PullError(LOCAL, f"unpacking to {folder}: another pull is writing there", hint) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _naming_local_failures(where: Path, doing: str = "writing to") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _local_failure(error, where, doing) from error


def _local_failure(error: OSError, where: Path, doing: str = "writing to") -> PullError:
    hints = {
        errno.ENOSPC: "free some space there, or use a larger volume",
        errno.EDQUOT: "the quota there is used up; use a larger volume",
        errno.EACCES: "it must be writable for this user; in a pod, set fsGroup or use a storage class that honours it",
        errno.EROFS: "mount it writable",
    }
    hint = hints.get(error.errno or 0, "")
    return PullError(LOCAL, f"{doing} {error.filename or where}: {error.strerror or error}", hint)


# ---------------------------------------------------------------- sources: a folder


def open_regular(path: Path) -> io.FileIO:
    """Open a file to read it. A layout may be anybody's: a FIFO in it would be waited for, a device read, for ever."""
    file = io.FileIO(os.fspath(path), opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


class Layout:
    """An OCI image layout folder (image-spec image-layout.md).

    The reference "" is what a push without a tag makes, `latest`, else the only image there is, under whatever tags.
    An index.json that lists the platforms of one image, without tags, is that image's index.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return f"oci:{self._folder}"

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return the manifest that index.json names so."""
        if _DIGEST.fullmatch(reference):
            return self._read(self._blob(reference)), ""
        index = self._read(self._folder / "index.json")
        entries = _descriptors(_json(index, f"{self}/index.json").get("manifests"), f"{self}/index.json")
        tags = {entry.annotations[REF_NAME]: entry for entry in entries if REF_NAME in entry.annotations}
        if not reference and not tags and _are_platforms(entries):
            return index, INDEX_TYPES[0]
        entry = self._entry(reference, entries, tags)
        raw = self._read(self._blob(entry.digest))
        if "sha256:" + hashlib.sha256(raw).hexdigest() != entry.digest:
            raise PullError(INTEGRITY, f"the manifest {entry.digest} in {self} has other bytes")
        return raw, entry.media_type

    def open(self, descriptor: Descriptor, offset: int = 0) -> Body:
        """Return the blob's file from `offset` on."""
        path = self._blob(descriptor.digest)
        try:
            file = open_regular(path)
            size = os.fstat(file.fileno()).st_size
            file.seek(offset)
        except OSError as error:
            raise PullError(LOCAL, f"reading {path}: {error.strerror}", "is the layout complete?") from error
        if size != descriptor.size:
            file.close()
            raise PullError(INTEGRITY, f"{path} has {size} bytes; its manifest says {descriptor.size}")
        return cast("Body", file)

    def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return how many bytes the blob's file has; raise `PullError` where there is none."""
        path = self._blob(descriptor.digest)
        try:
            return path.stat().st_size
        except OSError as error:
            raise PullError(LOCAL, f"reading {path}: {error.strerror}", "is the layout complete?") from error

    def stop(self) -> None:
        """Do nothing: a file is never waited for."""

    def _entry(self, tag: str, entries: Sequence[Descriptor], tags: Mapping[str, Descriptor]) -> Descriptor:
        hint = f"its tags are {', '.join(sorted(tags))}" if tags else "it has no tags"
        if tag in tags:
            return tags[tag]
        if tag or not entries:
            raise PullError(REFUSED, f"there is no {tag or 'manifest'} in {self}", hint)
        digests = {entry.digest for entry in entries}
        if DEFAULT_TAG not in tags and len(digests) > 1:
            hint = f"say which: {hint}" if tags else "name one by its digest: oci:FOLDER@sha256:..."
            raise PullError(USAGE, f"{self} holds {len(digests)} images", hint)
        return tags.get(DEFAULT_TAG, entries[0])

    def _blob(self, digest: str) -> Path:
        return self._folder / "blobs" / "sha256" / _hex(digest)

    def _read(self, path: Path) -> bytes:
        try:
            with open_regular(path) as file:
                return file.read(MOST_MANIFEST + 1)
        except OSError as error:
            raise PullError(REFUSED, f"{self} is no OCI image layout: {path.name}: {error.strerror}") from error


def _are_platforms(entries: Sequence[Descriptor]) -> bool:
    """Tell whether several manifests are one image's: each for a platform of its own."""
    platforms = {_platform(entry) for entry in entries} - {""}
    return 1 < len(entries) == len(platforms)


# ---------------------------------------------------------------- sources: a registry


class Registry:
    """A repository of a registry over HTTP or HTTPS (distribution-spec 1.1), as far as pulling goes."""

    def __init__(  # noqa: PLR0913 (the last three have defaults that only tests and the pod's flags change)
        self,
        origin_url: str,
        repository: str,
        credential: Credential | None = None,
        *,
        context: ssl.SSLContext | None = None,
        timeout: float = 60.0,
        patience: Patience | None = None,
    ) -> None:
        """Read from `repository` at "https://HOST[:PORT]"; `timeout` is how many seconds may pass without a byte."""
        if not _REPOSITORY.fullmatch(repository):
            raise PullError(REFUSED, f"{repository!r} is no name of a repository", "names are lower case: ORG/NAME")
        self._origin = _origin(origin_url)
        self._repository, self.timeout = repository, timeout
        self.url = urllib.parse.urlsplit(origin_url)._replace(path="", query="", fragment="").geturl()
        self.session = Session(patience)
        self.scope = f"repository:{repository}:pull"
        self.authenticator = Authenticator(origin_url, credential, context=context, session=self.session)
        self._http = _Http(context, timeout, self.session)

    def __str__(self) -> str:
        return f"{urllib.parse.urlsplit(self.url).netloc}/{self._repository}"

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Fetch the manifest that a tag or a digest names."""
        if not _TAG.fullmatch(reference) and not _DIGEST.fullmatch(reference):
            raise PullError(REFUSED, f"{reference!r} is neither a tag nor a sha256 digest", "tags look like v1.0")
        what = f"reading the manifest {reference} from {self}"

        def read() -> tuple[bytes, str]:
            accept = {"Accept": ", ".join(MANIFEST_TYPES + INDEX_TYPES)}
            with closing(self._get(f"manifests/{reference}", what, headers=accept)) as answer:
                return answer.read(MOST_MANIFEST + 1), answer.headers.get("Content-Type", "")

        return _persist(self.session, what, read)

    def open(self, descriptor: Descriptor, offset: int = 0) -> Body:
        """Return the blob's bytes from `offset` on; a cut transfer goes on where it was cut."""
        return _Download(self, descriptor, offset)

    def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return how many bytes the registry has of the blob, None where it does not say; 404 raises `PullError`."""
        what, path = f"looking for the blob {descriptor.digest} in {self}", f"blobs/{descriptor.digest}"

        def ask() -> int | None:
            with closing(self._get(path, what, method="HEAD", good=(http.client.OK, *NO_HEAD))) as answer:
                if answer.status == http.client.OK:
                    return _number(answer.headers.get("Content-Length", ""))
            with closing(self._get(path, what, headers={"Range": "bytes=0-0"}, good=ANY_RANGE)) as answer:
                if answer.status == http.client.OK:
                    return answer.length
                return _number(answer.headers.get("Content-Range", "").rpartition("/")[2])  # RFC 9110, 14.4

        return _persist(self.session, what, ask)

    def stop(self) -> None:
        """End all requests under way, and all waits, at once; whoever goes on gets `PullError`."""
        self.session.stop()

    def blob(self, descriptor: Descriptor, offset: int, opened: Callable[[_Exchange], None]) -> _Answer:
        """Ask once for the blob's bytes from `offset` on, and check that the answer is about those.

        `opened` hears of each connection before its answer is waited for.
        """
        what = f"reading the blob {descriptor.digest} from {self}"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        answer = self._get(f"blobs/{descriptor.digest}", what, headers=headers, opened=opened)
        try:
            _start_at(answer, descriptor, offset, what)
        except (PullError, _TransientError):
            answer.close()
            raise
        return answer

    def _get(  # noqa: PLR0913 (what requests differ in)
        self,
        path: str,
        what: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        good: Sequence[int] = (http.client.OK, http.client.PARTIAL_CONTENT),
        opened: Callable[[_Exchange], None] | None = None,
    ) -> _Answer:
        """Return an answer with a `good` status, after one challenge at most."""
        url = f"{self.url}/v2/{self._repository}/{path}"

        def send(authorization: str | None) -> _Answer:
            with _doing(what):
                return self._follow(method, url, {"Accept": "*/*", **(headers or {})}, authorization, opened)

        authorization = self.authenticator.header(self.scope)
        answer = send(authorization)
        if answer.status == http.client.UNAUTHORIZED and answer.origin == self._origin:
            challenge = ", ".join(answer.headers.get_all("WWW-Authenticate") or [])
            answer.close()
            answer = send(self.authenticator.answer(challenge, self.scope, rejected=authorization))
        if answer.status not in good:
            with closing(answer):
                _refuse(answer, what)
        return answer

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        authorization: str | None,
        opened: Callable[[_Exchange], None] | None,
    ) -> _Answer:
        """Follow redirects by hand: to storage of another origin goes no Authorization, and nothing leaves TLS."""
        for _ in range(MOST_REDIRECTS + 1):
            own = {"Authorization": authorization} if authorization and _origin(url) == self._origin else {}
            answer = self._http.send(method, url, {**headers, **own}, opened=opened)
            if answer.status not in REDIRECTS:
                return answer
            answer.close()
            target = answer.headers.get("Location", "")
            with suppress(ValueError):
                target = urllib.parse.urljoin(url, target)
            scheme, host, _port = _origin(target)
            if _origin(url)[0] == "https" and scheme != "https":
                raise PullError(
                    REFUSED, f"{answer.host} redirects to {host} without TLS", "the registry needs to be repaired"
                )
            url = urllib.parse.urldefrag(target).url
        raise PullError(
            REFUSED, f"{self.url} redirects more than {MOST_REDIRECTS} times", "the registry needs to be repaired"
        )


class _Download:
    """A blob's bytes from one offset to its end, over as many requests as that takes.

    One thread reads; `close` may come from another one, and then that thread closes the connection: it is using it.
    """

    def __init__(self, registry: Registry, descriptor: Descriptor, offset: int) -> None:
        self._registry, self._descriptor, self._position = registry, descriptor, offset
        what = f"reading the blob {descriptor.digest} from {registry}"
        self._attempts = _Attempts(registry.session, what)
        self._answer: _Answer | None = None
        self._lock = threading.Lock()  # of the three that follow
        self._exchange: _Exchange | None = None
        self._closed = self._reading = False
        self._waited, self._came = 0.0, 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` from its start; fewer bytes than it holds may come, 0 only at the blob's end."""
        with self._lock:
            self._reading = True
        try:
            return self._persist(buffer[: self._descriptor.size - self._position])
        finally:
            with self._lock:
                self._reading, closed = False, self._closed
            if closed:
                self._drop()

    def close(self) -> None:
        """End the transfer, also while another thread waits in `readinto`."""
        with self._lock:
            self._closed, reading, exchange = True, self._reading, self._exchange
        self._registry.session.wake()
        if not reading:
            self._drop()
        elif exchange:
            exchange.interrupt()

    def _persist(self, view: memoryview) -> int:
        while view:
            try:
                return self._receive(view)
            except _TransientError as error:
                self._drop()
                delay = self._attempts.next_wait(error)
            self._registry.session.wait(delay, self._is_closed)
        return 0

    def _receive(self, view: memoryview) -> int:
        if self._is_closed():
            raise PullError(NETWORK, STOPPED)
        if self._answer is None:
            self._registry.session.wait(unwanted=self._is_closed)
            self._answer = self._registry.blob(self._descriptor, self._position, self._opened)
        started = time.monotonic()
        count = self._answer.readinto(view)
        if not count:
            raise _TransientError(f"{self._answer.host} ended the transfer after {self._position} bytes")
        self._guard_pace(count, time.monotonic() - started)
        self._position += count
        self._attempts.progressed(count)
        return count

    def _is_closed(self) -> bool:
        return self._closed

    def _opened(self, exchange: _Exchange) -> None:
        with self._lock:
            self._exchange, closed = exchange, self._closed
        if closed:
            raise PullError(NETWORK, STOPPED)

    def _guard_pace(self, count: int, waited: float) -> None:
        """Count a trickle as a stall: the socket's own timeout starts anew with every byte."""
        self._waited, self._came = self._waited + waited, self._came + count
        if self._waited > self._registry.timeout:
            trickle = self._came < SLOWEST * self._waited
            self._waited, self._came = 0.0, 0
            if trickle:
                raise _TransientError(f"less than {SLOWEST} bytes a second came")

    def _drop(self) -> None:
        answer, self._answer, self._exchange = self._answer, None, None
        if answer is not None:
            answer.close()


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,19}", text) else None


def _start_at(answer: _Answer, descriptor: Descriptor, offset: int, what: str) -> None:
    """Bring the answer's body to byte `offset` of the blob, and hold it to the blob's size."""
    if answer.status == http.client.PARTIAL_CONTENT:
        given = answer.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d{1,19})-\d+/(\d+|\*)", given)  # RFC 9110, 14.4
        if not match or int(match[1]) != offset or match[2] not in ("*", str(descriptor.size)):
            message = f"{what}: asked for byte {offset} of {descriptor.size} on, {answer.host} answered with {given!r}"
            raise PullError(INTEGRITY, message, "the registry or a proxy before it needs to be repaired")
    elif answer.length not in (None, descriptor.size):
        message = f"{what}: {answer.host} has {answer.length} bytes of it; the manifest says {descriptor.size}"
        raise PullError(INTEGRITY, message)
    else:
        answer.skip(offset)  # a server without ranges starts over


def _refuse(answer: _Answer, what: str) -> NoReturn:
    """Raise what a failed answer means: try again, or say who refused what."""
    status, host = answer.status, answer.host
    if status in TRANSIENT:
        wait = _retry_after(answer.headers)
        busy = wait is not None or status == http.client.TOO_MANY_REQUESTS
        raise _TransientError(f"{host} answered {status} {answer.reason}", wait, busy=busy)
    detail = _detail(answer)
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        said = "does not accept the credentials" if status == http.client.UNAUTHORIZED else "denies access"
        hint = f"check the login for {host}; in a pod, its pull Secret"
        raise PullError(NOT_AUTHORISED, f"{what}: {host} {said}{detail}", hint)
    if status == http.client.NOT_FOUND:
        raise PullError(
            REFUSED, f"{what}: {host} does not have it{detail}", "check the name, or the login if it is private"
        )
    if status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise PullError(INTEGRITY, f"{what}: {host} has fewer bytes of it than the manifest says")
    raise PullError(REFUSED, f"{what}: {host} answered {status} {answer.reason}{detail}")


def _detail(answer: _Answer) -> str:
    """Return ": CODE message" of a registry's error body (distribution-spec 1.1, "Error Codes"), or nothing."""
    with suppress(_TransientError, PullError, KeyError, IndexError, TypeError):
        error = _json(answer.read(64 << 10), "the error")["errors"][0]
        return f": {error['code']} {error.get('message') or ''}".rstrip()[:300]
    return ""


def _retry_after(headers: http.client.HTTPMessage) -> float | None:
    """Return the wait in seconds that RFC 9110, 10.2.3 asks for; dates count from the server's own clock."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    with suppress(TypeError, ValueError, IndexError, OverflowError):
        until = email.utils.parsedate_to_datetime(value)
        now = headers.get("Date")
        start = email.utils.parsedate_to_datetime(now).timestamp() if now else time.time()
        return max(0.0, until.timestamp() - start)
    return None


# ---------------------------------------------------------------- the wire

CONNECT_TIMEOUT = 10.0
MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
TRANSIENT = (408, 425, 429, 499, 500, 502, 503, 504, 522)
NO_HEAD = (405, 501)  # what proxies and storages that do not know it say to a HEAD
ANY_RANGE = (200, 206, 416)  # what answers a range; of an empty blob there is none
SLOWEST = 1024  # bytes a second; below that a transfer counts as stalled


class _TransientError(Exception):
    """A failure that may pass, and how many seconds the server asks to wait; a `busy` one asks everybody to."""

    def __init__(self, message: str, retry_after: float | None = None, *, busy: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.busy = retry_after, busy


class Session:
    """What all requests to one registry share: when it may be asked again, and an end to everything."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._changed = threading.Condition()
        self._not_before, self._stopped = 0.0, False  # time.monotonic()
        self._exchanges: weakref.WeakSet[_Exchange] = weakref.WeakSet()

    def hold(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        with self._changed:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def wait(self, seconds: float = 0.0, unwanted: Callable[[], bool] = lambda: False) -> None:
        """Wait for so long, and until the registry may be asked.

        Raises `PullError` as soon as everything is stopped, or after `wake` when that is `unwanted`.
        """
        until = time.monotonic() + seconds
        with self._changed:
            while True:
                if self._stopped or unwanted():
                    raise PullError(NETWORK, STOPPED)
                left = max(until, self._not_before) - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(left)

    def wake(self) -> None:
        """Let those who wait look whether they still want to."""
        with self._changed:
            self._changed.notify_all()

    def opened(self, exchange: _Exchange) -> None:
        """Hear of a connection that is to be used."""
        with self._changed:
            if self._stopped:
                raise PullError(NETWORK, STOPPED)
            self._exchanges.add(exchange)

    def stop(self) -> None:
        """End all requests under way, and all waits, for good."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.interrupt()


class _Attempts:
    """How often one piece of work failed in a row."""

    def __init__(self, session: Session, what: str) -> None:
        self._session, self._what = session, what
        self._failed = self._progress = 0

    def progressed(self, amount: int) -> None:
        """Hear of `amount` bytes that came; enough of them, and all attempts are left again."""
        self._progress += amount
        if self._progress >= self._session.patience.refill:
            self._failed = self._progress = 0

    def next_wait(self, error: _TransientError) -> float:
        """Return how many seconds to wait before the next attempt, and hold everybody back when the registry is busy.

        Raises `PullError` when it was the last attempt.
        """
        patience = self._session.patience
        self._failed += 1
        asked = error.retry_after
        if asked is not None and asked > patience.longest:
            message = f"{self._what}: {error} and asks to wait {asked:.0f} s"
            raise PullError(NETWORK, message, "try again later", asked) from error
        if self._failed >= patience.attempts:
            message = f"{self._what}: {error}" + (f", {self._failed} times in a row" if self._failed > 1 else "")
            hint = "check the network and the registry, then try again"
            raise PullError(NETWORK, message, hint, asked or 0.0) from error
        limit = min(patience.cap, patience.base * 2 ** (self._failed - 1))
        delay = asked if asked is not None else random.SystemRandom().uniform(0, limit)
        if error.busy:
            self._session.hold(delay)
        return delay


def _persist(session: Session, what: str, attempt: Callable[[], _T]) -> _T:
    """Return what `attempt` returns, after as many attempts as that takes and the session's patience allows."""
    attempts = _Attempts(session, what)
    session.wait()
    while True:
        try:
            return attempt()
        except _TransientError as error:
            delay = attempts.next_wait(error)
        session.wait(delay)


class _Exchange:
    """A connection that one request has to itself, from before its answer is waited for."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self._socket = connection.sock  # the connection forgets it when the server says that this was the last answer

    def interrupt(self) -> None:
        """Wake the thread that waits; to be called from another one. The connection is that thread's to close."""
        with suppress(OSError):
            # Not SSLSocket's own: it forgets TLS first, and the waiting thread would take what comes for plain text.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Answer:
    """A response whose body has not been read, with the connection that is its own."""

    def __init__(self, url: str, exchange: _Exchange) -> None:
        response = exchange.connection.getresponse()
        self.origin, self.host = _origin(url), urllib.parse.urlsplit(url).netloc
        self.status, self.reason, self.headers = response.status, response.reason, response.headers
        self.length = response.length
        self._exchange, self._response = exchange, response

    def readinto(self, buffer: memoryview) -> int:
        """Return after what one call to the socket brings: a trickle must not hide behind a large buffer."""
        with _translating(self.host):
            if self._response.chunked:
                return self._response.readinto(buffer)
            return self._response.fp.readinto1(buffer)

    def read(self, limit: int) -> bytes:
        """Return the whole body, or its first `limit` bytes."""
        wanted = limit if self.length is None else min(limit, self.length)
        data = _read(self.readinto, wanted)
        if self.length is not None and len(data) < wanted:
            raise _TransientError(f"{self.host} ended the transfer after {len(data)} bytes")
        return data

    def skip(self, amount: int) -> None:
        """Read `amount` bytes and drop them."""
        scratch = memoryview(bytearray(min(amount, MIB)))
        while amount:
            count = self.readinto(scratch[:amount])
            if not count:
                raise _TransientError(f"{self.host} ended the transfer early")
            amount -= count

    def close(self) -> None:
        self._response.close()
        self._exchange.connection.close()


class _Http:
    """Single requests, each on a connection of its own, through the proxy that the environment names."""

    def __init__(self, context: ssl.SSLContext | None, timeout: float, session: Session | None = None) -> None:
        self._context, self._timeout, self._session = context, timeout, session or Session()
        self._answered = False

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        opened: Callable[[_Exchange], None] | None = None,
    ) -> _Answer:
        """Return the answer, whatever its status; raise `_TransientError` or `PullError` when there is none."""
        scheme, host, port = _origin(url)
        path = urllib.parse.urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl() or "/"
        if not path.isascii() or not path.isprintable() or " " in path:
            raise PullError(REFUSED, f"{host} redirects to an address that is none: {path.partition('?')[0]}")
        sent = {"User-Agent": "kubectl-modelcar", **headers}  # and http.client adds "Accept-Encoding: identity"
        connection = self._connection(scheme, host, port)
        proxy = _proxy(scheme, host, port)
        if proxy and scheme == "http":
            path = url
            sent.update(_proxy_authorization(proxy))
        try:
            with _translating(_host(url), connecting=True, answered=self._answered):
                connection.connect()
                connection.sock.settimeout(self._timeout)
            exchange = _Exchange(connection)
            self._session.opened(exchange)
            if opened:
                opened(exchange)
            with _translating(host):
                connection.request(method, path, body, sent)
                answer = _Answer(url, exchange)
        except (PullError, _TransientError):
            connection.close()
            raise
        self._answered = True
        return answer

    def _connection(self, scheme: str, host: str, port: int) -> http.client.HTTPConnection:
        proxy = _proxy(scheme, host, port)
        near = (proxy.hostname or "", proxy.port or 80) if proxy else (host, port)
        if scheme == "http":
            return http.client.HTTPConnection(*near, timeout=CONNECT_TIMEOUT)
        self._context = self._context or trusting()  # once: it reads some hundred certificates
        connection = http.client.HTTPSConnection(*near, timeout=CONNECT_TIMEOUT, context=self._context)
        if proxy:
            connection.set_tunnel(host, port, _proxy_authorization(proxy))
        return connection


def trusting(ca_file: str = "", *, verify: bool = True) -> ssl.SSLContext:
    """Return a TLS context that trusts what this machine trusts, and the certificates of `ca_file` (PEM) besides."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if not context.cert_store_stats()["x509_ca"]:
        # Pythons that were built elsewhere (uv, conda) look in folders that a UBI or Debian image does not have.
        for bundle in filter(os.path.exists, CA_BUNDLES):
            context.load_verify_locations(bundle)
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            message = f"reading the certificates in {ca_file}: {error.strerror or error}"
            raise PullError(LOCAL, message, "the file must hold certificates in PEM") from error
    return context


CA_BUNDLES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem")


def _host(url: str) -> str:
    """Return HOST[:PORT] of a URL, without what a redirect may have put before it: a name and a password."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]


def _origin(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of an http or https URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        scheme, host, port = "", None, None
    if scheme not in ("http", "https") or not host or not _HOST.fullmatch(host):
        raise PullError(REFUSED, f"{url.partition('?')[0]!r} is no http or https address")
    return scheme, host, port or (443 if scheme == "https" else 80)


def _proxy(scheme: str, host: str, port: int) -> urllib.parse.SplitResult | None:
    proxy = urllib.request.getproxies().get(scheme)
    if not proxy or urllib.request.proxy_bypass(f"{host}:{port}"):
        return None
    try:
        found = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if found.hostname and " " not in found.hostname and found.port != 0:
            return found
    except ValueError:
        pass
    raise PullError(NETWORK, f"{scheme}_proxy in the environment names no proxy", "write it as http://HOST:PORT")


def _proxy_authorization(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    user, password = (urllib.parse.unquote(text or "") for text in (proxy.username, proxy.password))
    return {"Proxy-Authorization": _basic(Credential(user, password))}


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Say what a failure of the network came in the way of."""
    try:
        yield
    except PullError as error:
        if error.exit_code != NETWORK:
            raise
        raise PullError(NETWORK, f"{what}: {error.message}", error.hint, error.passes) from error


@contextmanager
def _translating(host: str, *, connecting: bool = False, answered: bool = True) -> Iterator[None]:
    """Turn what sockets, TLS and HTTP raise into failures that pass and failures that do not.

    A connection that is refused passes only from a server that has `answered` before: it restarts.
    """
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        message = f"{host} shows a certificate that is not trusted: {error.verify_message}"
        raise PullError(NETWORK, message, "if it is the right registry, name its CA with --ca-file") from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        raise _TransientError(f"{host} ended the connection") from error
    except ssl.SSLError as error:
        if connecting:
            message = f"{host} does not speak TLS as this machine does: {error.reason}"
            raise PullError(NETWORK, message, "a registry without TLS needs --plain-http") from error
        raise _TransientError(f"the connection to {host} broke: {error.reason}") from error
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise _TransientError(f"the name {host} could not be looked up") from error
        raise PullError(
            NETWORK, f"there is no host {host}: {error.strerror}", "check the name and the network"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, ConnectionRefusedError) and not answered:
            message, hint = f"{host} refuses the connection", "check the name and the port, and whether it runs"
            raise PullError(NETWORK, message, hint) from error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _TransientError(f"the connection to {host} failed: {reason}") from error


# ---------------------------------------------------------------- credentials on the wire


@dataclass(frozen=True)
class _Token:
    header: str = field(repr=False)
    scopes: Mapping[str, frozenset[str]]
    expires: float  # time.monotonic()
    given: Mapping[str, str]  # the challenge that it answers

    def covers(self, scope: str) -> bool:
        return all(actions <= self.scopes.get(at, set()) for at, actions in _scopes(scope).items())


class Authenticator:
    """Answers the challenges of one origin, with Basic or Bearer, and remembers the answers. Safe for threads."""

    def __init__(  # noqa: PLR0913 (a registry gives its session, others their patience)
        self,
        origin_url: str,
        credential: Credential | None,
        *,
        context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        patience: Patience | None = None,
        session: Session | None = None,
    ) -> None:
        self._origin, self._host = _origin(origin_url), urllib.parse.urlsplit(origin_url).netloc
        self._credential = credential
        self._session = session or Session(patience)
        self._http = _Http(context, timeout, self._session)
        self._lock = threading.Lock()
        self._basic: str | None = None
        self._tokens: tuple[_Token, ...] = ()

    def header(self, scope: str) -> str | None:
        """Return the Authorization that is known to fit `scope` ("repository:NAME:pull,push"), None for nothing yet.

        A token that is about to run out is renewed here: a refused upload would have sent its body for nothing.
        """
        known = self._known(scope)
        if known is None and any(token.covers(scope) for token in self._tokens):
            with self._lock:
                known = self._known(scope) or self._renewed(scope)
        return known

    def _known(self, scope: str) -> str | None:
        now = time.monotonic()
        fitting = (token.header for token in self._tokens if token.expires > now and token.covers(scope))
        return next(fitting, self._basic)

    def _renewed(self, scope: str) -> str | None:
        """Return a new token for one that ran out; None when that fails, for the next challenge to say why."""
        old = next((token for token in self._tokens if token.covers(scope)), None)
        if old is None:
            return None
        try:
            return self._fetch_token(old.given, scope)
        except PullError:
            self._tokens = tuple(token for token in self._tokens if not token.covers(scope))
            return None

    def answer(self, challenge: str, scope: str, rejected: str | None = None) -> str:
        """Return the Authorization for a 401's WWW-Authenticate; raise `PullError` with exit code 3 when there is none.

        `rejected` is what the refused request carried: of many threads that were refused with the same old token only
        one fetches a new one.
        """
        with self._lock:
            challenges = _challenges(challenge)
            expired = any(given.get("error") in ("invalid_token", "insufficient_scope") for _, given in challenges)
            known = self._known(scope)
            if known and known != rejected and (rejected or not expired):
                return known
            for scheme, given in challenges:
                if scheme == "bearer" and given.get("realm"):
                    return self._fetch_token(given, scope)
            if not any(scheme == "basic" for scheme, _ in challenges):
                raise PullError(
                    NOT_AUTHORISED, f"{self._host} asks for a login in a way that is not known: {challenge}"
                )
            if self._credential is None or self._credential.username == IDENTITY_TOKEN:
                raise PullError(NOT_AUTHORISED, f"{self._host} asks for a user name and a password", self._hint())
            self._basic = _basic(self._credential)
            if rejected == self._basic:
                raise self._denied(self._host)
            return self._basic

    def _fetch_token(self, given: Mapping[str, str], scope: str) -> str:
        """Ask the realm for a token (distribution, docs/spec/auth/token.md and oauth.md)."""
        scopes = _scopes(f"{given.get('scope', '')} {scope}")
        wanted = [f"{at}:{','.join(sorted(actions))}" for at, actions in sorted(scopes.items())]
        realm = given["realm"]
        self._check_realm(realm)
        headers = {"Accept": "application/json"}
        body, query = None, [("service", given["service"])] if given.get("service") else []
        if self._credential and self._credential.username == IDENTITY_TOKEN:
            query += [("grant_type", "refresh_token"), ("client_id", "kubectl-modelcar"), ("scope", " ".join(wanted))]
            body = urllib.parse.urlencode([*query, ("refresh_token", self._credential.password)]).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        else:
            query += [("scope", one) for one in wanted]
            realm += ("&" if urllib.parse.urlsplit(realm).query else "?") + urllib.parse.urlencode(query)
            headers.update({"Authorization": _basic(self._credential)} if self._credential else {})
        data = self._ask(realm, headers, body)
        token = data.get("token") or data.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise PullError(NOT_AUTHORISED, f"{_origin(realm)[1]} answered without a token for {self._host}")
        fresh = _Token(f"Bearer {token}", scopes, time.monotonic() + _lifetime(data.get("expires_in")), given)
        self._tokens = (fresh, *(old for old in self._tokens if old.scopes != scopes))
        return fresh.header

    def _ask(self, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, Any]:
        host = _origin(url)[1]
        what = f"asking {host} for access to {self._host}"

        def read() -> dict[str, Any]:
            with _doing(what):
                answer = self._http.send("POST" if body else "GET", url, headers, body)
            with closing(answer):
                if answer.status in (400, 401, 403):
                    raise self._denied(host)
                if answer.status != http.client.OK:
                    _refuse(answer, what)
                return _json(answer.read(MIB), f"the answer of {host}")

        return _persist(self._session, what, read)

    def _check_realm(self, realm: str) -> None:
        """Refuse realms that would take the password out of TLS or to a neighbour (oras-go GHSA-xf85-363p-868w)."""
        try:
            scheme, host, _ = _origin(realm)
        except PullError as error:
            message = f"{self._host} sends logins to an address that is none: {realm}"
            raise PullError(NOT_AUTHORISED, message) from error
        own_scheme, own_host, _ = self._origin
        near = not _is_public(host.rstrip("."))
        userinfo = "@" in urllib.parse.urlsplit(realm).netloc
        if (scheme == "http" and own_scheme == "https") or userinfo or (near and host != own_host):
            message = f"{self._host} sends logins to {scheme}://{host}, which is not safe"
            raise PullError(NOT_AUTHORISED, message, "the registry's token realm needs to be repaired")

    def _denied(self, host: str) -> PullError:
        if self._credential is None:
            message = f"{host} gives nobody access to {self._host} without a login"
            return PullError(NOT_AUTHORISED, message, self._hint())
        who = f"the credentials of {self._credential.username}"
        return PullError(NOT_AUTHORISED, f"{host} does not accept {who} for {self._host}", self._hint())

    def _hint(self) -> str:
        return f"log in to {self._host}; in a pod, give its pull Secret"


def _lifetime(seconds: object) -> float:
    """Return how many seconds a token is used: to half a minute, or half its life, before its end.

    Without a number it lives for 60 s (distribution, docs/spec/auth/token.md); some registries grant less than that.
    """
    lives = min(float(DAY), seconds) if isinstance(seconds, (int, float)) and seconds > 0 else 60.0
    return lives - min(30.0, lives / 2)


def _is_public(host: str) -> bool:
    """Tell whether a host is a name or a public IP address; "127.1" and "0x7f000001" are addresses, too."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return True
    return address.is_global


def _basic(credential: Credential) -> str:
    text = f"{credential.username}:{credential.password}"
    return "Basic " + base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _challenges(header: str) -> list[tuple[str, dict[str, str]]]:
    """Parse WWW-Authenticate: several challenges, tokens and quoted strings (RFC 9110, 11.6.1)."""
    item = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*))?""")
    found: list[tuple[str, dict[str, str]]] = []
    for match in item.finditer(header[:MOST_CHALLENGE]):
        name, value = match[1].lower(), match[2]
        if value is None:
            found.append((name, {}))
        elif found:
            found[-1][1].setdefault(name, re.sub(r"\\(.)", r"\1", value[1:-1]) if value[:1] == '"' else value)
    return found


def _scopes(text: str) -> dict[str, frozenset[str]]:
    """Parse scopes ("repository:NAME:pull,push ...") to resource -> actions."""
    scopes: dict[str, frozenset[str]] = {}
    for scope in text.split():
        resource, _, actions = scope.rpartition(":")
        scopes[resource] = scopes.get(resource, frozenset()) | frozenset(filter(None, actions.split(",")))
    return scopes


# ---------------------------------------------------------------- the pod's entry


HINTS = {
    USAGE: "check the name of the image",
    NOT_AUTHORISED: "check the pull Secret",
    REFUSED: "check the name of the image, and that it is one of a model",
    NETWORK: "check the network and the registry, then try again",
    INTEGRITY: "the image, or the way to it, is damaged: push it again if a second pull does not help",
    LOCAL: "check the volume",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Pull a model into a volume and say so in plain lines; return the exit code."""
    options = _options(argv)
    started = time.monotonic()
    try:
        if _pull_to_volume(options):
            _say(f"done in {time.monotonic() - started:.1f} s")
        else:
            _say("already complete")
    except PullError as error:
        lines = [f"error: {error.message}", f"hint: {error.hint or HINTS[error.exit_code]}"]
        for line in lines:
            _say(line)
        with suppress(OSError), open(options.termination_log, "r+") as log:  # noqa: PTH123 ("r+": only where the kubelet made it)
            log.writelines(f"puller: {line}\n" for line in lines)
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted; layers that were verified are kept")
        return 130
    return 0


def _terminated(_number: int, _frame: object) -> NoReturn:
    """End at once, whatever other threads wait for: what is left on the volume is what a kill leaves."""
    os.write(2, b"puller: terminated; layers that were verified are kept\n")  # `sys.stderr` may be in use
    os._exit(143)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("puller.py", description="Pull a model from an OCI registry into a folder.")
    given = os.environ.get
    parser.add_argument("--reference", default=given("MODEL_REFERENCE"), help="HOST/REPO[:TAG][@sha256:...]")
    parser.add_argument("--volume", type=Path, default=given("MODEL_VOLUME"), help="where <digest>/ goes")
    parser.add_argument("--auth-dir", type=Path, default=given("MODEL_AUTH_DIR"), help="folder of config.json")
    parser.add_argument("--platform", default="", help="OS/ARCHITECTURE; default: this machine's, else any")
    parser.add_argument("--jobs", type=int, default=4, help="layers at a time")
    parser.add_argument("--plain-http", action="store_true", help="talk to the registry without TLS")
    parser.add_argument("--insecure", action="store_true", help="do not check the registry's certificate")
    parser.add_argument("--ca-file", default="", help="more certificates to trust, PEM")
    parser.add_argument("--termination-log", default="/dev/termination-log", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if not options.reference or not options.volume:
        parser.error("--reference and --volume are required")
    options.volume = Path(options.volume)
    return options


def _pull_to_volume(options: argparse.Namespace) -> bool:
    """Pull unless the model is there; return whether that was needed."""
    host, repository, reference = _parse(options.reference)
    credential = _credential(Path(options.auth_dir), host, repository) if options.auth_dir else None
    api = "registry-1.docker.io" if host == DOCKER_HUB else host
    context = None if options.plain_http else trusting(options.ca_file, verify=not options.insecure)
    registry = Registry(f"{'http' if options.plain_http else 'https'}://{api}", repository, credential, context=context)
    digest = reference if _DIGEST.fullmatch(reference) else _fetch(registry, reference)[2]
    if _is_there(options.volume, digest):
        return False
    layers = model_layers(resolve(registry, digest, options.platform))
    total = sum(layer.size for layer in layers)
    _say(f"pulling {host}/{repository}@{digest} ({len(layers)} layers, {_amount(total)}) to {options.volume}")
    lines = _Lines(total)
    pull(registry, digest, options.volume, platform=options.platform, jobs=options.jobs, watch=lines)
    return True


DOCKER_HUB = "docker.io"
DOCKER_HUB_HOSTS = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")


def _parse(text: str) -> tuple[str, str, str]:
    """Split HOST/REPO[:TAG][@DIGEST] as docker does: without a host it is Docker Hub's, without a tag `latest`."""
    name, _, digest = text.partition("@")
    head, slash, rest = name.partition("/")
    if not slash or not (set(".:") & set(head) or head == "localhost"):
        head, rest = DOCKER_HUB, name
    repository, _, tag = rest.partition(":")
    if head in DOCKER_HUB_HOSTS:
        head, repository = DOCKER_HUB, repository if "/" in repository else f"library/{repository}"
    good = not digest or _DIGEST.fullmatch(digest)
    if not good or not _REPOSITORY.fullmatch(repository) or not re.fullmatch(r"[A-Za-z0-9.\-\[\]:]+", head):
        raise PullError(REFUSED, f"{text!r} is no image reference", "it looks like HOST/REPO@sha256:...")
    return head, repository, digest or tag or DEFAULT_TAG


def _credential(folder: Path, host: str, repository: str) -> Credential | None:
    """Find the login in a mounted Secret: the longest key that begins the repository (containers-auth.json(5))."""
    entries: dict[str, Any] = {}
    for path in (folder / ".dockercfg", folder / ".dockerconfigjson", folder / "config.json"):
        if path.is_file():
            with _naming_local_failures(path, "reading"):
                data = _json(path.read_bytes(), f"the file {path}")
            auths = data.get("auths", data)  # the legacy .dockercfg is that object alone
            entries.update((_place_of(key), entry) for key, entry in (auths.items() if isinstance(auths, dict) else ()))
    place = f"{host}/{repository}"
    while place:
        if place in entries:
            return _login(entries[place], place)
        place = place.rpartition("/")[0]
    return None


def _place_of(key: str) -> str:
    """Return HOST[/PATH] of a key like "https://index.docker.io/v1/"."""
    host, slash, path = re.sub(r"^https?://|/v[12]/?$|/$", "", key).partition("/")
    return (DOCKER_HUB if host in DOCKER_HUB_HOSTS else host) + slash + path


def _login(entry: object, place: str) -> Credential | None:
    texts = _texts(entry)
    if texts.get("identitytoken"):
        return Credential(IDENTITY_TOKEN, texts["identitytoken"])
    if texts.get("username"):
        return Credential(texts["username"], texts.get("password", ""))
    if not texts.get("auth"):
        return None
    try:
        username, colon, password = base64.b64decode(texts["auth"], validate=True).decode().partition(":")
    except ValueError:
        username, colon, password = "", "", ""
    if not colon:
        raise PullError(LOCAL, f"the login for {place} cannot be read: its 'auth' is not base64 of USER:PASSWORD")
    return Credential(username, password.rstrip("\0"))  # docker pads with NULs


class _Lines:
    """Says how far it is, at most once in 5 s or 10 %."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._said = total, 0, 0
        self._when = time.monotonic()
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, name: str, total: int) -> None:
        self._sizes[name] = total
        if not total:
            _say(name)

    def advance(self, name: str, amount: int) -> None:  # noqa: ARG002 (the interface's)
        with self._lock:
            self._done += amount
            percent, now = 100 * self._done // max(1, self._total), time.monotonic()
            if percent >= min(100, self._said + 10) > self._said or now >= self._when + 5:
                self._said, self._when = percent, now
                _say(f"{percent}% {self._done / 1e6:.1f}/{_amount(self._total)}")

    def end(self, name: str, outcome: str) -> None:
        if outcome == "exists":
            self.advance(name, self._sizes[name])


def _say(text: str) -> None:
    sys.stderr.write(f"puller: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)  # as PID 1 a process ignores it otherwise
    sys.exit(main())
