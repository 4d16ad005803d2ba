"""Whose name to give to a registry: docker's and podman's files, and their credential helpers.

Formats: docker/cli config file reference, containers-auth.json(5), docker-credential-helpers README.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import LocalFailure, NotAuthorised
from kubectl_modelcar.image import ImageReference
from kubectl_modelcar.process import CannotStart, RanTooLong, run
from kubectl_modelcar.registry.access import DOCKER_HUB

_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HELPER_TIMEOUT = 30.0  # seconds; a helper may have to unlock a keyring
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
_INTERNAL = re.compile(r"image-registry\.openshift-image-registry\.svc(\.cluster\.local)?(:5000)?")
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_IDENTITY_TOKEN_USER = "<token>"  # noqa: S105  docker's marker in the place of a name, no secret


def find_credential(reference: ImageReference, authfile: Path | None = None) -> "puller.Credential | None":
    """Return the user's credential for the repository, or None when no file has one.

    An `authfile` is the only file that is read. In a pod, OpenShift's own registry knows the service account when no
    file has a login for it. Raises LocalFailure for a file that cannot be understood, NotAuthorised for a helper that
    fails.
    """
    for path in credential_files(authfile):
        config = _load(path, required=path == authfile)
        found = _from_helper(config, reference) or _from_auths(config, reference, path)
        if found:
            return found
    return None if authfile else _service_account(reference)


def credential_files(authfile: Path | None = None) -> tuple[Path, ...]:
    """Return the files where credentials may be, in the order in which `oc` looks; they need not be there."""
    return (authfile,) if authfile else tuple(dict.fromkeys(_files()))


def docker_config(reference: ImageReference, credential: "puller.Credential") -> bytes:
    """Return a docker config.json that holds `credential` for that registry and nothing else."""
    key = _DOCKER_HUB_KEY if reference.registry in DOCKER_HUB else reference.registry
    if credential.username == _IDENTITY_TOKEN_USER:
        entry = {"identitytoken": credential.password}
    else:
        entry = {"auth": base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()}
    return json.dumps({"auths": {key: entry}}).encode()


def _service_account(reference: ImageReference) -> "puller.Credential | None":
    """Return what a pod is to the cluster's own registry, which takes its token for a password, with any name."""
    if not _INTERNAL.fullmatch(reference.registry):
        return None
    try:
        token = _SERVICE_ACCOUNT.read_text().strip()
    except (OSError, ValueError):
        return None  # no pod, or one without a token
    return puller.Credential("serviceaccount", token) if token else None


def _files() -> Iterator[Path]:
    environment, home = os.environ, Path.home()
    if environment.get("REGISTRY_AUTH_FILE"):
        yield Path(environment["REGISTRY_AUTH_FILE"])
    yield Path(environment.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}", "containers/auth.json")
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json")
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker", "config.json")
    yield home / ".dockercfg"


def _load(path: Path, *, required: bool) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if required or isinstance(error, PermissionError):
            raise LocalFailure(f"cannot read credentials from {path}: {error.strerror}", "check --authfile") from error
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise LocalFailure(f"credentials file {path} is not JSON", "log in again to have it written anew") from error
    if not isinstance(config, dict):
        raise LocalFailure(f"credentials file {path} is not a JSON object", "log in again to have it written anew")
    # The legacy .dockercfg is the map of registries itself.
    return config if path.name != ".dockercfg" or "auths" in config else {"auths": config}


def _keys(reference: ImageReference) -> Iterator[str]:
    """Yield the keys that speak for the repository, the most specific first (containers-auth.json(5))."""
    name = reference.name
    while name:
        yield name
        name = name.rpartition("/")[0]
    hosts = DOCKER_HUB if reference.registry in DOCKER_HUB else (reference.registry,)
    for host in hosts:
        yield from (host, f"https://{host}", f"http://{host}", f"https://{host}/v1/", f"https://{host}/v2/")


def _from_auths(config: Mapping[str, Any], reference: ImageReference, path: Path) -> "puller.Credential | None":
    auths = config.get("auths")
    if not isinstance(auths, dict):
        return None
    for key in _keys(reference):
        entry = auths.get(key)
        if isinstance(entry, dict) and entry:
            return _from_entry(entry, key, path)
    return None


def _from_entry(entry: Mapping[str, Any], key: str, path: Path) -> "puller.Credential | None":
    try:
        if token := entry.get("identitytoken"):
            return _credential(_IDENTITY_TOKEN_USER, token)
        if entry.get("username") and entry.get("password"):
            return _credential(entry["username"], entry["password"])
        if not entry.get("auth"):
            return None  # docker leaves an empty entry where a helper holds the secret
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        if colon:
            return _credential(user, password.strip("\0"))  # as docker does: old versions padded it
    except (binascii.Error, ValueError, TypeError):
        pass  # neither the entry nor the error is shown: both hold the secret
    raise LocalFailure(f"credentials file {path} has an unreadable entry for {key}", "log in to that registry again")


def _credential(user: object, secret: object) -> "puller.Credential":
    """Return a login. Raises ValueError for text that no header can carry: JSON may hold half a character."""
    for text in (str(user), str(secret)):
        text.encode()
    return puller.Credential(str(user), str(secret))


def _from_helper(config: Mapping[str, Any], reference: ImageReference) -> "puller.Credential | None":
    """Ask the helper of the registry.

    Helpers are by registry, never by namespace, and win over `auths`: so says findCredentialsInFile
    in containers/image, pkg/docker/config/config.go.
    """
    is_hub = reference.registry in DOCKER_HUB
    helpers = config.get("credHelpers")
    helpers = helpers if isinstance(helpers, dict) else {}
    keys = (_DOCKER_HUB_KEY, *DOCKER_HUB) if is_hub else (reference.registry,)
    helper = next((helpers[key] for key in keys if key in helpers), None) or config.get("credsStore")
    if not helper:
        return None
    if not isinstance(helper, str) or not _HELPER_NAME.fullmatch(helper):
        raise LocalFailure(f"credential helper {helper!r} is no name of a program", "correct the docker config file")
    server = _DOCKER_HUB_KEY if is_hub else reference.registry
    return _ask(f"docker-credential-{helper}", server)


def _ask(program: str, server: str) -> "puller.Credential | None":
    try:
        answer = run([program, "get"], stdin=server, timeout=_HELPER_TIMEOUT)
    except (CannotStart, RanTooLong) as error:
        raise NotAuthorised(
            f"cannot get credentials for {server}: {error.message}", "log in again, or use --authfile FILE"
        ) from error
    if not answer.succeeded:
        if "not found" in answer.stdout + answer.stderr:
            return None  # the protocol's way to say that it knows nobody there
        raise NotAuthorised(
            f"cannot get credentials for {server}: {program} failed", f"run: echo {server} | {program} get"
        )
    try:
        found = json.loads(answer.stdout)
        return _credential(found["Username"], found["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotAuthorised(
            f"cannot get credentials for {server}: {program} gave no JSON with Username and Secret",
            f"run: echo {server} | {program} get",
        ) from error
