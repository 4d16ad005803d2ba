"""The chart as a whole: what is packaged, its examples, and Kubernetes' own opinion of the objects."""

import ast
import subprocess
import tarfile

import pytest
import yaml

import kubectl_modelcar
from tests.chart.rendering import CHART, HelmRefused
from tests.tools import schema_locations, tool

EXAMPLES = sorted((CHART / "ci").glob("*-values.yaml"))
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))


@pytest.mark.real
class TestHelm:
    @pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
    def test_lint(self, helm, values):
        """Helm has nothing to say against the chart but that it has no picture."""
        said = helm.run("lint", "--strict", str(CHART), "--values", str(values))
        assert "1 chart(s) linted, 0 chart(s) failed" in said
        assert [one for one in said.splitlines() if one.startswith("[")] == ["[INFO] Chart.yaml: icon is recommended"]

    def test_package_holds_what_the_wheel_holds(self, helm, tmp_path):
        """What is for people who read the sources stays out."""
        helm.run("package", str(CHART), "--destination", str(tmp_path))
        with tarfile.open(tmp_path / f"modelcar-{ABOUT['version']}.tgz") as package:
            names = {name.removeprefix("modelcar/") for name in package.getnames()}
        assert {"Chart.yaml", "values.yaml", "values.schema.json", "files/puller.py", "files/one_token.py"} <= names
        assert "templates/tests/one-token.yaml" in names
        assert [name for name in names if name.startswith(("ci/", "README")) or "__pycache__" in name] == []

    def test_old_kubernetes_is_refused(self, render):
        """Helm itself says that the cluster is too old."""
        with pytest.raises(HelmRefused, match=r"requires kubeVersion: >=1\.27\.0-0 which is incompatible"):
            render({}, "--kube-version", "1.26.9")

    @pytest.mark.parametrize("version", ["1.27.0", "1.31.4-eks-1234"])
    def test_kubernetes_is_accepted(self, render, version):
        """The oldest promised version, and one with a vendor's suffix."""
        assert "Deployment" in render({}, "--kube-version", version).kinds()


@pytest.mark.real
class TestKubernetes:
    @pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
    def test_objects_are_valid(self, helm, values):
        """Kubernetes' and OpenShift's own schemas accept every field."""
        manifests = helm.run("template", "granite", str(CHART), "--values", str(values))
        locations = [f"-schema-location={place}" for place in schema_locations()]
        ran = subprocess.run(
            [str(tool("kubeconform")), "-strict", "-summary", *locations, "-"],
            input=manifests,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
        count = manifests.count("\nkind: ")
        assert f"{count} resources found" in ran.stdout
        assert f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0" in ran.stdout

    def test_only_objects_of_a_namespace(self, helm):
        """Nothing needs more than the rights to edit a namespace."""
        manifests = helm.run(
            "template", "granite", str(CHART), "--values", str(CHART / "ci/openshift-route-values.yaml")
        )
        kinds = {one["kind"] for one in yaml.safe_load_all(manifests) if one}
        assert kinds == {"ConfigMap", "Deployment", "PersistentVolumeClaim", "Pod", "Route", "Service"}


class TestChart:
    def test_version_is_the_programs(self):
        """The chart in the wheel has the wheel's version."""
        assert kubectl_modelcar.__version__ == ABOUT["version"]

    def test_default_server_is_the_apps_version(self):
        """The default image is the vLLM release that the chart names."""
        values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
        assert f"v{ABOUT['appVersion']}" == values["server"]["image"]["tag"]

    @pytest.mark.parametrize("name", ["one_token.py", "puller.py"])
    def test_programs_run_in_an_old_python(self, name):
        """What pods run parses in the oldest Python that is promised."""
        ast.parse((CHART / "files" / name).read_text("utf-8"), feature_version=(3, 9))
