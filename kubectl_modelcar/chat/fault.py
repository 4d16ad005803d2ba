"""Make errors of ours out of what httpx raises."""

import ssl

import httpx

from kubectl_modelcar.errors import InvalidInput, ModelcarError, NetworkGaveUp
from kubectl_modelcar.text import one_line

__all__ = ["FOREIGN", "Untrusted", "cut_off", "fault"]

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict)
"""What httpx raises for things outside this program; its StreamError family would be a bug of ours."""


class Untrusted(NetworkGaveUp):
    """Nobody whom we trust vouches for the server's certificate; asking again does not help."""


_ASK_AGAIN = "ask again; the server's own log may say why"


def fault(error: Exception, server: str, received: int = 0) -> ModelcarError:
    """Return `error` as one of ours; `received` is how many pieces of the answer had come before it."""
    refusal = _tls_fault(error, server)
    if refusal is not None:
        return refusal
    match error:
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return InvalidInput(f"cannot ask {server}: {_reason(error)}", "check --url and the API key")
        case httpx.ProxyError():
            return NetworkGaveUp(
                f"the proxy on the way to {server} refused: {_reason(error)}",
                "the proxy is the kubeconfig's proxy-url, else HTTPS_PROXY or HTTP_PROXY (NO_PROXY has exceptions)",
            )
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return NetworkGaveUp(f"cannot reach {server}: {_reason(error)}", "is it running, and is the URL right?")
        case _:
            return cut_off(server, received, _reason(error))


def cut_off(server: str, received: int, reason: str) -> ModelcarError:
    """Return the error for an answer that ended before its end, after `received` pieces (about as many tokens)."""
    pieces = "1 piece" if received == 1 else f"{received} pieces"
    what = f"the answer of {server} was cut off after {pieces}" if received else f"{server} gave no answer"
    return NetworkGaveUp(f"{what}: {reason}", _ASK_AGAIN)


def _reason(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "no connection within 10 s"
        case httpx.TimeoutException():
            return "it said nothing for too long"
        case httpx.RemoteProtocolError():
            return f"the connection broke ({one_line(str(error))})"
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError():
            return "the connection broke"
        case _:
            return one_line(str(error)) or type(error).__name__


def _tls_fault(error: Exception, server: str) -> ModelcarError | None:
    """Return the error for TLS that failed, which httpx knows only as a failed connection."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Untrusted(
            f"the certificate of {server} cannot be trusted: {one_line(cause.verify_message)}",
            "name the authority that signed it: --ca-file FILE (or, to trust anybody who answers, --insecure)",
        )
    if cause.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return NetworkGaveUp(f"{server} does not speak TLS there", "does its URL begin with http:// ?")
    return NetworkGaveUp(
        f"TLS with {server} failed: {one_line(cause.reason or str(cause))}", "check the URL and its port"
    )
