"""Helm's own Go code as a library: the optional extra `embedded-helm` (PyPI helm-python-sdk)."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import helm_python

from kubectl_modelcar.cluster.helm_errors import bad_assignment, bad_values_file, helm_error
from kubectl_modelcar.cluster.release import Release, ReleaseRequest
from kubectl_modelcar.errors import ClusterFailure, LocalFailure
from kubectl_modelcar.text import one_line

__all__ = ["EmbeddedHelm"]

_TIMEOUT = 300
"""Seconds, as for the program."""
_HISTORY = 10
_MARK = "\ue000"
"""Begins what stands for an element of a list; of Unicode's private use, so that no value begins with it."""
_SPECIAL = re.compile(r"[\\.,=\[\]{}]")
"""What `--set` reads as more than a letter of a key (helm's pkg/strvals)."""
_NOWHERE: Mapping[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "nowhere",
    "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
    "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "nobody", "user": {}}],
}
"""For rendering, which must not reach any cluster."""


class EmbeddedHelm:
    """Fits `kubectl_modelcar.cluster.release.Helm`."""

    def __init__(self, kubeconfig: Mapping[str, Any] | None) -> None:
        self._kubeconfig = kubeconfig

    def upgrade(self, request: ReleaseRequest) -> Release:
        """Install or upgrade the release."""
        return Release.from_mapping(self._apply(request, dry_run=None))

    def dry_run(self, request: ReleaseRequest) -> str:
        """Return the manifests after the API server has looked at them."""
        return str(self._apply(request, dry_run="server").get("manifest") or "")

    def render(self, request: ReleaseRequest) -> str:
        """Return the manifests without a cluster."""
        with (
            _helm_errors("render", request.name, request.namespace),
            helm_python.Config(
                kubeconfig_content=json.dumps(_NOWHERE), namespace=request.namespace, storage_driver="memory"
            ) as helm,
        ):
            release = helm.install(
                request.chart, request.name, _values(request), namespace=request.namespace, dry_run="client"
            )
        return str(release["manifest"])

    def uninstall(self, name: str, namespace: str) -> bool:
        """Remove a release; tell whether there was one."""
        with _helm_errors("uninstall", name, namespace), self._connected(namespace) as helm:
            try:
                helm.uninstall(name, timeout=_TIMEOUT)
            except helm_python.HelmNotFoundError:
                return False
        return True

    def _apply(self, request: ReleaseRequest, *, dry_run: str | None) -> Mapping[str, Any]:
        values = _values(request)
        with (
            _helm_errors("install", request.name, request.namespace),
            self._connected(request.namespace) as helm,
        ):
            try:
                helm.history(request.name, max_revisions=1)
            except helm_python.HelmNotFoundError:
                return helm.install(
                    request.chart,
                    request.name,
                    values,
                    namespace=request.namespace,
                    timeout=_TIMEOUT,
                    dry_run=dry_run,
                )
            return helm.upgrade(
                request.chart,
                request.name,
                values,
                namespace=request.namespace,
                timeout=_TIMEOUT,
                dry_run=dry_run,
                max_history=_HISTORY,
                reset_values=True,
            )

    @contextmanager
    def _connected(self, namespace: str) -> Iterator["helm_python.Config"]:
        content = None if self._kubeconfig is None else json.dumps(self._kubeconfig)
        with helm_python.Config(
            kubeconfig_content=content, namespace=namespace, storage_driver=os.environ.get("HELM_DRIVER")
        ) as helm:
            yield helm


def _values(request: ReleaseRequest) -> dict[str, Any]:
    """Return our values with the user's over them, merged as helm merges `-f` and `--set`."""
    merged = dict(request.values)
    for file in request.overrides.files:
        try:
            merged = _merge(merged, helm_python.values_from_yaml(file.read_text("utf-8")))
        except OSError as error:
            raise LocalFailure(f"cannot read the values file {file}: {error.strerror}", "check -f") from error
        except (ValueError, helm_python.HelmError) as error:  # ValueError: it is not UTF-8
            raise bad_values_file(str(file), str(error)) from error
    for assignment in request.overrides.sets:
        try:
            merged = _assigned(merged, assignment)
        except helm_python.HelmError as error:
            raise bad_assignment(assignment, str(error)) from error
    return merged


def _assigned(values: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """Return values after one `--set`, which may change one element of a list that is there: `tolerations[1].key=x`.

    helm parses it into the values; the library only parses it alone. So it is first told, in the same language, which
    elements there are: each is a mark that stands for the value at that place.
    """
    kept: list[object] = []
    parsed = helm_python.parse_set_string(",".join((*_elements(values, "", kept), assignment)))
    return _merge(values, {key: _restored(value, kept) for key, value in parsed.items()})


def _elements(value: object, path: str, kept: list[object], *, listed: bool = False) -> Iterator[str]:
    """Yield an assignment for each leaf below a list; `kept` gets the leaves."""
    if value and isinstance(value, dict):
        for key, inner in value.items():
            step = _SPECIAL.sub(r"\\\g<0>", key)
            yield from _elements(inner, f"{path}.{step}" if path else step, kept, listed=listed)
    elif value and isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _elements(inner, f"{path}[{place}]", kept, listed=True)
    elif listed:
        kept.append(value)
        yield f"{path}={_MARK}{len(kept) - 1}"


def _restored(parsed: object, kept: Sequence[object]) -> object:
    if isinstance(parsed, dict):
        return {key: _restored(value, kept) for key, value in parsed.items()}
    if isinstance(parsed, list):
        return [_restored(value, kept) for value in parsed]
    if isinstance(parsed, str) and parsed.startswith(_MARK):
        return kept[int(parsed.removeprefix(_MARK))]
    return parsed


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


@contextmanager
def _helm_errors(doing: str, name: str, namespace: str) -> Iterator[None]:
    try:
        yield
    except helm_python.HelmLibraryError as error:
        raise ClusterFailure(
            f"the helm library cannot be loaded: {one_line(str(error))}", "install helm itself"
        ) from error
    except helm_python.HelmError as error:
        raise helm_error(str(error), doing=doing, name=name, namespace=namespace) from error
