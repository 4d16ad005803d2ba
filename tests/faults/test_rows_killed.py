"""R21: SIGKILL at fifty points. Run again, the push ends with the same digest and sends what was on its way."""

import http.client
import json
import random
from pathlib import Path

import pytest

from tests.faults.program import Line, environment_of, model, start

pytestmark = pytest.mark.real

KILLS, MODELS, SHARDS, SIZE, JOBS = 50, 10, 12, 300_000, 4
LEAST = 2000  # bytes: of the requests before the first blob


def holds(host: str, repository: str, path: str) -> bool:
    """Ask the registry itself whether it has something."""
    connection = http.client.HTTPConnection(host, timeout=10)
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    connection.request("HEAD", f"/v2/{repository}/{path}", headers=accept)
    status = connection.getresponse().status
    connection.close()
    assert status in (200, 404)
    return status == 200


def layers_of(done) -> dict[str, dict]:
    """Return what a push with `-o json` says of each layer by its digest."""
    return {layer["digest"]: layer for layer in json.loads(done.out)["layers"]}


class TestR21:
    @pytest.fixture
    def push(self, tmp_path):
        """Give a function that starts a push of the model to a repository, with a memory and a home of its own."""
        folder = model(tmp_path / "model", SHARDS, SIZE)

        def push(host: str, repository: str):
            environment = environment_of(tmp_path / repository) | {"MODELCAR_READ": str(tmp_path / "read")}
            options = ("--plain-http", "--progress", "none", "--base", "none", "--jobs", JOBS, "-o", "json")
            return start(tmp_path / "said", "push", folder, f"{host}/{repository}:1", *options, **environment)

        return push

    def test_r21_killed_and_run_again(self, push, distribution, tmp_path):
        """What the registry has after five kills in a row is not sent or read again, and the digest is the same."""
        with Line(distribution.host) as line:
            whole = push(line.host, "whole").wait()
        assert whole.code == 0, whole.err
        digest, layers = json.loads(whole.out)["digest"], layers_of(whole)
        chosen = random.Random(21)  # noqa: S311  no secret
        for number in range(MODELS):
            repository = f"killed{number}"
            had: set[str] = set()
            for _ in range(KILLS // MODELS):
                left = sum(layers[one]["bytes"] for one in set(layers) - had)
                # The first third of what is left: nobody is done before he is killed.
                self._kill(push, distribution.host, repository, chosen.randrange(max(left // 3, LEAST)))
                has = {one for one in layers if holds(distribution.host, repository, f"blobs/{one}")}
                assert had <= has
                had = has
                assert not holds(distribution.host, repository, "manifests/1")
            with Line(distribution.host) as line:
                again = push(line.host, repository).wait()
                sent_bytes = line.passed
            assert (again.code, json.loads(again.out)["digest"]) == (0, digest), again.err
            sent = {one for one, layer in layers_of(again).items() if layer["outcome"] == "sent"}
            missing = set(layers) - had
            assert sent <= missing
            assert len(missing - sent) <= JOBS  # whole in the registry's ears, and not yet there when it was asked
            assert sent_bytes < sum(layers[one]["bytes"] for one in sent) + 30_000  # requests and the manifest
            self._check_read(tmp_path / "read", had, layers)

    def _kill(self, push, host: str, repository: str, point: int) -> None:
        with Line(host, pause_after=point) as line:
            running = push(line.host, repository)
            while not line.reached.wait(0.01) and not running.ended:
                pass
            assert line.reached.is_set(), running.wait()
            running.kill()
            assert running.wait().code == -9

    def _check_read(self, report: Path, had: set[str], layers: dict[str, dict]) -> None:
        """Find no more files read of those layers than were on their way: the others are remembered."""
        read = set(report.read_text().splitlines())
        there = {file["path"] for one in had for file in layers[one]["files"] if file["path"].endswith(".safetensors")}
        assert len(read & there) <= JOBS
