"""The API server: the only module that imports `kubernetes`, and the one that says in our words what it refused.

Objects stay JSON: the client's models cost a second to build for a list, and lose fields that they do not know.
"""

import json
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config_from_dict

from kubectl_modelcar.cluster.kubeconfig import CONTEXT, Login
from kubectl_modelcar.cluster.objects import PODS, Json, Kind
from kubectl_modelcar.cluster.refusals import refusal
from kubectl_modelcar.errors import ClusterFailure, LocalFailure, NetworkGaveUp, NotAuthorised
from kubectl_modelcar.text import one_line

__all__ = ["Api", "connect_api"]

_CONNECT_TIMEOUT = 10.0
_READ_TIMEOUT = 30.0
"""Seconds for one request where --request-timeout says nothing."""
_MISSING = 404


def connect_api(login: Login, request_timeout: float | None) -> "Api":
    """Make the client for a login; nothing is sent yet, but an exec plugin of the kubeconfig runs.

    `request_timeout` is in seconds, None is our own limit, 0 none. Raises NotAuthorised and ClusterFailure.
    """
    if login.proxy and not login.proxy.startswith(("http://", "https://")):
        raise ClusterFailure(
            f"the kubeconfig's proxy-url {login.proxy.partition(':')[0]}:... is no proxy that speaks HTTP",
            "name one that begins with http:// or https://",
        )
    configuration = Configuration()
    configuration.retries = False  # urllib3 takes False too: its errors then come as they are, and at once
    with _reported_credentials():
        if login.kubeconfig is None:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                login.kubeconfig, CONTEXT, client_configuration=configuration
            )
    return Api(configuration, login, request_timeout)


