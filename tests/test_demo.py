"""docs/demo.py: it reads as a tutorial, what it shows is true, and it leaves no server behind."""

import importlib.util
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

SCRIPT = CHECKOUT / "docs" / "demo.py"
MADE = ["layout", "manifests.yaml", "pulled", "server.log"]
ASK = "kubectl-modelcar chat --url http://127.0.0.1:PORT --temperature 0 'What is the capital of France?'"
SERVE = (
    '"$SERVER_PYTHON" -m tests.llm.serve serve OUT/pulled --served-model-name smollm2-135m-instruct --host 127.0.0.1'
    " --port PORT --max-model-len 2048 > OUT/server.log 2>&1 &"
)
COMMANDS = [
    'export PATH=PROGRAMS:"$PATH"',
    "rm -rf OUT",
    "mkdir -p OUT",
    'eval "$(python -m tests.llm.prepare)"',
    'ls "$MODEL"',
    'kubectl-modelcar push "$MODEL" oci:OUT/layout:v1',
    "kubectl-modelcar inspect oci:OUT/layout:v1",
    "kubectl-modelcar pull oci:OUT/layout:v1 OUT/pulled",
    'diff -r "$MODEL" OUT/pulled',
    SERVE,
    ASK,
    "kill $!",
    "kubectl-modelcar install demo oci:OUT/layout:v1 --dry-run=client -v > OUT/manifests.yaml",
    "sed -e '/^# Source/d' -e '/^  puller.py:/,/^---/{/^---/!d;}' OUT/manifests.yaml",
]
CONTENTS = """
KIND                    NAME
ConfigMap               demo-modelcar-puller
PersistentVolumeClaim   demo-modelcar-models
Service                 demo-modelcar
Deployment              demo-modelcar
"""


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


def _commands(transcript: str) -> list[str]:
    return [line.removeprefix("$ ") for line in transcript.splitlines() if line.startswith("$ ")]


def _neutral(text: str, output) -> str:
    """Return text without what differs from run to run."""
    text = re.sub(r"(127\.0\.0\.1:|--port )\d+", r"\1PORT", text.replace(str(output), "OUT"))
    programs = Path(sys.executable).parent
    inside = f'"$PWD/{programs.relative_to(CHECKOUT)}:$PATH"' if programs.is_relative_to(CHECKOUT) else ""
    return text.replace(inside or str(programs), 'PROGRAMS:"$PATH"' if inside else "PROGRAMS")


def _typed_again(transcript: str, output) -> subprocess.CompletedProcess[str]:
    """Run a transcript's commands in one shell in the checkout, as somebody who waits for the server."""
    wait = f"until grep -q 'startup complete' {output / 'server.log'}; do sleep 0.1; done"
    commands = [f"{wait}\n{line}" if _neutral(line, output) == ASK else line for line in _commands(transcript)]
    return subprocess.run(
        ["/bin/sh", "-e"],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        cwd=CHECKOUT,
    )


