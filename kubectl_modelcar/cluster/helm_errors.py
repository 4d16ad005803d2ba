"""What helm could not do, in our words. Pure; the texts are those of helm 3.18-4.2 and of the API server behind it."""

import re

from kubectl_modelcar.cluster.refusals import rbac_denial
from kubectl_modelcar.errors import ClusterFailure, InvalidInput, ModelcarError, NetworkGaveUp
from kubectl_modelcar.text import one_line

__all__ = ["bad_assignment", "bad_values_file", "helm_error", "says_not_found"]

_DEBUG_ADVICE = "Use --debug flag to render out invalid YAML"
_CHART_REFUSAL = re.compile(r"execution error at \([^)]*\): (?P<text>.*)", re.DOTALL)
_BAD_FILE = re.compile(r"^failed to parse (?P<file>.+?): (?P<why>.*)", re.DOTALL)
_BAD_ASSIGNMENT = re.compile(r"^failed parsing --set data: (?P<why>.*)", re.DOTALL)
_OUR_WORDS: tuple[tuple[str, type[ModelcarError], str], ...] = (
    (
        "another operation (install/upgrade/rollback) is in progress",
        ClusterFailure,
        "wait if another helm is at work; if one was killed: helm rollback {name} -n {ns} (the claim stays)",
    ),
    (
        "has no deployed releases",
        ClusterFailure,
        "the first install failed: kubectl modelcar uninstall {name} -n {ns} (the claim stays), then install again",
    ),
    (
        "cannot be imported into the current release",
        ClusterFailure,
        "something else in namespace {ns} has that name already; choose another NAME",
    ),
    (
        "values don't meet the specifications of the schema",
        InvalidInput,
        "correct what -f and --set say; the chart's values.yaml has every key",
    ),
    ("field can not be less than", InvalidInput, "a claim cannot shrink; leave --storage-size out"),
    (
        "only dynamically provisioned pvc can be resized",
        ClusterFailure,
        "kubectl modelcar uninstall {name} -n {ns} --delete-storage, then install again",
    ),
    ("cluster unreachable", NetworkGaveUp, "is it up? check VPN and proxy too"),
    ("exceeded quota", ClusterFailure, "free some of the quota of namespace {ns}, or ask for less"),
)


def helm_error(stderr: str, *, doing: str, name: str, namespace: str) -> ModelcarError:
    """Return the error for what helm wrote; `doing` is what we wanted: `install`."""
    text = _said(stderr)
    place = {"name": name, "ns": namespace}
    if denial := rbac_denial(text, f"{doing} {name}", namespace):
        return denial
    if bad := _BAD_FILE.match(text):
        return bad_values_file(bad["file"], bad["why"])
    if bad := _BAD_ASSIGNMENT.match(text):
        return bad_assignment("", bad["why"])
    if refused := _CHART_REFUSAL.search(text):
        return InvalidInput(f"the chart cannot {doing} that: {one_line(refused['text'])}")
    for words, error, hint in _OUR_WORDS:
        if words in text:
            return error(f"cannot {doing} {name}: helm says: {one_line(text)}", hint.format(**place))
    return ClusterFailure(
        f"cannot {doing} {name} in namespace {namespace}: helm says: {one_line(text)}",
        f"look at the release: helm status {name} -n {namespace}",
    )


def bad_values_file(file: str, why: str) -> InvalidInput:
    """Return the error for a `-f` file whose content helm does not take."""
    return InvalidInput(
        f"the values file {file} cannot be understood: {one_line(why)}", "correct it; it has to be YAML"
    )


def bad_assignment(assignment: str, why: str) -> InvalidInput:
    """Return the error for a `--set` that helm does not take; the program does not say which one it was."""
    what = f"--set {assignment}" if assignment else "a --set"
    return InvalidInput(f"{what} cannot be understood: {one_line(why)}", "write it like server.port=9000")


def says_not_found(stderr: str) -> bool:
    """Tell whether helm says that there is no such release."""
    return _said(stderr).endswith("release: not found")


def _said(stderr: str) -> str:
    """Return helm's last error with the lines that belong to it; all of it where no line says `Error:`."""
    _, found, text = f"\n{stderr.strip()}".rpartition("\nError: ")
    return (text if found else stderr).replace(_DEBUG_ADVICE, "").strip() or "nothing"