class Api:
    """Objects of one namespace, over HTTP. Fits `kubectl_modelcar.cluster.objects.Objects`."""

    def __init__(self, configuration: Configuration, login: Login, request_timeout: float | None) -> None:
        self._configuration = configuration
        self._impersonation = login.impersonation
        self._timeout = (_CONNECT_TIMEOUT, _READ_TIMEOUT) if request_timeout is None else request_timeout or None
        self._rest = ApiClient(configuration).rest_client
        self._proxy = login.proxy
        self.namespace = login.namespace

    @property
    def server(self) -> str:
        """URL of the API server."""
        return str(self._configuration.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """URL of the kubeconfig's proxy; None is what the environment says."""
        return self._proxy

    def get(self, kind: Kind, name: str) -> Json | None:
        """Return an object, or None where there is none of that name."""
        return self._optional("GET", self._path(kind, name), f"read {kind.plural} {name}")

    def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None
    ) -> Sequence[Json]:
        """Return the objects that have all these labels and field values (at most 500)."""
        query = {"limit": "500"}
        for parameter, selector in (("labelSelector", labels), ("fieldSelector", fields)):
            if selector:
                query[parameter] = ",".join(f"{key}={value}" for key, value in selector.items())
        found = self._json("GET", f"{self._path(kind)}?{urlencode(query)}", f"list {kind.plural}")
        return list(found.get("items") or ())

    def create(self, kind: Kind, body: Json) -> Json:
        """Make an object."""
        return self._json("POST", self._path(kind), f"make {kind.plural} {body['metadata']['name']}", body)

    def merge(self, kind: Kind, name: str, body: Json) -> Json:
        """Change the fields of an object that `body` has (RFC 7396)."""
        return self._json("PATCH", self._path(kind, name), f"change {kind.plural} {name}", body)

    def delete(self, kind: Kind, name: str) -> bool:
        """Delete an object; tell whether there was one."""
        return self._optional("DELETE", self._path(kind, name), f"delete {kind.plural} {name}") is not None

    def log(self, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """Return the last lines of a container's log; empty where it has none (yet)."""
        query = {"container": container, "tailLines": str(lines), **({"previous": "true"} if previous else {})}
        status, body = self._send("GET", f"{self._path(PODS, pod)}/log?{urlencode(query)}")
        # 400: the container has not started; a log is never worth an error of its own
        return body.decode(errors="replace") if status < 300 else ""  # noqa: PLR2004  success ends at 299

    def offers(self, api: str) -> bool:
        """Tell whether the cluster has the API group and version, such as `route.openshift.io/v1`."""
        prefix = Kind(api, "").prefix
        return self._optional("GET", prefix, f"look for {api}") is not None

    def namespace_phase(self) -> str | None:
        """Return `Active` or `Terminating`, None where it does not exist, `Active` where we may not see it."""
        path = f"/api/v1/namespaces/{quote(self.namespace, safe='')}"
        try:
            found = self._optional("GET", path, f"read namespace {self.namespace}")
        except NotAuthorised:
            if self._send("GET", path)[0] == 401:  # noqa: PLR2004  unlike 403, nothing else will work either
                raise
            return "Active"
        return None if found is None else str((found.get("status") or {}).get("phase") or "Active")

    def create_namespace(self) -> None:
        """Make the namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self._json("POST", "/api/v1/namespaces", f"make namespace {self.namespace}", body)

    def headers(self) -> dict[str, str]:
        """Return who we are, as headers for another HTTP client.

        Raises ClusterFailure for more than one impersonated group, which one mapping cannot carry.
        """
        headers = dict(self._headers())
        if len(self._impersonation.get("as-groups", ())) > 1:
            raise ClusterFailure(
                "a chat through the API server cannot carry more than one --as-group", "use one, or make a Route"
            )
        return headers

    def ssl_context(self, *, public: bool = False) -> ssl.SSLContext:
        """Return whom the kubeconfig trusts, with our client certificate.

        With `public`, for the cluster's Routes: whom this system trusts as well, and without our certificate. (On
        OpenShift the kubeconfig's authorities are often the only ones that know the router's.) Raises LocalFailure.
        """
        configuration = self._configuration
        try:
            if public:
                context = ssl.create_default_context()
                if configuration.ssl_ca_cert:
                    context.load_verify_locations(cafile=configuration.ssl_ca_cert)
                return context
            if not self.server.startswith("https:"):
                return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; loading authorities takes 0.1 s
            context = _NamedContext.create(configuration.ssl_ca_cert, configuration.tls_server_name)
            if configuration.cert_file:
                context.load_cert_chain(configuration.cert_file, configuration.key_file)
        except OSError as error:
            raise LocalFailure("cannot read the certificates that the kubeconfig names", "log in again") from error
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _path(self, kind: Kind, name: str | None = None) -> str:
        path = f"{kind.prefix}/namespaces/{quote(self.namespace, safe='')}/{kind.plural}"
        return path if name is None else f"{path}/{quote(name, safe='')}"

    def _json(self, method: str, path: str, doing: str, body: Json | None = None) -> Json:
        status, answer = self._send(method, path, body)
        if status >= 300:  # noqa: PLR2004  success ends at 299
            raise refusal(status, answer, doing=doing, server=self.server, namespace=self.namespace)
        return _parse(answer, self.server)

    def _optional(self, method: str, path: str, doing: str) -> Json | None:
        status, answer = self._send(method, path)
        if status == _MISSING:
            return None
        if status >= 300:  # noqa: PLR2004  success ends at 299
            raise refusal(status, answer, doing=doing, server=self.server, namespace=self.namespace)
        return _parse(answer, self.server)

    def _send(self, method: str, path: str, body: Json | None = None) -> tuple[int, bytes]:
        headers = urllib3.HTTPHeaderDict(self._headers())
        headers["Accept"] = "application/json, */*;q=0.1"
        for group in self._impersonation.get("as-groups", ())[1:]:
            headers.add("Impersonate-Group", group)
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        with _network_errors(self.server):
            response = self._rest.request(  # type: ignore[no-untyped-call]
                method, self.server + path, headers=headers, body=body, _request_timeout=self._timeout
            )
            return response.status, response.read()

    def _headers(self) -> Iterator[tuple[str, str]]:
        # The client's own way to the token refreshes one that an exec plugin gave and that is about to expire.
        token = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            yield "Authorization", token
        for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
            if key in self._impersonation:
                yield header, str(self._impersonation[key])
        for group in self._impersonation.get("as-groups", ())[:1]:
            yield "Impersonate-Group", str(group)


class _NamedContext(ssl.SSLContext):
    """A context that checks the server's certificate against another name (kubectl's --tls-server-name)."""

    server_name: str | None = None

    @classmethod
    def create(cls, ca_file: str | None, server_name: str | None) -> "_NamedContext":
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.server_name = server_name
        if ca_file:
            context.load_verify_locations(cafile=ca_file)
        else:
            context.load_default_certs()
        return context

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        if self.server_name:
            kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(sock, *args, **kwargs)


def _parse(answer: bytes, server: str) -> Json:
    try:
        parsed = json.loads(answer)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise NetworkGaveUp(
            f"what answers at {server} is no Kubernetes API server", "check the server's URL, and proxies on the way"
        )
    return parsed


@contextmanager
def _network_errors(server: str) -> Iterator[None]:
    try:
        yield
    except urllib3.exceptions.SSLError as error:
        raise _untrusted(server, str(error)) from error
    except ApiException as error:  # the client's own name for a TLS failure: status 0
        raise _untrusted(server, str(error.reason)) from error
    except urllib3.exceptions.NewConnectionError as error:  # is a TimeoutError too
        raise _unreachable(server, error) from error
    except urllib3.exceptions.TimeoutError as error:
        raise NetworkGaveUp(f"the cluster at {server} does not answer in time", "check VPN and proxy") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _unreachable(server, error) from error


def _unreachable(server: str, error: Exception) -> NetworkGaveUp:
    reason = one_line(str(error.args[-1] if error.args else error)).rpartition(": ")[2]
    reason = reason.partition("] ")[2] or reason  # without "[Errno 111]"
    return NetworkGaveUp(f"cannot reach the cluster at {server}: {reason}", "is it up? check VPN and proxy too")


def _untrusted(server: str, reason: str) -> NetworkGaveUp:
    _, _, cause = one_line(reason).partition("certificate verify failed: ")
    return NetworkGaveUp(
        f"cannot trust the cluster at {server}: {cause.partition(' (_ssl')[0] or one_line(reason)}",
        "give its authority by --certificate-authority FILE, or log in again",
    )


@contextmanager
def _reported_credentials() -> Iterator[None]:
    """Turn what the client finds wrong with a login into our errors.

    It logs the failure of an exec plugin and goes on as nobody, so its log is listened to.
    """
    heard = _Listener()
    root = logging.getLogger()
    root.addHandler(heard)
    try:
        yield
    except ConfigException as error:
        raise ClusterFailure(f"cannot use the kubeconfig: {one_line(str(error))}", "log in again") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # What its loader raises for values of the wrong type.
        raise ClusterFailure("cannot use the kubeconfig: it is damaged", "log in again to have it written") from error
    finally:
        root.removeHandler(heard)
    if heard.texts:
        raise NotAuthorised(
            f"the kubeconfig's login program failed: {one_line(heard.texts[-1])}", "log in again, or run it by hand"
        )


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
