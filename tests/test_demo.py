"""docs/demo.py: it reads as a tutorial, what it shows is true, and it leaves no server behind."""

import importlib.util
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT

SCRIPT = CHECKOUT / "docs" / "demo.py"
NAME = "smollm2-135m-instruct"
SERVE = (
    f"SERVER_PYTHON -m tests.llm.serve serve OUT/pulled --served-model-name {NAME} --host 127.0.0.1 --port 0"
    " --max-model-len 2048 > OUT/server.log 2>&1 &"
)


def _load():
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


demo = _load()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _server_pid(output) -> int:
    return int(re.search(r"APIServer pid=(\d+)", (output / "server.log").read_text("utf-8"))[1])


@pytest.mark.model
class TestDemo:
    def test_goes_the_whole_way(self, prepared_model, tmp_path):
        """Every command is shown and works, over what an earlier run left; what is not its own stays."""
        output = tmp_path / "output"
        for left in ("layout/blobs", "pulled", "mine"):
            (output / left).mkdir(parents=True)
        ran = subprocess.run(
            [sys.executable, SCRIPT, "--output", output],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            cwd=tmp_path,
        )
        assert (ran.returncode, ran.stderr.count("error")) == (0, 0), ran.stderr
        shown = ran.stdout.replace(str(output), "OUT").replace(str(prepared_model.python), "SERVER_PYTHON")
        shown = shown.replace(str(prepared_model.model), "MODEL")
        commands = [re.sub(r":\d+ ", ":PORT ", line) for line in shown.splitlines() if line.startswith("$ ")]
        assert commands == [
            "$ python -m tests.llm.prepare",
            f"$ ln -s MODEL OUT/{NAME}",
            f"$ kubectl-modelcar push OUT/{NAME} oci:OUT/layout:v1",
            "$ kubectl-modelcar inspect oci:OUT/layout:v1",
            "$ kubectl-modelcar pull oci:OUT/layout:v1 OUT/pulled",
            f"$ diff -r OUT/{NAME} OUT/pulled",
            f"$ {SERVE}",
            "$ kubectl-modelcar chat --url http://127.0.0.1:PORT --temperature 0 'What is the capital of France?'",
            "$ kubectl-modelcar install demo oci:OUT/layout:v1 --dry-run=client",
        ]
        assert "\nidentical\n" in shown
        assert "\nThe capital of France is Paris.\n" in shown
        pushed = re.search(r"oci:OUT/layout@sha256:[0-9a-f]{64}", shown)[0]
        manifests = (output / "manifests.yaml").read_text("utf-8")
        assert pushed.partition("@")[2] in manifests
        kinds = {"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}
        assert kinds <= set(re.findall(r"^kind: (\w+)$", shown, re.MULTILINE))
        assert not _is_running(_server_pid(output))
        assert sorted(path.name for path in output.iterdir()) == [
            "layout",
            "manifests.yaml",
            "mine",
            "pulled",
            "server.log",
            NAME,
        ]

    @pytest.mark.parametrize(
        ("number", "code", "last"),
        [
            pytest.param(signal.SIGINT, 130, "interrupted", id="ctrl-c"),
            pytest.param(signal.SIGTERM, 143, "", id="terminated"),
        ],
    )
    @pytest.mark.usefixtures("prepared_model")
    def test_stops_its_server_when_it_is_stopped(self, tmp_path, number, code, last):
        """The server goes with the demo, whoever ends it."""
        command = [sys.executable, SCRIPT, "--output", tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith("# Ask it."):
                    pid = _server_pid(tmp_path)
                    was_running = _is_running(pid)
                    process.send_signal(number)
                    break
            process.stdout.read()
            said = process.stderr.read().splitlines()
        assert (process.returncode, was_running, _is_running(pid)) == (code, True, False)
        assert last in ("", said[-1])


LISTENING = """
import time
print("INFO Starting vLLM server on http://127.0.0.1:9")
print("INFO:     Application startup complete.", flush=True)
time.sleep(600)
"""


class TestTerminal:
    @pytest.fixture
    def terminal(self):
        return demo.Terminal.of_this_python()

    def test_prints_a_command_before_it_runs(self, terminal, capfd):
        """As it would be typed."""
        terminal.run("echo", "two words")
        assert capfd.readouterr().out == "$ echo 'two words'\ntwo words\n"

    def test_ends_at_the_first_command_that_fails(self, terminal):
        """With its exit code."""
        with pytest.raises(demo.StepFailed, match="the command above ended with exit code 3"):
            terminal.run("sh", "-c", "exit 3")

    def test_names_a_program_that_is_missing(self):
        """It may run where little is installed."""
        with pytest.raises(demo.StepFailed, match="there is no program diff on this machine"):
            demo.Terminal({"PATH": ""}).run("diff")

    def test_serves_until_the_block_fails(self, terminal, tmp_path):
        """The server is stopped before the failure goes on."""
        log = tmp_path / "log"
        command = (sys.executable, "-c", "import os; print(os.getpid(), flush=True)" + LISTENING)
        seen = []

        def fail(url):
            seen.append(url)
            raise demo.StepFailed("mine")

        with pytest.raises(demo.StepFailed, match="mine"), terminal.serving(log, *command) as url:
            fail(url)
        pid = int(log.read_text("utf-8").splitlines()[0])
        assert (seen, _is_running(pid)) == (["http://127.0.0.1:9"], False)

    def test_shows_why_a_server_ended(self, terminal, tmp_path):
        """The log is what says it."""
        command = (sys.executable, "-c", "import sys; sys.exit('no weights')")
        with (
            pytest.raises(demo.StepFailed, match=r"the server ended with exit code 1:\nno weights"),
            terminal.serving(tmp_path / "log", *command),
        ):
            pass


class TestMain:
    def test_failure_is_one_line_and_an_exit_code(self, monkeypatch, tmp_path, capsys):
        """What failed was shown above it."""
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        code = demo.main(["--output", str(tmp_path / "output")])
        said = capsys.readouterr().err
        assert (code, said) == (1, "error: the demo stopped: there is no program python on this machine\n")


class TestShortened:
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            pytest.param(["a: 1", "b:", "  - c"], ["a: 1", "b:", "  - c"], id="nothing-long"),
            pytest.param(["a: |", "  b"], ["a: |", "  b"], id="short-block"),
            pytest.param(
                ["x:", "  a: |-", *(f"    {n}" for n in range(20)), "  b: 1"],
                ["x:", "  a: |-", *(f"    {n}" for n in range(12)), "    ... (lines left out: 8)", "  b: 1"],
                id="long-block",
            ),
            pytest.param(
                ["a: |", *(f"  {n}" for n in range(13))],
                ["a: |", *(f"  {n}" for n in range(12)), "  ... (lines left out: 1)"],
                id="at-the-end",
            ),
            pytest.param(
                ["a: |", "  one", "", "  two", "b: 1"], ["a: |", "  one", "", "  two", "b: 1"], id="empty-line-inside"
            ),
        ],
    )
    def test_leaves_out_the_middle_of_long_texts(self, lines, expected):
        """All else is as it was."""
        assert demo.shortened("\n".join(lines) + "\n").splitlines() == expected