@pytest.mark.model
@pytest.mark.usefixtures("prepared_model")
class TestDemo:
    def test_goes_the_whole_way(self, tmp_path):
        """Every command is shown, works, and works when typed again; what is left is this run's, and no server."""
        output = tmp_path / "output"
        (output / "layout" / "blobs").mkdir(parents=True)
        (output / "manifests.yaml").write_text("old", "utf-8")
        ran = subprocess.run(
            [sys.executable, SCRIPT, "--output", output],
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
            cwd=tmp_path,
        )
        assert (ran.returncode, ran.stderr.count("error")) == (0, 0), ran.stderr
        assert [_neutral(line, output) for line in _commands(ran.stdout)] == COMMANDS
        assert "\nThe capital of France is Paris.\n" in ran.stdout
        assert CONTENTS in ran.stdout
        assert "\n# storage.size = 2Gi: twice the model" in ran.stderr
        pushed = re.search(r"oci:\S+/layout@(sha256:[0-9a-f]{64})", ran.stdout)[1]
        assert pushed in (output / "manifests.yaml").read_text("utf-8")
        assert sorted(path.name for path in output.iterdir()) == MADE
        assert not _is_running(_server_pid(output))

        again = _typed_again(ran.stdout, output)
        assert (again.returncode, again.stderr.count("error")) == (0, 0), again.stderr
        shown = [line for line in ran.stdout.replace(CONTENTS, "").splitlines() if line[:2] not in ("$ ", "# ", "#  ")]
        assert [line for line in again.stdout.splitlines() if line] == [line for line in shown if line]

    @pytest.mark.parametrize(
        ("number", "code", "last"),
        [
            pytest.param(signal.SIGINT, 130, "interrupted", id="ctrl-c"),
            pytest.param(signal.SIGTERM, 143, "", id="terminated"),
        ],
    )
    def test_stops_its_server_when_it_is_stopped(self, tmp_path, number, code, last):
        """The server goes with the demo, whoever ends it."""
        command = [sys.executable, SCRIPT, "--output", tmp_path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                if line.startswith("# Ask it, "):
                    pid = _server_pid(tmp_path)
                    was_running = _is_running(pid)
                    process.send_signal(number)
                    break
            process.stdout.read()
            said = process.stderr.read().splitlines()
        assert (process.returncode, was_running, _is_running(pid)) == (code, True, False)
        assert [line for line in said if line.startswith("interrupted")] == ([last] if last else [])
        assert last in ("", said[-1])


def _python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


def _wait_until_gone(group: int) -> None:
    """Look for a process group for five seconds; ProcessLookupError once it is gone."""
    for _ in range(50):
        os.killpg(group, 0)
        time.sleep(0.1)


LISTENING = """
import time
print("INFO Starting vLLM server on http://127.0.0.1:9")
print("INFO:     Application startup complete.", flush=True)
time.sleep(600)
"""


class TestTerminal:
    @pytest.fixture
    def terminal(self):
        return demo.Terminal(dict(os.environ))

    def test_prints_a_command_before_it_runs(self, terminal, capfd):
        """As it would be typed."""
        terminal.run("echo 'two words'")
        assert capfd.readouterr().out == "$ echo 'two words'\ntwo words\n"

    def test_ends_at_the_first_command_that_fails(self, terminal):
        """With its exit code."""
        with pytest.raises(demo.StepFailed, match="the command above ended with exit code 3"):
            terminal.run("sh -c 'exit 3'")

    def test_remembers_what_a_command_sets(self, terminal, capfd):
        """For the commands after it, as a shell does."""
        terminal.setting("""eval "$(echo MODEL="'a  b'")"; OTHER=1""", "MODEL").run('echo "$MODEL$OTHER"')
        assert capfd.readouterr().out.splitlines()[-1] == "a  b"

    def test_ends_where_a_command_did_not_set_what_it_should(self, terminal):
        """The shell's `eval` hides the exit code of what it evaluates."""
        with pytest.raises(demo.StepFailed, match="the command above did not set MODEL and PYTHON"):
            terminal.setting('eval "$(false)"', "MODEL", "PATH", "PYTHON")

    def test_ends_a_command_with_all_that_it_started(self, terminal):
        """One ^C is enough: nothing goes on behind the prompt."""
        groups = []

        def interrupt():
            with terminal._started("sleep 600 & echo; wait", stdout=subprocess.PIPE) as process, process.stdout:
                process.stdout.readline()
                groups.append(process.pid)
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            interrupt()
        with pytest.raises(ProcessLookupError):
            _wait_until_gone(*groups)

    @pytest.mark.parametrize(
        ("end", "raised"),
        [
            pytest.param("sys.exit(130)", demo.Interrupted, id="command-says-so"),
            pytest.param("sys.exit(1)", KeyboardInterrupt, id="command-does-not"),
        ],
    )
    def test_hands_an_interrupt_on(self, terminal, tmp_path, capfd, end, raised):
        """The command ends as it would by itself; whether it spoke of it is known."""
        program = (
            "import os, signal, sys, time\ntry:\n    os.kill(os.getppid(), signal.SIGINT)\n    time.sleep(600)\n"
            f"except KeyboardInterrupt:\n    print('in order', flush=True)\n    {end}\n"
        )
        (tmp_path / "program.py").write_text(program, "utf-8")
        with pytest.raises(raised):
            terminal.run(shlex.join([sys.executable, str(tmp_path / "program.py")]))
        assert capfd.readouterr().out.splitlines()[1:] == ["in order"]

    def test_an_interrupt_comes_too_late_for_a_command_that_ended(self, terminal):
        """There is nobody left to hand it to."""
        with pytest.raises(KeyboardInterrupt):
            terminal.run(_python("import os, signal; os.kill(os.getppid(), signal.SIGINT)"))

    def test_knows_a_command_that_starts_while_a_signal_comes(self, terminal, monkeypatch):
        """It is ended, too."""
        groups = []

        class Interrupted(subprocess.Popen):
            def __init__(self, *words, **options):
                super().__init__(*words, **options)
                groups.append(self.pid)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(subprocess, "Popen", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            terminal.run("sleep 600")
        with pytest.raises(ProcessLookupError):
            _wait_until_gone(*groups)

    def test_serves_until_the_block_fails(self, terminal, tmp_path):
        """The server is stopped before the failure goes on."""
        log = tmp_path / "log"
        program = "import os; print(os.getpid(), flush=True)" + LISTENING

        def fail():
            raise demo.StepFailed("mine")

        with pytest.raises(demo.StepFailed, match="mine"), terminal.serving(_python(program), log):
            fail()
        assert not _is_running(int(log.read_text("utf-8").splitlines()[0]))

    def test_kills_a_server_that_does_not_end(self, terminal, tmp_path, monkeypatch):
        """It was asked first."""
        monkeypatch.setattr(demo, "STOPPED_WITHIN", 0.2)
        log = tmp_path / "log"
        deaf = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True)"
        with terminal.serving(_python(deaf + LISTENING), log):
            pass
        assert not _is_running(int(log.read_text("utf-8").splitlines()[0]))

    def test_shows_why_a_server_ended(self, terminal, tmp_path):
        """The log is what says it."""
        program = "import sys; sys.exit('no weights')"
        with (
            pytest.raises(demo.StepFailed, match=r"the server ended with exit code 1:\nno weights"),
            terminal.serving(_python(program), tmp_path / "log"),
        ):
            pass

    def test_names_the_log_of_a_server_that_is_never_ready(self, terminal, tmp_path, monkeypatch):
        """It is not waited for without end."""
        monkeypatch.setattr(demo, "READY_WITHIN", 0.2)
        log = tmp_path / "log"
        with (
            pytest.raises(demo.StepFailed, match=rf"the server was not ready after 0 seconds; its log is {log}"),
            terminal.serving("sleep 600", log),
        ):
            pass


class TestMain:
    def test_failure_is_one_line_and_an_exit_code(self, monkeypatch, tmp_path, capfd):
        """What failed was shown above it, with what it said."""
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))
        code = demo.main(["--output", str(tmp_path / "output")])
        said = capfd.readouterr()
        assert (code, said.out.splitlines()[-1]) == (1, f"$ rm -rf {tmp_path / 'output'}")
        assert said.err.splitlines()[-1] == "error: the demo stopped: the command above ended with exit code 127"

    @pytest.mark.parametrize(
        ("make", "expected"),
        [
            pytest.param(lambda path: path.mkdir(), None, id="empty"),
            pytest.param(lambda path: (path / "layout").mkdir(parents=True), None, id="its-own"),
            pytest.param(lambda _: None, None, id="not-there"),
            pytest.param(
                lambda path: (path / "thesis").mkdir(parents=True),
                "OUT holds thesis, which is not the demo's, and would be emptied",
                id="somebody's",
            ),
            pytest.param(lambda path: path.touch(), "OUT cannot be emptied: Not a directory", id="a-file"),
        ],
    )
    def test_empties_no_folder_but_its_own(self, tmp_path, capsys, monkeypatch, make, expected):
        """`--output ~` does no harm."""
        output = tmp_path / "output"
        make(output)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", str(tmp_path))  # it ends at the first program that it needs
        demo.main(["--output", str(output)])
        said = capsys.readouterr()
        refused = said.err.strip().removeprefix("error: the demo stopped: ").replace(str(output), "OUT")
        assert (refused, "rm -rf" in said.out) == (
            (expected, False) if expected else ("the command above ended with exit code 127", True)
        )


class TestContents:
    def test_are_kinds_and_names(self):
        """In the order of the stream, empty documents left out."""
        manifests = "---\nkind: Service\nmetadata: {name: a}\n---\n# nothing\n---\nkind: Pod\nmetadata: {name: b}\n"
        assert demo.contents(manifests).splitlines() == ["KIND      NAME", "Service   a", "Pod       b"]


class TestFreePort:
    def test_is_another_one_where_the_usual_one_is_taken(self, monkeypatch):
        """Whatever a developer serves goes on."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            monkeypatch.setattr(demo, "USUAL_PORT", port)
            other = demo.free_port()
        assert (other == port, demo.free_port()) == (False, port)
