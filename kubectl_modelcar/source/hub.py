"""A model in a repository of the Hugging Face Hub; the only importer of huggingface_hub."""

import os
import random
import re
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there, though not in its __all__
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    paginate,
)

from kubectl_modelcar.errors import (
    IntegrityFailure,
    InvalidInput,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source.model import Listing, Origin
from kubectl_modelcar.source.selection import Selection

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)  # seconds; idle, not total
_ATTEMPTS = 5  # in a row without a new byte
_LONGEST_WAIT = 300.0  # seconds of Retry-After that are still worth waiting for
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")  # runtimes do not start an image with another one
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class HubModel:
    """ORG/NAME at a revision: a branch, a tag or a commit."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        """Return ORG/NAME@REVISION."""
        return f"{self.repository}@{self.revision}"


class HubSource:
    """The files of one commit of a Hub repository; what is pushed to its branch after `listing` changes nothing."""

    rereadable = False  # every byte costs the network

    def __init__(self, model: HubModel) -> None:
        self._model = model
        self._api = HfApi()
        self._commit = ""
        self._stopped = threading.Event()
        self._headers = build_hf_headers(library_name="kubectl-modelcar") | {"Accept-Encoding": "identity"}

    def __str__(self) -> str:
        """Return ORG/NAME@REVISION."""
        return str(self._model)

    def listing(self, selection: Selection) -> Listing:
        """Return the files to take and the commit that they are of.

        Raises NotAuthorised, NotFoundOrRefused or NetworkGaveUp as the Hub answers, and IntegrityFailure for names that
        no folder can hold.
        """
        info = self._persist(self._info)
        if not info.sha:
            raise NetworkGaveUp(f"cannot list {self._model}: the Hub named no commit")
        self._commit = info.sha
        known = {file.rfilename: file for file in info.siblings or []}
        chosen = selection.pick(known, where=str(self._model))
        files = tuple(ModelFile(path, self._size(path, known[path].size), _lfs_digest(known[path])) for path in chosen)
        return Listing(self._origin(info), files, tuple(sorted(set(known) - set(chosen))))

    def chunks(self, file: ModelFile) -> Iterator[bytes]:
        """Yield the bytes of `file`; a connection that breaks is taken up again where it broke."""
        done = failed = 0
        while done < file.size:
            before = done
            try:
                for chunk in self._get(file, done):
                    done += len(chunk)
                    if done <= file.size:
                        yield chunk
                break
            except NetworkGaveUp as error:
                failed = 0 if done > before else failed
                self._wait_or_raise(error, failed)
                failed += 1
        if done != file.size:
            raise IntegrityFailure(
                f"{file.path} of {self._model} is {done} bytes where the Hub promised {file.size}",
                "try again, and report it to the repository's owner if it stays so",
            )

    def read(self, file: ModelFile, offset: int, length: int) -> bytes:
        """Return up to `length` bytes of `file` from `offset`."""
        if not length or offset >= file.size:
            return b""
        return self._persist(lambda: self._read(file, offset, length))

    def stop(self) -> None:
        """End all waits between attempts: what is read is no longer wanted."""
        self._stopped.set()

    def _persist(self, attempt: Callable[[], _T]) -> _T:
        """Return what `attempt` returns, after as many attempts as are worth it."""
        failed = 0
        while True:
            try:
                return attempt()
            except NetworkGaveUp as error:
                self._wait_or_raise(error, failed)
                failed += 1

    def _wait_or_raise(self, error: NetworkGaveUp, failed: int) -> None:
        """Wait before the next attempt; raise `error` after too many, or when another one cannot help."""
        cause = error.__cause__
        headers = cause.response.headers if isinstance(cause, HfHubHTTPError) else {}
        asked = headers.get("Retry-After", "")
        wait = float(asked) if asked.isdecimal() else random.uniform(0, 0.5 * 2**failed)  # noqa: S311  jitter, no secret
        # A name that is not known, a port that is closed and a certificate that is not trusted stay so.
        stays = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
        passes = isinstance(cause, HfHubHTTPError | httpx2.TransportError) and not stays
        if not passes or wait > _LONGEST_WAIT or failed + 1 >= _ATTEMPTS or self.pause(wait):
            raise error

    def pause(self, seconds: float) -> bool:
        """Wait, and tell whether the source was stopped meanwhile."""
        return self._stopped.wait(seconds)

    def _info(self) -> ModelInfo:
        with _translated(f"list {self._model}", self._model):
            return self._api.model_info(
                self._model.repository, revision=self._model.revision, files_metadata=True, timeout=60.0
            )

    def _read(self, file: ModelFile, offset: int, length: int) -> bytes:
        data = bytearray()
        with closing(self._get(file, offset, length)) as chunks:
            for chunk in chunks:
                data += chunk
                if len(data) >= length:  # a server without ranges would send all the rest
                    break
        return bytes(data[:length])

    def _get(self, file: ModelFile, offset: int, length: int | None = None) -> Generator[bytes, None, None]:
        url = hf_hub_url(self._model.repository, file.path, revision=self._commit)
        end = "" if length is None else offset + length - 1
        wanted = {"Range": f"bytes={offset}-{end}"} if offset or length else {}
        with (
            _translated(f"read {file.path} of {self._model}", self._model),
            # The client drops Authorization on its way to another origin, the CDN.
            get_session().stream(
                "GET", url, headers=self._headers | wanted, timeout=_TIMEOUT, follow_redirects=True
            ) as response,
        ):
            hf_raise_for_status(response)
            skip = offset if response.status_code == httpx2.codes.OK else 0
            for chunk in response.iter_raw():
                if len(chunk) > skip:
                    yield chunk[skip:]
                skip = max(0, skip - len(chunk))

    def _size(self, path: str, size: int | None) -> int:
        if size is None:  # mirrors of the Hub leave it out
            with _translated(f"ask for the size of {path} of {self._model}", self._model):
                url = hf_hub_url(self._model.repository, path, revision=self._commit)
                size = get_hf_file_metadata(url, timeout=60.0).size
        if size is None:
            raise NetworkGaveUp(
                f"the Hub does not tell the size of {path} of {self._model}", "check HF_ENDPOINT and the proxy"
            )
        return size

    def _origin(self, info: ModelInfo) -> Origin:
        card = info.card_data
        licence = card and (card.get("license_name") or card.get("license"))
        return Origin(
            f"hf://{self._model.repository}@{self._commit}",
            self._model.repository,
            self._commit,
            self._commit_date() or (f"{info.last_modified:%Y-%m-%dT%H:%M:%SZ}" if info.last_modified else None),
            licence if isinstance(licence, str) else None,
        )

    def _commit_date(self) -> str | None:
        """Return the date of the commit itself; a repository's `last_modified` moves on while its commit stays."""
        url = f"{constants.ENDPOINT}/api/models/{self._model.repository}/commits/{self._commit}"
        try:
            newest = next(iter(paginate(url, {}, self._headers, 30.0)), None)
        except (HfHubHTTPError, httpx2.HTTPError, ValueError):
            return None  # a mirror without a history
        date = newest.get("date") if isinstance(newest, dict) else None
        return f"{date[:19]}Z" if isinstance(date, str) and _DATE.fullmatch(date) else None


