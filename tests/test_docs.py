"""The documents say what the program does: their commands parse, their lists are complete, generated ones are fresh."""

import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from kubectl_modelcar import __version__
from kubectl_modelcar.cli import root
from kubectl_modelcar.errors import ModelcarError

CHECKOUT = Path(__file__).resolve().parents[1]
GENERATED = CHECKOUT / "docs" / "cli.md"  # its usage lines are grammar and not examples
DOCUMENTS = sorted({*CHECKOUT.glob("*.md"), *CHECKOUT.glob("[a-z]*/*.md")} - {GENERATED})
COMMANDS = root.list_commands(click.Context(root))
PLUGIN = re.compile(r"(?:(?:kubectl|oc) |kubectl-|oc-)modelcar(?= |$)")


def command_lines(text: str) -> list[str]:
    """Return the lines of code blocks that call this plugin, continuation lines joined."""
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    lines = [line.strip().removeprefix("$ ") for line in blocks.replace("\\\n", " ").splitlines()]
    return [line for line in lines if PLUGIN.match(line)]


def help_lines(name: str) -> list[str]:
    """Return the examples in a command's help."""
    command = root.get_command(click.Context(root), name)
    _, _, examples = inspect.cleandoc(command.help or "").partition("Examples:\n")
    return [line.strip() for line in examples.splitlines() if line.startswith("  ")]


def arguments(line: str) -> list[str]:
    """Return the plugin's own arguments in a line of shell: without redirections, pipes and comments."""
    lexer = shlex.shlex(line[PLUGIN.search(line).end() :], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if re.fullmatch(r"[|&;<>()]+", word):
            break
        words.append(word)
    return words


def parse(words: list[str]) -> None:
    """Let the real command parse its arguments, and not run. Raises click's errors."""
    context = click.Context(root, info_name="kubectl modelcar", **root.context_settings)
    name, command, rest = root.resolve_command(context, list(words))
    command.make_context(name, rest, parent=context)


def load(path: Path):
    """Import a script that is no package's."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


EXAMPLES = [
    pytest.param(line, id=f"{path.relative_to(CHECKOUT)}: {line}")
    for path in DOCUMENTS
    for line in command_lines(path.read_text("utf-8"))
]


class TestExamples:
    @pytest.mark.parametrize("line", EXAMPLES)
    def test_parse(self, line):
        """A command in a document is one that the program takes."""
        parse(arguments(line))

    def test_are_found(self):
        """The scan sees the README's quick start, so its silence means something."""
        found = command_lines((CHECKOUT / "README.md").read_text("utf-8"))
        assert found[:2] == [
            "kubectl modelcar push ibm-granite/granite-3.1-2b-instruct quay.io/example/granite:3.1",
            "kubectl modelcar install granite quay.io/example/granite:3.1 --gpus 1",
        ]

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            pytest.param("kubectl modelcar version  # why", ["version"], id="comment"),
            pytest.param("oc modelcar chat g 'a b' < x | cat", ["chat", "g", "a b"], id="redirection"),
            pytest.param("kubectl-modelcar push ./a oci:b:c", ["push", "./a", "oci:b:c"], id="own-name"),
            pytest.param("kubectl modelcar inspect a:1@sha256:0 && x", ["inspect", "a:1@sha256:0"], id="list"),
        ],
    )
    def test_are_read_as_a_shell_does(self, line, expected):
        """Only the plugin's own words are parsed."""
        assert (command_lines(f"```sh\n{line}\n```\n"), arguments(line)) == ([line], expected)

    @pytest.mark.parametrize(
        "words",
        [
            pytest.param(["deploy", "x"], id="unknown-command"),
            pytest.param(["push", "./x"], id="missing-argument"),
            pytest.param(["push", "./x", "oci:y", "--nope"], id="unknown-option"),
            pytest.param(["push", "./x", "oci:y", "--jobs", "many"], id="bad-value"),
        ],
    )
    def test_that_are_wrong_do_not_parse(self, words):
        """What the program would refuse is refused here."""
        with pytest.raises(click.UsageError):
            parse(words)


