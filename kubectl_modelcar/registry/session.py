"""Connections to a registry: what requests does by itself and must not, or does not and must."""

import socket
import ssl
import weakref
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

import requests
import requests.adapters
import urllib3
import urllib3.connection
from urllib3.exceptions import InsecureRequestWarning

_POOL = 64  # connections kept; more jobs than that would only wait for the network


class Session(requests.Session):
    """A session whose credentials are the caller's alone and whose TLS trusts what `context` trusts.

    `idle` is how many seconds a registry may take no byte of a body: urllib3 gives a new connection the much shorter
    time that it had for connecting, and storage behind a registry pauses for longer.
    """

    def __init__(self, context: ssl.SSLContext, *, verify: bool, idle: float) -> None:
        super().__init__()
        if not verify:
            # The user said so; a Python warning for each connection tells nobody anything.
            urllib3.disable_warnings(InsecureRequestWarning)
        self._sockets = weakref.WeakSet[socket.socket]()
        # As oras does: Harbor takes who sends a cookie back for a browser, and then wants its CSRF tokens too.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # A callable here keeps requests from replacing our header by what ~/.netrc says.
        self.auth = lambda request: request
        self.mount("https://", _Adapter(idle, self._sockets, verify=verify, ssl_context=context))
        self.mount("http://", _Adapter(idle, self._sockets, verify=verify))

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Drop our header on the way to another origin, and put none of ~/.netrc in its place."""
        came_from, url = (urlsplit(request.url or "") for request in (response.request, prepared_request))
        if (came_from.scheme, came_from.netloc) != (url.scheme, url.netloc):
            prepared_request.headers.pop("Authorization", None)

    def abort(self) -> None:
        """Wake every thread that sends or waits for an answer; their requests fail."""
        for connected in list(self._sockets):
            with suppress(OSError):  # it ended meanwhile
                connected.shutdown(socket.SHUT_RDWR)


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections that trust the context and neither certifi nor what requests finds in the environment."""

    def __init__(
        self, idle: float, sockets: "weakref.WeakSet[socket.socket]", *, verify: bool, **pool_options: object
    ) -> None:
        self._classes = _pool_classes(idle, sockets)
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


def _pool_classes(
    idle: float, sockets: "weakref.WeakSet[socket.socket]"
) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class Plain(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(idle)
            sockets.add(self.sock)

        def request(self, *args: Any, **kwargs: Any) -> None:
            if self.sock is not None:  # a connection that was kept gets the time for connecting, too
                self.timeout = idle
            super().request(*args, **kwargs)

    class Secure(Plain, urllib3.connection.HTTPSConnection):
        pass

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
