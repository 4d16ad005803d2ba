"""The pod's entry: what it is given, what it says, how it ends."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from kubectl_modelcar.chart import puller
from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Fault
from tests.puller.images import REPOSITORY, ours, put, tree

PULLER = Path(puller.__file__)
AUTH = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
MODEL = {"config.json": b"{}", "model.safetensors": b"w" * (4 << 20)}
LAYERS = [ours({path: data}) for path, data in MODEL.items()]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the file as the pod does, with nothing of the package in reach."""
    command = [sys.executable, "-I", PULLER, *map(str, arguments)]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def masked(text: str) -> str:
    """Return the lines with what changes from run to run masked."""
    return re.sub(r"done in [\d.]+ s", "done in T s", text)


class TestRun:
    """As a process of its own."""

    def test_a_pull_says_what_it_does(self, registry, tmp_path):
        """Plain lines, and the model is there."""
        digest = put(registry, *LAYERS)
        reference = f"{registry.host}/{REPOSITORY}@{digest}"
        done = run(f"--reference={reference}", f"--volume={tmp_path}", "--plain-http", "--jobs=1")
        lines = masked(done.stderr).splitlines()
        assert lines[0] == f"puller: pulling {reference} (2 layers, 4.2 MB) to {tmp_path}"
        assert lines[-1] == "puller: done in T s"
        assert all(re.fullmatch(r"puller: \d+% [\d.]+/4\.2 MB", line) for line in lines[1:-1])
        assert lines[-2] == "puller: 100% 4.2/4.2 MB"
        assert len(lines) <= 13
        assert (done.returncode, done.stdout) == (0, "")
        files = tree(tmp_path / digest[7:])
        assert {path: data for path, data in files.items() if path != ".complete"} == MODEL

    def test_a_restart_says_so_and_asks_nobody(self, registry, tmp_path):
        """From the environment this time."""
        digest = put(registry, *LAYERS)
        environment = {"MODEL_REFERENCE": f"{registry.host}/{REPOSITORY}:v1@{digest}", "MODEL_VOLUME": str(tmp_path)}
        assert run("--plain-http", **environment).returncode == 0
        before = len(registry.log)
        done = run("--plain-http", **environment)
        assert (done.returncode, done.stderr) == (0, "puller: already complete\n")
        assert len(registry.log) == before

    def test_a_tag_is_resolved(self, registry, tmp_path):
        """The folder is named by what it resolves to."""
        digest = put(registry, *LAYERS)
        done = run(f"--reference={registry.host}/{REPOSITORY}:v1", f"--volume={tmp_path}", "--plain-http")
        assert (done.returncode, (tmp_path / digest[7:] / "config.json").read_bytes()) == (0, b"{}")

    def test_an_error_is_two_lines_and_a_code(self, registry, tmp_path):
        """And the same in the termination log, where the kubelet made one."""
        log = tmp_path / "termination-log"
        log.write_text("")
        reference = f"{registry.host}/{REPOSITORY}:v9"
        done = run(f"--reference={reference}", f"--volume={tmp_path}", "--plain-http", f"--termination-log={log}")
        assert done.stderr == (
            f"puller: error: reading the manifest v9 from {registry.host}/{REPOSITORY}: "
            f"{registry.host} does not have it: MANIFEST_UNKNOWN no manifest v9\n"
            "puller: hint: check the name, or the login if it is private\n"
        )
        assert (done.returncode, log.read_text()) == (4, done.stderr)

    def test_an_error_without_a_hint_of_its_own_has_one(self, registry, tmp_path):
        """There are always two lines, for whoever reads them."""
        registry.faults.append(Fault(status=405))
        done = run(f"--reference={registry.host}/x/y", f"--volume={tmp_path}", "--plain-http")
        assert done.stderr.splitlines()[1:] == [
            "puller: hint: check the name of the image, and that it is one of a model"
        ]

    def test_a_log_that_is_not_there_is_not_made(self, registry, tmp_path):
        """Outside of a pod there is none."""
        log = tmp_path / "termination-log"
        done = run(
            f"--reference={registry.host}/x/y", f"--volume={tmp_path}", "--plain-http", f"--termination-log={log}"
        )
        assert (done.returncode, log.exists()) == (4, False)

    def test_names_that_the_locale_cannot_say_are_written(self, registry, tmp_path):
        """A server image may have no locale, and its Python no UTF-8 mode; files are named in UTF-8 all the same."""
        digest = put(registry, ours({"模型/größe.json": b"{}"}))
        arguments = [f"--reference={registry.host}/{REPOSITORY}@{digest}", f"--volume={tmp_path}", "--plain-http"]
        command = [sys.executable, "-X", "utf8=0", PULLER, *arguments]
        locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
        for said in ("pulling", "already complete"):
            done = subprocess.run(command, env=os.environ | locale, capture_output=True, text=True, check=False)
            assert (done.returncode, said in done.stderr) == (0, True), done.stderr
        assert (tmp_path / digest[7:] / "模型/größe.json").read_bytes() == b"{}"

    @pytest.mark.parametrize("arguments", [[], ["--reference=a/b"], ["--volume=/x"]])
    def test_missing_arguments_are_named(self, arguments):
        """Usage errors have the code of usage errors."""
        done = run(*arguments)
        assert (done.returncode, "--reference and --volume are required" in done.stderr) == (2, True)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"])
    def test_a_signal_ends_it_at_once(self, registry, tmp_path, number, code):
        """Also in the middle of a stalled transfer; one line says so, and no traceback."""
        put(registry, *LAYERS)
        registry.faults.append(Fault(path="/blobs/", stall_after=100, times=-1))
        arguments = [f"--reference={registry.host}/{REPOSITORY}:v1", f"--volume={tmp_path}", "--plain-http"]
        with subprocess.Popen([sys.executable, PULLER, *arguments], stderr=subprocess.PIPE, text=True) as process:
            while len(registry.requests(path="/blobs/")) < 2:
                time.sleep(0.01)
            started = time.monotonic()
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
        assert time.monotonic() - started < 2
        assert process.returncode == code
        assert errors.splitlines()[1:] == [errors.splitlines()[-1]]
        assert errors.endswith("ed; layers that were verified are kept\n")

    def test_the_authority_is_a_file(self, tmp_path):
        """Mounted from a ConfigMap."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.crt")
        with FakeRegistry(tls=authority) as registry:
            put(registry, *LAYERS)
            arguments = [f"--reference={registry.host}/{REPOSITORY}:v1", f"--volume={tmp_path}"]
            codes = [
                run(*arguments, *more).returncode for more in ([], [f"--ca-file={tmp_path / 'ca.crt'}"], ["--insecure"])
            ]
        assert codes == [5, 0, 0]

    def test_a_mounted_secret_is_the_login(self, tmp_path):
        """It is in no argument and in no line."""
        (tmp_path / "auth").mkdir()
        with FakeRegistry("bearer") as registry:
            put(registry, *LAYERS)
            (tmp_path / "auth/.dockerconfigjson").write_text(json.dumps({"auths": {registry.host: {"auth": AUTH}}}))
            arguments = [f"--reference={registry.host}/{REPOSITORY}:v1", f"--volume={tmp_path}", "--plain-http"]
            without = run(*arguments)
            done = run(*arguments, MODEL_AUTH_DIR=str(tmp_path / "auth"))
        assert (without.returncode, done.returncode) == (3, 0)
        assert PASSWORD not in without.stderr + done.stderr
        assert AUTH not in without.stderr + done.stderr


REFERENCES = {
    "quay.io/org/model@sha256:" + "0" * 64: ("quay.io", "org/model", "sha256:" + "0" * 64),
    "quay.io/org/model:v1@sha256:" + "0" * 64: ("quay.io", "org/model", "sha256:" + "0" * 64),
    "quay.io/org/sub/model:v1": ("quay.io", "org/sub/model", "v1"),
    "registry:5000/model": ("registry:5000", "model", "latest"),
    "localhost/model": ("localhost", "model", "latest"),
    "[::1]:5000/model:v1": ("[::1]:5000", "model", "v1"),
    "org/model": ("docker.io", "org/model", "latest"),
    "model:v1": ("docker.io", "library/model", "v1"),
    "docker.io/model": ("docker.io", "library/model", "latest"),
    "index.docker.io/org/model": ("docker.io", "org/model", "latest"),
}


class TestParse:
    """References as docker reads them."""

    @pytest.mark.parametrize(("text", "parts"), REFERENCES.items(), ids=REFERENCES)
    def test_good_ones(self, text, parts):
        """Host, repository, and what to ask for."""
        assert puller._parse(text) == parts

    @pytest.mark.parametrize(
        "text",
        ["", "/", "quay.io/", "quay.io/Org/x", "user:pw@quay.io/a", "quay.io/a@sha256:0", "a b/c", "quay.io/a/../b"],
    )
    def test_bad_ones(self, text):
        """They are refused before anybody is asked."""
        with pytest.raises(puller.PullError):
            puller._parse(text)


def login(folder: Path, reference: str, **files: object) -> puller.Credential | None:
    """Return the login for a reference out of mounted files."""
    for name, content in files.items():
        path = {"config": "config.json", "secret": ".dockerconfigjson", "legacy": ".dockercfg"}[name]
        (folder / path).write_text(content if isinstance(content, str) else json.dumps(content))
    host, repository, _ = puller._parse(reference)
    return puller._credential(folder, host, repository)


def entry(name: str) -> dict[str, str]:
    """Return an entry whose user is told apart by its name."""
    return {"auth": base64.b64encode(f"{name}:pass:word".encode()).decode()}


class TestCredential:
    """Which login of a mounted Secret is the image's."""

    @pytest.mark.parametrize(
        ("reference", "user"),
        [
            ("quay.io/org/model", "repository"),
            ("quay.io/org/model-two", "organisation"),
            ("quay.io/org2/model", "host"),
            ("quay.io:443/org/model", None),
            ("registry.example.com/a", "address"),
            ("old.example.com/a", "versioned"),
            ("model", "hub"),
            ("index.docker.io/org/model", "hub"),
        ],
    )
    def test_the_longest_key_wins(self, tmp_path, reference, user):
        """At the borders of a path's parts; docker's old forms of keys are known."""
        auths = {
            "quay.io": entry("host"),
            "quay.io/org": entry("organisation"),
            "quay.io/org/model": entry("repository"),
            "https://registry.example.com": entry("address"),
            "https://old.example.com/v2/": entry("versioned"),
            "https://index.docker.io/v1/": entry("hub"),
        }
        found = login(tmp_path, reference, config={"auths": auths})
        assert found == (puller.Credential(user, "pass:word") if user else None)

    def test_every_form_of_secret_is_read(self, tmp_path):
        """New ones, old ones, and new content under the old name."""
        assert login(tmp_path, "a.io/x", secret={"auths": {"a.io": entry("a")}}).username == "a"
        assert login(tmp_path, "b.io/x", legacy={"b.io": entry("b")}).username == "b"
        assert login(tmp_path, "c.io/x", legacy={"auths": {"c.io": entry("c")}}).username == "c"

    @pytest.mark.parametrize(
        ("fields", "credential"),
        [
            ({"username": "u", "password": "p"}, puller.Credential("u", "p")),
            ({"username": "u"}, puller.Credential("u", "")),
            ({"identitytoken": "t", "auth": "dTpw"}, puller.Credential("<token>", "t")),
            ({"auth": base64.b64encode(b"u:p\0\0").decode()}, puller.Credential("u", "p")),
            ({}, None),
            (7, None),
        ],
        ids=["two fields", "no password", "identity token", "padded", "empty", "no object"],
    )
    def test_every_form_of_entry_is_read(self, tmp_path, fields, credential):
        """An empty one means that a helper of the user's machine has it."""
        assert login(tmp_path, "a.io/x", config={"auths": {"a.io": fields}}) == credential

    @pytest.mark.parametrize("auth", ["%%%", "dQ==", "/////w=="], ids=["no base64", "no colon", "no text"])
    def test_an_entry_that_cannot_be_read_is_named(self, tmp_path, auth):
        """By its key, without its content."""
        with pytest.raises(puller.PullError) as caught:
            login(tmp_path, "a.io/x", config={"auths": {"a.io": {"auth": auth}}})
        said = "the login for a.io cannot be read: its 'auth' is not base64 of USER:PASSWORD"
        assert (caught.value.message, caught.value.exit_code) == (said, 7)

    def test_a_file_that_is_no_json_is_named(self, tmp_path):
        """By its path."""
        with pytest.raises(puller.PullError, match=r"the file .*/config\.json is not a JSON object"):
            login(tmp_path, "a.io/x", config="oops")

    def test_no_file_is_no_login(self, tmp_path):
        """A public image needs none."""
        assert login(tmp_path, "a.io/x") is None


class TestLines:
    """Progress for people who read logs."""

    def test_at_most_one_line_in_ten_percent(self, capsys):
        """However many pieces the bytes come in."""
        lines = puller._Lines(1000)
        lines.begin("a", 1000)
        for _ in range(1000):
            lines.advance("a", 1)
        said = capsys.readouterr().err.splitlines()
        assert [line.split()[1] for line in said] == [f"{n}0%" for n in range(1, 11)]

    def test_a_slow_pull_is_heard_of_every_five_seconds(self, capsys, monkeypatch):
        """A pod that says nothing looks dead."""
        lines = puller._Lines(10**9)
        now = time.monotonic()
        for second in range(12):
            monkeypatch.setattr(time, "monotonic", lambda second=second: now + second)
            lines.advance("a", 1000)
        assert capsys.readouterr().err.splitlines() == ["puller: 0% 0.0/1000.0 MB", "puller: 0% 0.0/1000.0 MB"]

    def test_what_is_there_counts(self, capsys):
        """A pull that goes on starts where it is."""
        lines = puller._Lines(1000)
        lines.begin("a", 500)
        lines.end("a", "exists")
        assert capsys.readouterr().err == "puller: 50% 0.0/0.0 MB\n"