def _lfs_digest(file: RepoSibling) -> str | None:
    return file.lfs["sha256"] if file.lfs else None


@contextmanager
def _translated(doing: str, model: HubModel) -> Iterator[None]:
    """Turn every error of the Hub's client into one of ours."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise NetworkGaveUp(f"cannot {doing}: HF_HUB_OFFLINE is set", "unset it, or push a folder") from error
    except HFValidationError as error:
        raise InvalidInput(f"cannot {doing}: {error}", "a repository is written ORG/NAME[@REVISION]") from error
    except HfHubHTTPError as error:
        raise _explained(doing, model, error) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NetworkGaveUp(
            f"cannot {doing}: {constants.ENDPOINT} gave an answer that is not the Hub's ({type(error).__name__})",
            "check HF_ENDPOINT and the proxy",
        ) from error
    except (httpx2.HTTPError, OSError) as error:
        raise NetworkGaveUp(
            f"cannot {doing}: {constants.ENDPOINT} did not answer ({error or type(error).__name__})",
            "check the network and HF_ENDPOINT",
        ) from error


def _explained(doing: str, model: HubModel, error: HfHubHTTPError) -> ModelcarError:  # noqa: PLR0911  a return a case
    page = f"{constants.ENDPOINT}/{model.repository}"
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return NotAuthorised(
            f"cannot {doing}: the Hub says that the repository is gated",
            f"accept its terms at {page}, then set HF_TOKEN",
        )
    if isinstance(error, RevisionNotFoundError):
        return NotFoundOrRefused(
            f"cannot {doing}: the Hub has no revision {model.revision!r} of {model.repository}",
            f"see {page}/commits for branches, tags and commits",
        )
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        return NotAuthorised(
            f"cannot {doing}: the Hub refused (HTTP {status}): {model.repository} is private or not there",
            "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it"
            + (" (the one set was refused)" if _has_token() else ""),
        )
    if isinstance(error, RepositoryNotFoundError):
        return NotFoundOrRefused(
            f"cannot {doing}: the Hub has no repository {model.repository}",
            "check the name (a folder is written ./NAME), and whether HF_TOKEN may read it",
        )
    if isinstance(error, EntryNotFoundError):
        return NotFoundOrRefused(f"cannot {doing}: the Hub has no such file at this commit", f"see {page}/commits")
    if status in _TRANSIENT:
        return NetworkGaveUp(f"cannot {doing}: the Hub answered HTTP {status}", "try again later")
    return NotFoundOrRefused(f"cannot {doing}: the Hub answered HTTP {status}")


def _has_token() -> bool:
    return bool(os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"))
