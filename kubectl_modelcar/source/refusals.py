"""What goes wrong with the Hub, in our words: what was done, who refused, and what to do next."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # documented there

from kubectl_modelcar.errors import (
    InvalidInput,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.patience import TRANSIENT, MayPass, retry_after
from kubectl_modelcar.text import one_line

_MIRROR = "check HF_ENDPOINT and the proxy"


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked of the Hub, for the sake of error messages. `answered` says whether it ever answered."""

    doing: str
    repository: str
    revision: str
    has_token: bool
    answered: bool

    @property
    def page(self) -> str:
        """Where people see the repository."""
        return f"{_endpoint()}/{self.repository}"


@contextmanager
def translated(asking: Asking) -> Iterator[None]:
    """Turn every error of the Hub's client into one of ours; those that may pass into MayPass."""
    cannot = f"cannot {asking.doing}"
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise NetworkGaveUp(f"{cannot}: HF_HUB_OFFLINE is set", "unset it, or push a folder") from error
    except HFValidationError as error:
        raise InvalidInput(f"{cannot}: {error}", "a repository is written ORG/NAME[@REVISION]") from error
    except HfHubHTTPError as error:
        raise _refused(asking, error) from error
    except httpx2.TransportError as error:
        raise _unanswered(asking, error) from error
    except httpx2.HTTPError as error:
        raise NetworkGaveUp(f"{cannot}: {_host(error)} leads nowhere ({type(error).__name__})", _MIRROR) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NetworkGaveUp(
            f"{cannot}: {_endpoint()} gave an answer that is not the Hub's ({type(error).__name__})", _MIRROR
        ) from error
    except OSError as error:
        raise NetworkGaveUp(f"{cannot}: {one_line(str(error), 200)}", "check the network and SSL_CERT_FILE") from error


def _unanswered(asking: Asking, error: httpx2.TransportError) -> NetworkGaveUp:
    why = one_line(str(error), 200) or type(error).__name__
    broke = isinstance(error, httpx2.ReadError | httpx2.RemoteProtocolError)
    what = f"the connection to {_host(error)} broke" if broke else f"{_host(error)} did not answer"
    message = f"cannot {asking.doing}: {what} ({why})"
    connecting, cause = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout), _root(error)
    if connecting and isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return NetworkGaveUp(message, "set SSL_CERT_FILE to the authorities to trust, or check the proxy")
    # A name that is not known and a port that is closed stay so, unless somebody answered there a minute ago.
    later = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
    if connecting and not asking.answered and not later:
        return NetworkGaveUp(message, "check the network and HF_ENDPOINT")
    return MayPass(message, "check the network and HF_ENDPOINT")


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _refused(asking: Asking, error: HfHubHTTPError) -> ModelcarError:
    cannot, status = f"cannot {asking.doing}", error.response.status_code
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        hint = "try again later" if asking.has_token else "try again later, or set HF_TOKEN: it has a limit of its own"
        return MayPass(f"{cannot}: the Hub asks for fewer requests (HTTP 429)", hint, _wait(error.response))
    if status in TRANSIENT:
        return MayPass(f"{cannot}: {_who(error)} answered HTTP {status}", "try again later", _wait(error.response))
    if _who(error) != _HUB:
        return NotFoundOrRefused(
            f"{cannot}: {_who(error)}, where the Hub keeps the file, refused (HTTP {status})",
            "check whether a proxy is in the way, and this machine's clock",
        )
    return _denied(asking, error) or NotFoundOrRefused(f"{cannot}: the Hub answered HTTP {status}", _MIRROR)


def _denied(asking: Asking, error: HfHubHTTPError) -> ModelcarError | None:
    cannot, status = f"cannot {asking.doing}", error.response.status_code
    if isinstance(error, GatedRepoError):
        then = "with the account of the token that is set" if asking.has_token else "then set HF_TOKEN"
        return NotAuthorised(
            f"{cannot}: the Hub says that the repository is gated", f"accept its terms at {asking.page}, {then}"
        )
    if isinstance(error, RevisionNotFoundError):
        return NotFoundOrRefused(
            f"{cannot}: the Hub has no revision {asking.revision!r} of {asking.repository}",
            f"see {asking.page}/commits for branches, tags and commits",
        )
    if status in (httpx2.codes.UNAUTHORIZED, httpx2.codes.FORBIDDEN):
        return NotAuthorised(
            f"{cannot}: the Hub refused (HTTP {status}): {asking.repository} is private or not there",
            "check the name (a folder is written ./NAME), or set HF_TOKEN to a token that may read it"
            + (" (the one set was refused)" if asking.has_token else ""),
        )
    if isinstance(error, RepositoryNotFoundError):
        return NotFoundOrRefused(
            f"{cannot}: the Hub has no repository {asking.repository}",
            "check the name (a folder is written ./NAME), and whether HF_TOKEN may read it",
        )
    if isinstance(error, EntryNotFoundError):
        return NotFoundOrRefused(f"{cannot}: the Hub has no such file at this commit", f"see {asking.page}/commits")
    return None


def _wait(response: httpx2.Response) -> float | None:
    """Return how long to wait: Retry-After, or the Hub's own RateLimit header when that is used up."""
    asked = retry_after(response.headers)
    limit = parse_ratelimit_headers(response.headers) if asked is None else None
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else asked


def _endpoint() -> str:
    """Return where the Hub is, without the name and password that HF_ENDPOINT may hold."""
    parts = urlsplit(constants.ENDPOINT)
    return one_line(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))


_HUB = "the Hub"


def _who(error: HfHubHTTPError) -> str:
    host = error.response.url.netloc.decode("ascii")
    return _HUB if host == httpx2.URL(constants.ENDPOINT).netloc.decode("ascii") else one_line(host)


def _host(error: httpx2.HTTPError) -> str:
    """Return the origin that was asked; what is behind it may be signed."""
    try:
        url = error.request.url
    except RuntimeError:  # no request was made
        return _endpoint()
    return one_line(f"{url.scheme}://{url.netloc.decode('ascii')}")
