"""Registries that lie, send us in circles or talk nonsense: the push ends soon, with a code of its own, or is whole."""

import json
import time
from dataclasses import replace

import pytest

from tests.fakes.registry import FakeRegistry, Fault
from tests.faults.program import model

ENDLESS = "9" * 400
NOWHERE = "/v2/org/m/blobs/uploads/nowhere"
UPLOADS, MANIFESTS, BLOBS = "/blobs/uploads/", "/manifests/", "/blobs/sha256:"
OPTIONS = ("--plain-http", "--progress", "none")
AT_MOST = 60.0  # seconds

RANGES = (
    "0-99999999999",
    "0--5",
    "-5-10",
    f"0-{ENDLESS}",
    "abc",
    "5-10",
    "bytes=0-10",
    "0-",
    "0-0",
    "0-1",
    "0-299",
    "\xff",
)
LOCATIONS = (
    "x", "//", "?", "/", "/v2/x y", "http://", "https://127.0.0.1:1/x", "http://[::1]:1/x", "http://127.0.0.1:99999/x",
    "file:///etc/passwd", "javascript:alert(1)", "\x01", "/" + 100_000 * "x", NOWHERE,
)  # fmt: skip
LEASTS = ("1000000000000", "-5", "abc", ENDLESS, "0", "1.5")
WAITS = (
    "1000000000",
    "-1",
    "abc",
    ENDLESS,
    "0",
    "1e9",
    "NaN",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "31 Dec 99999 23:59:59",
)
BODIES = (b"", b"{}", b"[]", b"null", b"[" * 100_000, b'{"a":' * 50_000, b"\xff" * 100, b"9" * 10_000, b"<html>")
STATUSES = (
    101,
    200,
    201,
    202,
    204,
    206,
    299,
    300,
    304,
    305,
    400,
    402,
    406,
    410,
    411,
    416,
    421,
    431,
    451,
    501,
    505,
    511,
    599,
    999,
)
HEADERS = (
    {"Docker-Content-Digest": "sha256:" + "0" * 64},
    {"Docker-Content-Digest": "x"},
    {"Docker-Content-Digest": ""},
    {"Content-Type": "text/html"},
    {"Content-Type": "x" * 5000},
    {"Content-Encoding": "gzip"},
    {"Content-Range": "bytes 5-10/20"},
    {"Content-Length": "0"},
    {"Content-Length": "1"},
    {"Content-Length": "999999"},
    {"Content-Length": "9" * 30},
)


def lies(what, *values, of):
    """Return parameters of a table: faults by what they are."""
    return [pytest.param(of(value), id=f"{what} {str(value)[:24]!r}") for value in values]


