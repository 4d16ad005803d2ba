"""Large files of the Hub on this machine's disk while their layer is sent.

That costs room for `--jobs` files, the time to write them, and where hf_xet is used some 230 MiB of memory. What it
gains: nothing of a file goes to the registry before its sha256 is right; what a registry wants again is not asked of
the Hub again; and files that the Hub keeps in Xet come by hf_xet, in as many streams as its buffer has room for (64 MB
by itself; HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER_SIZE and _LIMIT of "1gb" buy speed for memory).
"""

import errno
import hashlib
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from io import FileIO
from pathlib import Path
from typing import Self

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NetworkGaveUp
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source.hub import HubSource
from kubectl_modelcar.source.model import CHUNK, Listing
from kubectl_modelcar.source.refusals import translated
from kubectl_modelcar.source.scratch import ROOM, Coming, Room, own_folder, remove_stale
from kubectl_modelcar.source.selection import Selection

_ATTEMPTS = 2  # downloads of a file whose bytes are wrong: a cache on the way may have had a bad copy
_BUFFER = "HF_XET_RECONSTRUCTION_DOWNLOAD_BUFFER"
# hf_xet takes a sixteenth of the machine's memory, more for each file, and has 64 MB of a file in it at a time at least
# (a xorb). One file of 800 MB on a machine of 24 GB: 650 MiB without these, 270 with them, and as much for four files.
# The buffer must not grow with the files: as they end it shrinks below what others wait for, and these wait for ever.
_BOUNDS = {f"{_BUFFER}_SIZE": "64mb", f"{_BUFFER}_PERFILE_SIZE": "0mb", f"{_BUFFER}_LIMIT": "64mb"}
_HIGH = ("HF_XET_HIGH_PERFORMANCE", "HF_XET_HP")


class SpooledSource:
    """A repository of the Hub whose files in LFS are read from the disk.

    Each thread has at most one copy there, of the file that it read last: it may be wanted again, and asking for
    another file says that it is not. A copy has no name: nothing is left of it, however this process ends. Only while
    hf_xet writes it, it has one, in a folder which the next source removes if this process is killed.
    """

    rereadable = False  # a copy is gone once the next file is read

    def __init__(self, hub: HubSource) -> None:
        self._hub = hub
        self._own = threading.local()
        self._room = Room()

    def __str__(self) -> str:
        """Return ORG/NAME@REVISION."""
        return str(self._hub)

    def listing(self, selection: Selection) -> Listing:
        """Return the files to take and the commit that they are of."""
        remove_stale()
        return self._hub.listing(selection)

    def stamp(self, file: ModelFile) -> str | None:
        """Return what names the bytes of `file`."""
        return self._hub.stamp(file)

    def read(self, file: ModelFile, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of `file` from `offset`; of the Hub, which need not send all for that."""
        return self._hub.read(file, offset, length)

    def stop(self) -> None:
        """End everything at once, for good."""
        self._hub.stop()
        from huggingface_hub.utils._xet import abort_xet_session  # noqa: PLC0415  there is no public way

        abort_xet_session()  # type: ignore[no-untyped-call]

    def chunks(self, file: ModelFile, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of `file` from `start` on, each chunk valid until the next is asked for.

        Raises LocalFailure for a disk without room, IntegrityFailure for bytes that are twice not what was promised.
        """
        if file.sha256 is None:  # what is not in LFS is small
            yield from self._hub.chunks(file, start)
            return
        copy, at = self._copy(file), start
        while chunk := os.pread(copy.fileno(), CHUNK, at):
            at += len(chunk)
            yield chunk

    def _copy(self, file: ModelFile) -> FileIO:
        """Return this thread's copy of `file`, downloaded if need be."""
        known: _Copy | None = getattr(self._own, "copy", None)
        if known is None or known.file != file:
            self._own.copy = known = None  # which makes room before it is needed
            self._own.copy = known = _Copy(file, self._fetched(file))
        return known.bytes

    def _fetched(self, file: ModelFile) -> FileIO:
        found = None
        for _ in range(_ATTEMPTS):
            try:
                with self._room.reserved(file) as coming:
                    copy = self._by_xet(coming) if self._in_xet(file) else self._by_http(coming)
                found = _sha256(copy)
            except OSError as error:
                what = "is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"refused: {error.strerror}"
                raise LocalFailure(f"cannot spool {file.path}: {tempfile.gettempdir()} {what}", ROOM) from error
            if found == file.sha256:
                return copy
            copy.close()
        raise IntegrityFailure(
            f"{file.path} of {self} has sha256 {found} where the Hub promised {file.sha256}",
            "nothing was published; try again, and report it to the repository's owner if it stays so",
        )

    def _by_http(self, coming: Coming) -> FileIO:
        with ExitStack() as stack:
            copy = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            for chunk in self._hub.chunks(coming.file):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[copy.write(rest) :]
                coming.written += len(chunk)
            stack.pop_all()
        return copy

    def _in_xet(self, file: ModelFile) -> bool:
        if constants.HF_HUB_DISABLE_XET or find_spec("hf_xet") is None:
            return False
        return self._hub.patience.persist(lambda: self._has_xet_hash(file))

    def _has_xet_hash(self, file: ModelFile) -> bool:
        with translated(self._hub.asking(f"ask for {file.path} of {self}")):
            url = hf_hub_url(self._hub.model.repository, file.path, revision=self._hub.commit)
            return get_hf_file_metadata(url, timeout=60.0).xet_file_data is not None

    def _by_xet(self, coming: Coming) -> FileIO:
        try:
            return self._xet_download(coming)
        except (NetworkGaveUp, OSError, RuntimeError):  # hf_xet's own, when it has tried several times
            coming.folder = None
            return self._by_http(coming)

    def _xet_download(self, coming: Coming) -> FileIO:
        _bound_memory()
        path, model = coming.file.path, self._hub.model
        with own_folder() as folder, translated(self._hub.asking(f"read {path} of {self}")):
            coming.folder = folder
            place = hf_hub_download(
                model.repository, path, revision=self._hub.commit, local_dir=folder, tqdm_class=_NoBar
            )
            coming.written, coming.folder = coming.file.size, None
            return Path(place).open("rb", buffering=0)  # and the folder goes


class _Copy:
    """A file on the disk, which is gone when nobody has this object any more: its thread ended, or reads another."""

    def __init__(self, file: ModelFile, copy: FileIO) -> None:
        self.file, self.bytes = file, copy
        weakref.finalize(self, copy.close)


class _NoBar:
    """What hf_xet's progress is told to; the client's own silent bar lacks what it asks of one."""

    n = 0
    total: int | None = None

    def __init__(self, *_: object, **_options: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, n: float | None = 1) -> None: ...

    def refresh(self, *_: object, **_options: object) -> None: ...

    def set_postfix_str(self, *_: object, **_options: object) -> None: ...

    def close(self) -> None: ...


def _bound_memory() -> None:
    """Give hf_xet an environment that bounds its memory, unless the user's own has a say; it is read once."""
    if not any(name.startswith(_BUFFER) or name in _HIGH for name in os.environ):
        os.environ.update(_BOUNDS)


def _sha256(copy: FileIO) -> str:
    copy.seek(0)
    return hashlib.file_digest(copy, "sha256").hexdigest()
