"""Connections to a registry: what requests does by itself and must not, or does not and must."""

import errno
import http.client
import io
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast

import requests
import requests.adapters
import urllib3
import urllib3.connection
from urllib3.exceptions import InsecureRequestWarning
from urllib3.util.wait import wait_for_read

from kubectl_modelcar import __version__

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SLOWEST = 1024  # bytes a second of an answer; below that it counts as stalled
_POOL = 64  # connections kept; more jobs than that would only wait for the network


class Session(requests.Session):
    """A session whose credentials are the caller's alone and whose TLS trusts what `context` trusts.

    `idle` is how many seconds a registry may take no byte of a body: urllib3 gives a new connection the much shorter
    time that it had for connecting, and storage behind a registry pauses for longer. It is also how many seconds an
    answer may trickle in before it is given up.
    """

    def __init__(self, context: ssl.SSLContext, *, verify: bool, idle: float) -> None:
        super().__init__()
        if not verify:
            # The user said so; a Python warning for each connection tells nobody anything.
            urllib3.disable_warnings(InsecureRequestWarning)
        self._connected = Connected()
        # As oras does: Harbor takes who sends a cookie back for a browser, and then wants its CSRF tokens too.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A callable here keeps requests from replacing our header by what ~/.netrc says.
        self.auth = lambda request: request
        # Manifests are digested as they come: nobody on the way may pack them.
        self.headers.update({"User-Agent": f"kubectl-modelcar/{__version__}", "Accept-Encoding": "identity"})
        self.mount("https://", _Adapter(idle, self._connected, verify=verify, ssl_context=context))
        self.mount("http://", _Adapter(idle, self._connected, verify=verify))

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Follow none: the caller does, by its own rules. This would be tried even so, and fail for a bad address."""
        return iter(())

    def abort(self) -> None:
        """Wake every thread that sends or waits for an answer; their requests fail, and those that come later."""
        self._connected.end()


class Connected:
    """The sockets that are open, so that all can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets = weakref.WeakSet[socket.socket]()
        self._ended = False

    def add(self, connected: socket.socket) -> None:
        """Remember a socket; one that comes too late is ended."""
        with self._lock:
            self._sockets.add(connected)
            ended = self._ended
        if ended:
            _end(connected)

    def end(self) -> None:
        """End them all, now and in future."""
        with self._lock:
            self._ended, sockets = True, list(self._sockets)
        for connected in sockets:
            _end(connected)


def _end(connected: socket.socket) -> None:
    with suppress(OSError):  # it ended meanwhile
        connected.shutdown(socket.SHUT_RDWR)


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections that trust the context and neither certifi nor what requests finds in the environment."""

    def __init__(self, idle: float, connected: Connected, *, verify: bool, **pool_options: object) -> None:
        self._classes = _pool_classes(idle, connected)
        self._verify, self._pool_options = verify, pool_options
        super().__init__(pool_maxsize=_POOL)

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        return super().send(*args, **{**kwargs, "verify": self._verify})

    def cert_verify(self, conn: urllib3.HTTPSConnectionPool, *_: object, **__: object) -> None:
        conn.cert_reqs = "CERT_REQUIRED" if self._verify else "CERT_NONE"

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, **self._pool_options})
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> urllib3.ProxyManager:
        manager = cast("urllib3.ProxyManager", super().proxy_manager_for(*args, **{**kwargs, **self._pool_options}))
        manager.pool_classes_by_scheme = self._classes
        return manager


class _Paced(io.RawIOBase):
    """The bytes of an answer, which once it has begun may neither pause nor trickle for more than `idle` seconds."""

    def __init__(self, raw: io.RawIOBase, connected: socket.socket, idle: float) -> None:
        super().__init__()
        self._raw, self._socket, self._idle = raw, connected, idle
        self._began, self._count = 0.0, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        count = self._raw.readinto(buffer)
        now = time.monotonic()
        if not self._began:
            self._began = now
            with suppress(OSError):  # it is closed: what came was all
                self._socket.settimeout(self._idle)
        self._count += count or 0
        took = now - self._began
        if took >= self._idle and self._count < SLOWEST * took:
            raise TimeoutError(f"the answer came at less than {SLOWEST} bytes a second")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _pool_classes(idle: float, connected: Connected) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
            super().__init__(sock, *args, **kwargs)
            self.fp = io.BufferedReader(_Paced(self.fp.detach(), sock, idle))

    class LastAnswer(Answer):
        """One that came before the whole request was sent: on this connection the rest would be the next request."""

        def begin(self) -> None:
            super().begin()
            self.will_close = True

    class Plain(urllib3.connection.HTTPConnection):
        response_class = Answer
        _deaf = _deaf_at_first = False

        def send(self, data: bytes) -> None:  # type: ignore[override]  # urllib3 sends nothing else
            # A registry that has answered already wants no more of the body; urllib3 takes a broken pipe for just that.
            if self.sock is not None and not self._deaf and wait_for_read(self.sock, 0):
                self.response_class = LastAnswer
                raise BrokenPipeError(errno.EPIPE, "answered before the end of the request")
            super().send(data)

        def connect(self) -> None:
            super().connect()
            self._deaf = self._deaf_at_first
            self.sock.settimeout(idle)
            connected.add(self.sock)

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:  # a connection that was kept gets the time for connecting, too
                self.timeout = idle
            super().request(*args, **kwargs)

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as urllib3 has it
            answer = super().getresponse()
            self._deaf, self.response_class = False, Answer
            return answer

    class Secure(Plain, urllib3.connection.HTTPSConnection):
        _deaf_at_first = True  # what comes before the first answer may be TLS 1.3's tickets

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