class TestReadme:
    def test_lists_every_command(self):
        """In the program's order, and no other."""
        text = (CHECKOUT / "README.md").read_text("utf-8")
        listed = re.findall(r"^\| `([a-z]+)[^|`]*` \|", text, re.MULTILINE)
        assert listed == COMMANDS

    def test_lists_every_exit_code(self):
        """Those of the errors, and those that need none."""
        text = (CHECKOUT / "README.md").read_text("utf-8")
        listed = [int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
        kinds = {ModelcarError, *ModelcarError.__subclasses__()}
        assert listed == sorted({0, 130, 141, *(kind.exit_code for kind in kinds)})


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_is_there_for_command_and_options(self, name):
        """Nothing has to be guessed from a name."""
        command = root.get_command(click.Context(root), name)
        silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help and not p.hidden]
        assert (bool(command.help), silent) == (True, [])

    @pytest.mark.parametrize("name", [name for name in COMMANDS if name != "version"])
    def test_has_examples_that_parse(self, name):
        """Two or three, of this command, on lines that a terminal of 80 columns holds."""
        lines = help_lines(name)
        for line in lines:
            parse(arguments(line))
        assert (len(lines) in (2, 3), {arguments(line)[0] for line in lines}) == (True, {name})
        assert [line for line in lines if len(line) + len("    ") > 80] == []


class TestDemo:
    def test_ends_with_commands_that_parse(self):
        """What to do next works, too."""
        script = load(CHECKOUT / "docs" / "demo.py")
        lines = script.NEXT.format(output="x", pulled="./x/y", question="'Who?'").splitlines()
        words = [arguments(line) for line in lines if PLUGIN.search(line)]
        assert [word[0] for word in words] == ["push", "install", "chat"]
        for word in words:
            parse(word)


class TestLinks:
    @pytest.mark.parametrize("path", [*DOCUMENTS, GENERATED], ids=lambda path: str(path.relative_to(CHECKOUT)))
    def test_lead_somewhere(self, path):
        """A relative link names a file that is there."""
        targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text("utf-8"))
        assert [target for target in targets if not (path.parent / target).exists()] == []

    @pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
    def test_targets_of_make_exist(self, path):
        """`make X` in a document is a target of the Makefile."""
        targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE))
        named = set(re.findall(r"`make ([a-z-]+)`", path.read_text("utf-8")))
        assert named - targets == set()


class TestReference:
    script = load(CHECKOUT / "docs" / "cli_reference.py")

    def test_is_up_to_date(self, capsys):
        """docs/cli.md is what the commands say."""
        code = self.script.main(["--check"])
        assert (code, capsys.readouterr().err) == (0, "")

    def test_drift_is_seen_and_mended(self, tmp_path, capsys):
        """A changed option fails the check until the document is written again."""
        document = tmp_path / "cli.md"
        document.write_text(GENERATED.read_text("utf-8").replace("`--jobs ", "`--threads "), "utf-8")
        codes = [self.script.main([*flags, "--output", str(document)]) for flags in (["--check"], [], ["--check"])]
        assert (codes, capsys.readouterr().err) == ([1, 0, 0], f"{document} is out of date; run: make docs\n")

    def test_has_every_command_and_option(self):
        """Options are in tables, one a row; no bar ends a cell early."""
        text = GENERATED.read_text("utf-8")
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert (re.findall(r"^## (\w+)$", text, re.MULTILINE), {len(re.split(r"(?<!\\)\|", row)) for row in rows}) == (
            COMMANDS,
            {4},
        )


class TestChangelog:
    def test_has_unreleased_changes_or_this_version(self):
        """Its newest section is what the next release, or this one, brings."""
        text = (CHECKOUT / "CHANGELOG.md").read_text("utf-8")
        newest = re.search(r"^## \[([^]]+)\]", text, re.MULTILINE)
        assert newest[1] in ("Unreleased", __version__)