TO_A_PUSH = [
    *lies("range of a PATCH", *RANGES, of=lambda said: [Fault("PATCH", times=-1, headers={"Range": said})]),
    *lies("range of one PATCH", *RANGES, of=lambda said: [Fault("PATCH", headers={"Range": said})]),
    *lies("range of a 416", *RANGES, of=lambda said: [Fault("PATCH", times=-1, status=416, headers={"Range": said})]),
    *lies("range of one 416", *RANGES, of=lambda said: [Fault("PATCH", status=416, headers={"Range": said})]),
    *lies(
        "range of a session",
        *RANGES,
        of=lambda said: [
            Fault("PATCH", times=2, cut_request_after=100_000),
            Fault("GET", UPLOADS, times=-1, headers={"Range": said}),
        ],
    ),
    *lies("location of a POST", "", *LOCATIONS, of=lambda said: [Fault("POST", times=-1, headers={"Location": said})]),
    *lies("location of a PATCH", *LOCATIONS, of=lambda said: [Fault("PATCH", times=-1, headers={"Location": said})]),
    *lies(
        "in circles",
        *(
            (method, status)
            for method in ("POST", "PATCH", "PUT", "HEAD", "GET", "DELETE")
            for status in (301, 303, 307)
        ),
        of=lambda told: [Fault(told[0], "blobs|manifests", times=-1, status=told[1], headers={"Location": NOWHERE})],
    ),
    *lies("to nowhere", "POST", "PATCH", "PUT", "HEAD", of=lambda method: [Fault(method, times=-1, status=307)]),
    *lies("least", *LEASTS, of=lambda said: [Fault("POST", times=-1, headers={"OCI-Chunk-Min-Length": said})]),
    *lies("wait once", *WAITS, of=lambda said: [Fault("POST", after=1, status=503, headers={"Retry-After": said})]),
    *lies("wait", *WAITS, of=lambda said: [Fault("POST", times=-1, status=429, headers={"Retry-After": said})]),
    *lies("tags", *BODIES, b'{"tags": null}', of=lambda body: [Fault("GET", "/tags/", status=200, body=body)]),
    *lies("done and not", *STATUSES, of=lambda status: [Fault("PUT", UPLOADS, times=-1, status=status)]),
    *lies("published and not", *STATUSES, of=lambda status: [Fault("PUT", MANIFESTS, times=-1, status=status)]),
    *lies("taken and not", *STATUSES, of=lambda status: [Fault("PATCH", UPLOADS, times=-1, status=status)]),
    *lies("there and not", -1, 1, of=lambda times: [Fault("HEAD", BLOBS, times=times, status=200)]),
]
TO_ALL = [
    *lies("status", *STATUSES, of=lambda status: [Fault(path="/v2/", times=-1, status=status)]),
    *lies("manifest", *BODIES, of=lambda body: [Fault("GET", MANIFESTS, times=-1, status=200, body=body)]),
    *lies("blob", *BODIES, of=lambda body: [Fault("GET", BLOBS, times=-1, status=200, body=body)]),
    *lies("header of GET", *HEADERS, of=lambda headers: [Fault("GET", times=-1, headers=headers)]),
    *lies("header of HEAD", *HEADERS, of=lambda headers: [Fault("HEAD", times=-1, headers=headers)]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Have a model of three layers."""
    return model(tmp_path_factory.mktemp("model"), 2)


@pytest.mark.usefixtures("nobody_waits")
class TestLies:
    @pytest.fixture(autouse=True)
    def _layers(self, monkeypatch):
        monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)

    @pytest.fixture
    def ended(self, invoke):
        """Give a function that runs a command that may fail, and returns what it left."""

        def ended(*arguments):
            started = time.monotonic()
            done = invoke(*arguments, *OPTIONS)
            assert done.code in (0, 4, 5, 6), done.err
            assert time.monotonic() - started < AT_MOST
            assert "Traceback" not in done.err
            if done.code:
                assert [line.partition(":")[0] for line in done.err.splitlines()[-2:]] == ["error", "hint"]
            return done

        return ended

    @pytest.mark.parametrize("faults", TO_A_PUSH)
    def test_push(self, ended, folder, faults):
        """What has a tag is whole, and what is not has none."""
        with FakeRegistry() as registry:
            registry.faults += faults_of(faults)
            done = ended("push", folder, f"{registry.host}/org/m:1", "--base", "none")
            assert list(registry.tags) == (["org/m:1"] if done.code == 0 else [])
            for digest in registry.tags.values():
                document = json.loads(registry.manifests[digest][1])
                blobs = [document["config"], *document["layers"]]
                assert [len(registry.blobs[blob["digest"]]) for blob in blobs] == [blob["size"] for blob in blobs]

    @pytest.mark.parametrize("faults", TO_ALL)
    @pytest.mark.parametrize("command", ["push", "pull", "inspect", "verify"])
    def test_any_command(self, ended, folder, tmp_path, command, faults):
        """A folder that was pulled has all files, or is not there."""
        with FakeRegistry() as registry:
            there = f"{registry.host}/org/m:1"
            assert ended("push", folder, there, "--base", "none").code == 0
            registry.faults += faults_of(faults)
            done = {
                "push": lambda: ended("push", folder, f"{registry.host}/org/m:2", "--base", "none"),
                "pull": lambda: ended("pull", there, tmp_path / "pulled"),
                "inspect": lambda: ended("inspect", there),
                "verify": lambda: ended("verify", there, "--deep"),
            }[command]()
        names = sorted(path.name for path in folder.iterdir())
        if command == "pull" and done.code == 0:
            assert sorted(path.name for path in (tmp_path / "pulled").iterdir()) == names
        elif command == "pull":
            left = [path.name for path in (tmp_path / "pulled").rglob("*") if not is_partial(path)]
            assert left == []


def is_partial(path):
    """Tell whether a path belongs to a pull that may be resumed."""
    return any(part.startswith((".partial", ".lock")) for part in path.parts)


def faults_of(faults):
    """Return copies: a fault counts down."""
    return [replace(fault) for fault in faults]
