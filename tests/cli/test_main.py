"""Tests of the command line's edge: help, names, what is imported, errors, broken pipes, ^C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kubectl_modelcar.cli.commands import COMMANDS
from tests.conftest import Invoked
from tests.fakes.registry import Fault
from tests.real.models import sparse_weights

IMPORTED = """
import sys
before = set(sys.modules)
import atexit, json
from kubectl_modelcar.cli import main
@atexit.register
def report():
    new = {name for name in sys.modules if name not in before}
    ours = sorted(name for name in new if name.startswith("kubectl_modelcar."))
    others = sorted({name.partition(".")[0] for name in new} - sys.stdlib_module_names)
    print(json.dumps({"ours": ours, "others": others}), file=sys.stderr)
main()
"""


class TestHelp:
    def test_lists_the_commands(self, invoke):
        """In the order of a user's way, each with a line."""
        done = invoke("--help")
        listed = done.out.partition("Commands:\n")[2].splitlines()
        assert [line.split(maxsplit=1) for line in listed] == [[name, text] for name, text in COMMANDS.items()]
        assert (done.code, done.err) == (0, "")

    @pytest.mark.parametrize("arguments", [(), ("-h",)], ids=["nothing", "-h"])
    def test_is_shown(self, invoke, arguments):
        """When it is asked for in short, and when nothing is."""
        assert invoke(*arguments) == invoke("--help")

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_a_command(self, invoke, command):
        """Begins with its name."""
        done = invoke(command, "--help")
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"Usage: kubectl modelcar {command} ")

    def test_under_another_name(self, invoke, monkeypatch):
        """Speaks of that one, in hints too."""
        monkeypatch.setenv("KUBECTL_PATH", "/usr/bin/oc")
        assert invoke("--help").out.startswith("Usage: oc modelcar ")
        assert invoke("push") == Invoked(
            2, "", "error: Missing argument 'SOURCE'.\nhint: oc modelcar push --help shows what it takes\n"
        )


class TestImports:
    """Help, completion and version answer at once: they load click and nothing else."""

    @pytest.fixture
    def imported(self):
        """Give a function that runs the command line and returns what it imported."""

        def imported(*arguments, **environment):
            done = subprocess.run(
                [sys.executable, "-c", IMPORTED, *arguments],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
                env={**os.environ, **environment},
            )
            assert done.stdout
            return json.loads(done.stderr.splitlines()[-1])

        return imported

    @pytest.mark.parametrize(
        ("arguments", "environment"),
        [
            pytest.param(("--help",), {}, id="help"),
            pytest.param((), {}, id="nothing"),
            pytest.param(("version",), {}, id="version"),
            pytest.param(("completion", "bash"), {}, id="completion"),
            pytest.param(
                (),
                {"_KUBECTL_MODELCAR_COMPLETE": "bash_complete", "COMP_WORDS": "kubectl-modelcar pu", "COMP_CWORD": "1"},
                id="completing",
            ),
        ],
    )
    def test_click_alone(self, imported, arguments, environment):
        """No SDK, no rich, no YAML; and of our own rooms only the command line."""
        found = imported(*arguments, **environment)
        assert found["others"] == ["click", "kubectl_modelcar"]
        floor = {"kubectl_modelcar.errors", "kubectl_modelcar.text"}
        assert [name for name in found["ours"] if ".cli" not in name and name not in floor] == []

    def test_help_of_a_command(self, imported):
        """Loads no SDK either."""
        found = imported("push", "--help")
        assert {"oras", "requests", "huggingface_hub", "kubernetes", "httpx"} & set(found["others"]) == set()


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "error", "hint"),
        [
            pytest.param(
                ("frobnicate",),
                "No such command 'frobnicate'.",
                "kubectl modelcar --help shows what it takes",
                id="command",
            ),
            pytest.param(
                ("inspect", "--frob", "x"),
                "No such option '--frob'.",
                "kubectl modelcar inspect --help shows what it takes",
                id="option",
            ),
            pytest.param(
                ("pull", "x/y"),
                "Missing argument 'FOLDER'.",
                "kubectl modelcar pull --help shows what it takes",
                id="argument",
            ),
            pytest.param(
                ("inspect", "a", "b"),
                "Got unexpected extra argument (b)",
                "kubectl modelcar inspect --help shows what it takes",
                id="extra argument",
            ),
        ],
    )
    def test_usage(self, refused, arguments, error, hint):
        """Exit code 2, and which help to read."""
        assert refused(*arguments) == (2, error, hint)

    def test_traceback(self, invoke):
        """Is shown to who asks for it, before the same two lines."""
        plain, verbose = invoke("inspect", "oci:nothing"), invoke("inspect", "oci:nothing", "-v")
        assert "Traceback" not in plain.err
        assert verbose.err.startswith("Traceback (most recent call last):\n")
        assert verbose.err.endswith(plain.err)
        assert (plain.code, verbose.code, verbose.out) == (4, 4, "")

    def test_bug(self, invoke, monkeypatch):
        """Exit code 1: what nobody expected is said to be one, without a traceback."""

        def broken(*_):
            raise ZeroDivisionError("by\x1b[31m zero")

        monkeypatch.setattr("kubectl_modelcar.cli.inspect.parse_location", broken)
        assert invoke("inspect", "x") == Invoked(
            1,
            "",
            "error: this is a bug: ZeroDivisionError: by\\x1b[31m zero\n"
            "hint: kubectl modelcar ... -v shows where; please report it\n",
        )
        assert "Traceback" in invoke("inspect", "x", "-v").err

    def test_interrupted_before_it_began(self, invoke, monkeypatch):
        """Exit code 130."""

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("kubectl_modelcar.cli.inspect.parse_location", interrupted)
        assert invoke("inspect", "x") == Invoked(130, "", "interrupted\n")


