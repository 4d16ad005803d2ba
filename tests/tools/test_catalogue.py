"""The pins agree with what they pin."""

import re

from tests.tools.catalogue import CLUSTER, GO_TOOLS, KUBE_PROGRAMS, KUBERNETES, source_version


class TestPins:
    """Each version is said once, or a test holds the two places together."""

    def test_kubernetes_version(self):
        """The version that the binary reports is the one that go.mod builds."""
        required = re.search(r"^\tk8s\.io/kubernetes v(\S+)$", (CLUSTER / "kube" / "go.mod").read_text(), re.MULTILINE)
        assert required is not None
        assert required[1] == KUBERNETES

    def test_kube_programs(self):
        """The links made are the names that main.go answers to; a second name in a case is of a copy."""
        cases = re.findall(r'^\tcase "([^"]+)"[:,]', (CLUSTER / "kube" / "main.go").read_text(), re.MULTILINE)
        assert tuple(sorted(cases)) == KUBE_PROGRAMS

    def test_each_tool_has_one_origin(self):
        """A tool comes from a Go package or from this repository, never from both or neither."""
        assert [tool.name for tool in GO_TOOLS if bool(tool.package) == bool(tool.source)] == []


class TestSourceVersion:
    """The version of a program of this repository is its source's."""

    def test_changes_with_content_and_name(self, tmp_path):
        """The same files give the same version; another content or another file gives another."""
        (tmp_path / "a").write_text("1")
        (tmp_path / "b").write_text("1")
        first = source_version(tmp_path, "a")
        again = source_version(tmp_path, "a")
        other_name = source_version(tmp_path, "b")
        (tmp_path / "a").write_text("2")
        assert first == again
        assert len({first, other_name, source_version(tmp_path, "a")}) == 3
