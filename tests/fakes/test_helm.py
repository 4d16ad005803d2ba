"""Tests of the two stand-ins for helm."""

import json
import subprocess
from pathlib import Path

import pytest

from kubectl_modelcar.cluster import Release, ReleaseRequest
from kubectl_modelcar.errors import ClusterFailure
from tests.fakes.helm import FakeHelm, helm_program

REQUEST = ReleaseRequest("g", "models", Path("/chart"), {})


class TestFakeHelm:
    """The one in memory."""

    def test_life_of_a_release(self):
        """From the first upgrade to the uninstall."""
        told = []
        helm = FakeHelm(told.append)
        steps = [
            helm.upgrade(REQUEST).revision,
            helm.upgrade(REQUEST),
            helm.uninstall("g", "other"),
            helm.uninstall("g", "models"),
            helm.uninstall("g", "models"),
        ]
        assert (steps, told) == ([1, Release("g", "models", 2, "deployed"), False, True, False], [REQUEST, REQUEST])

    def test_refusal(self):
        """It can refuse whatever is rendered."""
        helm = FakeHelm()
        helm.refusal = ClusterFailure("no")
        with pytest.raises(ClusterFailure):
            helm.render(REQUEST)


class TestHelmProgram:
    """The one that is a program."""

    def run(self, program, *arguments, stdin=""):
        return subprocess.run([program, *arguments], input=stdin, capture_output=True, text=True, check=False)

    def test_commands(self, tmp_path):
        """It says the version, keeps a release, and writes down what was asked."""
        program = helm_program(tmp_path)
        done = [
            self.run(program, "version").stdout,
            self.run(program, "uninstall", "g").returncode,
            json.loads(self.run(program, "upgrade", "--install", "g", stdin="{}").stdout)["info"],
            self.run(program, "uninstall", "g").returncode,
        ]
        runs = [json.loads(line)["argv"][0] for line in (tmp_path / "runs").read_text().splitlines()]
        assert (done, runs) == (
            ["v4.2.4\n", 1, {"status": "deployed"}, 0],
            ["uninstall", "upgrade", "uninstall"],
        )

    def test_unknown_command(self, tmp_path):
        """What no test foresaw fails."""
        assert self.run(helm_program(tmp_path), "rollback").returncode == 1

    def test_refusal(self, tmp_path):
        """It fails with the words that a test put there."""
        program = helm_program(tmp_path)
        (tmp_path / "refusal").write_text("no")
        assert self.run(program, "template", "g").stderr == "Error: no\n"
