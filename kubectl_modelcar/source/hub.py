"""A model in a repository of the Hugging Face Hub."""

import re
import time
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there, though not in its __all__
    get_token,
    hf_raise_for_status,
    validate_repo_id,
)

from kubectl_modelcar import __version__
from kubectl_modelcar.errors import IntegrityFailure, NetworkGaveUp
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.patience import TRANSIENT, MayPass, Patience, Tries
from kubectl_modelcar.source.heads import Heads
from kubectl_modelcar.source.model import MOST, Listing, Origin
from kubectl_modelcar.source.refusals import Asking, translated
from kubectl_modelcar.source.selection import Selection
from kubectl_modelcar.source.transport import Lines, new_client

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)  # seconds; idle, not total
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")  # runtimes do not start an image with another one
_SHA256, _GIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")
_BEYOND_THE_END = 416  # RFC 9110, 15.5.17; what httpx calls it depends on its version
_SLOWEST, _PATIENT = 1024, 60.0  # bytes a second, over so many seconds: less is a stall (curl --speed-limit)


@dataclass(frozen=True, slots=True)
class HubModel:
    """ORG/NAME at a revision: a branch, a tag or a commit."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        """Return ORG/NAME@REVISION."""
        return f"{self.repository}@{self.revision}"


class HubSource:
    """The files of one commit of a Hub repository; what is pushed to its branch after `listing` changes nothing.

    `listing` costs two requests: the files, and the commit's date.
    """

    rereadable = False  # every byte costs the network

    def __init__(self, model: HubModel, patience: Patience | None = None) -> None:
        self.model = model
        self.commit = ""
        self.patience = patience or Patience()
        self._lines = Lines()
        self._client = new_client(self._lines)
        weakref.finalize(self, self._client.close)
        self._headers = _headers()
        self._heads = Heads()

    def __str__(self) -> str:
        """Return ORG/NAME@REVISION."""
        return str(self.model)

    def listing(self, selection: Selection) -> Listing:
        """Return the files to take and the commit that they are of.

        Raises NotAuthorised, NotFoundOrRefused or NetworkGaveUp as the Hub answers, and IntegrityFailure for names that
        no folder can hold.
        """
        info = self.patience.persist(self._info)
        self.commit = info["sha"]
        known = info["siblings"]
        chosen = selection.pick(known, where=str(self.model))
        files = tuple(known[path] or self.patience.persist(partial(self._told, path)) for path in chosen)
        return Listing(self._origin(info), files, tuple(sorted(set(known) - set(chosen))))

    def stamp(self, file: ModelFile) -> str | None:
        """Return what names the bytes of `file`: its sha256, its blob in git, or its place in the commit."""
        return file.sha256 or file.git or f"{self.model.repository}@{self.commit}"

    def chunks(self, file: ModelFile, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of `file` from `start` on; a connection that breaks is taken up again where it broke.

        Raises IntegrityFailure at the end for more or fewer bytes than were listed; their sha256 is not checked here.
        """
        done, tries = start, Tries(self.patience)
        if start == 0 and (whole := self._heads.take(file)):
            yield whole
            return
        while done < file.size:
            self.patience.ready()
            try:
                for chunk in self._get(file, done):
                    done += len(chunk)
                    if done > file.size:
                        raise self._other_size(file, f"more than {file.size}")
                    yield chunk
                    tries.progressed(len(chunk))
            except MayPass as error:
                tries.failed(error)
            else:
                if done < file.size:
                    ended = f"cannot {self._reading(file)}: the bytes ended at {done} of {file.size}"
                    tries.failed(MayPass(ended, "check the network and the proxy"))

    def read(self, file: ModelFile, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of `file` from `offset`, at most MOST."""
        length = min(length, file.size - offset, MOST)
        if length <= 0:
            return b""
        wanted = self._heads.wanted(file, offset, length)
        known = self._heads.get(file, offset, length)
        if known is None:
            known = self.patience.persist(lambda: self._read(file, offset, wanted))
            self._heads.put(file, offset, known)
        return known[:length]

    def stop(self) -> None:
        """End everything at once, for good: what is read is no longer wanted."""
        self.patience.stop()
        self._lines.cut()

    def asking(self, doing: str) -> Asking:
        """Return what is being done, as errors will tell it."""
        has_token = "authorization" in self._headers
        return Asking(doing, self.model.repository, self.model.revision, has_token, answered=bool(self.commit))

    def _reading(self, file: ModelFile) -> str:
        return f"read {file.path} of {self.model}"

    def _ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401  JSON
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled
        response = self._client.get(
            f"{constants.ENDPOINT}{path}", params=parameters, headers=self._headers, timeout=_TIMEOUT
        )
        hf_raise_for_status(response)
        return response.json()

    def _info(self) -> dict[str, Any]:
        """Return what the Hub tells of the revision, with its files by path."""
        with translated(self.asking(f"list {self.model}")):
            validate_repo_id(self.model.repository)
            revision = quote(self.model.revision, safe="")
            info = self._ask(f"/api/models/{self.model.repository}/revision/{revision}", blobs="true")
            files = {entry["rfilename"]: _file(entry) for entry in info.get("siblings") or ()}
            commit = info.get("sha")
        if not isinstance(commit, str) or not _GIT.fullmatch(commit):
            raise NetworkGaveUp(f"cannot list {self.model}: the Hub named no commit", "check HF_ENDPOINT and the proxy")
        return {**info, "siblings": files}

    def _read(self, file: ModelFile, offset: int, length: int) -> bytes:
        data = bytearray()
        with closing(self._get(file, offset, length)) as chunks:
            for chunk in chunks:
                data += chunk
                if len(data) >= length:  # a server without ranges would send all the rest
                    break
        if len(data) < length:
            raise MayPass(
                f"cannot {self._reading(file)}: {len(data)} bytes of {length} came", "check the network and the proxy"
            )
        return bytes(data[:length])

    def _get(self, file: ModelFile, offset: int, length: int | None = None) -> Generator[bytes, None, None]:
        """Yield the bytes from `offset` to the end, or at least `length` of them."""
        end = "" if length is None else offset + length - 1
        wanted = {"Range": f"bytes={offset}-{end}"} if offset or length else {}
        with (
            translated(self.asking(self._reading(file))),
            # The client drops Authorization on its way to another origin, the CDN.
            self._client.stream(
                "GET",
                f"{constants.ENDPOINT}/{self.model.repository}/resolve/{self.commit}/{quote(file.path)}",
                headers=self._headers | {"Accept-Encoding": "identity"} | wanted,
                timeout=_TIMEOUT,
            ) as response,
        ):
            if response.status_code == _BEYOND_THE_END:
                raise self._other_size(file, response.headers.get("Content-Range", "").rpartition("/")[2] or "fewer")
            hf_raise_for_status(response)
            skip = offset if response.status_code == httpx2.codes.OK else 0
            for chunk in _brisk(response.iter_raw()):
                if len(chunk) > skip:
                    yield chunk[skip:] if skip else chunk
                skip = max(0, skip - len(chunk))

    def _other_size(self, file: ModelFile, found: str) -> IntegrityFailure:
        return IntegrityFailure(
            f"{file.path} of {self.model} is {found} bytes where the Hub promised {file.size}",
            "try again, and report it to the repository's owner if it stays so",
        )

    def _told(self, path: str) -> ModelFile:
        """Return a file of a mirror whose listing tells no sizes."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url  # noqa: PLC0415  0.05 s that the Hub's own need not

        with translated(self.asking(f"ask for the size of {path} of {self.model}")):
            url = hf_hub_url(self.model.repository, path, revision=self.commit)
            told = get_hf_file_metadata(url, timeout=60.0)
        if told.size is None:
            raise NetworkGaveUp(
                f"the Hub does not tell the size of {path} of {self.model}", "check HF_ENDPOINT and the proxy"
            )
        return ModelFile(path, told.size, _hex(_SHA256, told.etag), git=_hex(_GIT, told.etag))

    def _origin(self, info: Mapping[str, Any]) -> Origin:
        card = info.get("cardData")
        licence = isinstance(card, dict) and (card.get("license_name") or card.get("license"))
        return Origin(
            f"hf://{self.model.repository}@{self.commit}",
            self.model.repository,
            self.commit,
            self.patience.persist(self._commit_date),
            licence if isinstance(licence, str) else None,
        )

    def _commit_date(self) -> str | None:
        """Return the date of the commit itself, None where a mirror does not tell it.

        The repository's `lastModified` is no substitute: it moves on while the commit stays, and the digest with it.
        """
        with translated(self.asking(f"ask for the date of {self.model}")):
            try:
                history = self._ask(f"/api/models/{self.model.repository}/commits/{self.commit}")
            except HfHubHTTPError as error:
                if error.response.status_code in TRANSIENT:
                    raise  # another date would be another image
                return None  # a mirror without a history
            except ValueError:
                return None
        newest = history[0] if isinstance(history, list) and history else None
        return _seconds(newest.get("date")) if isinstance(newest, dict) else None


def _headers() -> dict[str, str]:
    """Return who asks, and the token that the Hub's own client would send.

    That client's `build_hf_headers` asks the Hub for a list of agents first, and looks for torch.
    """
    token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
    return {"user-agent": f"kubectl-modelcar/{__version__}"} | ({"authorization": f"Bearer {token}"} if token else {})


def _file(entry: Mapping[str, Any]) -> ModelFile | None:
    """Return a file as the listing tells of it; None where a mirror leaves its size out."""
    path, size, lfs = entry["rfilename"], entry.get("size"), entry.get("lfs") or {}
    if not isinstance(path, str):
        raise TypeError(path)
    if not isinstance(size, int) or size < 0:
        return None
    sha256 = _hex(_SHA256, lfs.get("sha256"))
    return ModelFile(path, size, sha256, git=None if lfs else _hex(_GIT, entry.get("blobId")))


def _hex(kind: re.Pattern[str], text: object) -> str | None:
    return text if isinstance(text, str) and kind.fullmatch(text) else None


def _seconds(date: object) -> str | None:
    """Return a date without fractions of a second, None for one of another form."""
    return f"{date[:19]}Z" if isinstance(date, str) and _DATE.fullmatch(date) else None


def _brisk(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield `chunks`, and raise ReadTimeout for those that drip; what the reader does meanwhile does not count."""
    waited, came = 0.0, 0
    while True:
        before = time.monotonic()
        chunk = next(chunks, None)
        waited += time.monotonic() - before
        if chunk is None:
            return
        came += len(chunk)
        if waited > _PATIENT:
            if came < _SLOWEST * waited:
                raise httpx2.ReadTimeout(f"{came} bytes in {waited:.0f} s")
            waited, came = 0.0, 0
        yield chunk
