"""Tests of the name by which the user called us."""

import pytest

from kubectl_modelcar.cli.invocation import command_name


class TestCommandName:
    @pytest.mark.parametrize(
        ("argv0", "environment", "expected"),
        [
            pytest.param("/usr/bin/kubectl-modelcar", {}, "kubectl modelcar", id="plugin of kubectl"),
            pytest.param("/usr/bin/oc-modelcar", {}, "oc modelcar", id="plugin of oc"),
            pytest.param("kubectl-modelcar", {"_": "/usr/bin/oc"}, "oc modelcar", id="krew's script under oc"),
            pytest.param("kubectl-modelcar", {"_": "oc"}, "oc modelcar", id="oc by its bare name"),
            pytest.param("kubectl-modelcar", {"_": "/usr/bin/kubectl"}, "kubectl modelcar", id="bash ran kubectl"),
            pytest.param("kubectl-modelcar", {"_": "/usr/bin/kubectl-modelcar"}, "kubectl modelcar", id="bash ran us"),
            pytest.param("kubectl-modelcar", {"_": ""}, "kubectl modelcar", id="empty _"),
            pytest.param("oc-modelcar", {"_": "/usr/bin/kubectl"}, "oc modelcar", id="oc's own script"),
            pytest.param(
                "kubectl-modelcar", {"KUBECTL_PATH": "/usr/bin/kubectl"}, "kubectl modelcar", id="kubectl 1.37"
            ),
            pytest.param("kubectl-modelcar", {"KUBECTL_PATH": "/usr/bin/oc"}, "oc modelcar", id="oc of the same code"),
            pytest.param(
                "kubectl-modelcar",
                {"KUBECTL_PATH": "/usr/bin/kubectl", "_": "/usr/bin/oc"},
                "kubectl modelcar",
                id="kubectl 1.37 below a script that oc ran",
            ),
            pytest.param("__main__.py", {}, "kubectl-modelcar", id="python -m"),
            pytest.param("/x/__main__.py", {"_": "/usr/bin/python3"}, "kubectl-modelcar", id="python -m from bash"),
            pytest.param("modelcar", {"_": "/usr/bin/oc"}, "kubectl-modelcar", id="another name"),
            pytest.param(
                "__main__.py", {"KUBECTL_PATH": "/usr/bin/kubectl"}, "kubectl modelcar", id="a script that kubectl ran"
            ),
        ],
    )
    def test_of(self, argv0, environment, expected):
        """It depends on who started which file."""
        assert command_name(argv0, environment) == expected

    def test_of_this_process(self, monkeypatch):
        """Without arguments, what the process was started with."""
        monkeypatch.setattr("sys.argv", ["/usr/bin/oc-modelcar", "push"])
        monkeypatch.delenv("KUBECTL_PATH", raising=False)
        assert command_name() == "oc modelcar"