class TestStdout:
    @pytest.mark.parametrize(
        "arguments", [("--help",), ("version",), ("version", "-o", "json"), ("completion", "bash")], ids=" ".join
    )
    def test_reader_who_left(self, arguments):
        """Exit code 141, as a program that the signal ended; not a word."""
        read, write = os.pipe()
        os.close(read)
        done = _run(*arguments, stdout=write)
        os.close(write)
        assert done == (141, b"")

    def test_full_disk(self):
        """Exit code 7: the file that stdout is could not be written."""
        with Path("/dev/full").open("wb") as full:
            code, said = _run("version", stdout=full)
        assert code == 7
        assert said.startswith(b"error: the result cannot be written to stdout: No space left on device\nhint: ")


def _run(*arguments, stdout):
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_modelcar", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stderr


SOON = 5.0  # seconds; what a user who pressed ^C will wait, on a machine that does something else too


@pytest.mark.usefixtures("here")
class TestInterrupt:
    """^C while a registry says nothing."""

    @pytest.fixture
    def interrupt(self, registry):
        """Give a function that runs a command, presses ^C when a request came that stalls, and returns the end."""

        def interrupt(fault, *arguments):
            registry.faults.append(fault)
            process = subprocess.Popen(
                [sys.executable, "-m", "kubectl_modelcar", *map(str, arguments), "--plain-http", "-q"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            _until(lambda: fault.times == 0)
            time.sleep(0.3)  # so that the answer's head is there and its body is waited for
            process.send_signal(signal.SIGINT)
            pressed = time.monotonic()
            out, err = process.communicate(timeout=60)
            assert time.monotonic() - pressed < SOON
            return Invoked(process.returncode, out, err)

        return interrupt

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(Fault(method="POST", extra=b"x", stall_after=0), id="when it is asked for the first time"),
            pytest.param(Fault(method="PATCH|PUT", path="uploads", extra=b"x", stall_after=0), id="after a layer"),
            pytest.param(Fault(method="PUT", path="manifests", extra=b"x", stall_after=0), id="after the manifest"),
        ],
    )
    def test_push(self, interrupt, registry, fault, here):
        """Ends it soon: exit code 130, one word, no traceback."""
        sparse_weights(here / "model" / "model-00001-of-00002.safetensors", 64 << 20)
        done = interrupt(fault, "push", "./model", f"{registry.host}/org/m:1", "--base", "none")
        assert done == Invoked(130, "", "interrupted\n")

    def test_pull(self, interrupt, registry, invoke):
        """Too."""
        assert invoke("push", "./model", f"{registry.host}/org/m:1", "--plain-http", "-q").code == 0
        stalling = Fault(method="GET", path="/blobs/", stall_after=1000)
        done = interrupt(stalling, "pull", f"{registry.host}/org/m:1", "pulled")
        assert done == Invoked(130, "", "interrupted\n")
        assert [path for path in Path("pulled").iterdir() if not path.name.startswith(".")] == []


def _until(holds):
    ends = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < ends, "the command did not come as far as it should"
        time.sleep(0.02)
