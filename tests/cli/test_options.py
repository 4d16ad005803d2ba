"""Tests of options that several commands share."""

from pathlib import Path

import click
import pytest

from kubectl_modelcar.cli.options import (
    VERBOSE,
    Duration,
    cluster_options,
    output_option,
    progress_option,
    registry_options,
    split_values,
)
from kubectl_modelcar.cluster import ClusterOptions
from kubectl_modelcar.progress import Silent
from kubectl_modelcar.registry import RegistryAccess


def typed(decorator, *arguments):
    """Return what a command with these options is called with."""

    @click.command()
    @decorator
    def command(**given):
        return given

    return command.main(list(arguments), standalone_mode=False)


class TestDuration:
    """Spans of time."""

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("90", 90.0),
            ("0", 0.0),
            ("90s", 90.0),
            ("30m", 1800.0),
            ("1h30m", 5400.0),
            ("1h2m3s", 3723.0),
            ("1.5h", 5400.0),
            ("250ms", 0.25),
            ("1m250ms", 60.25),
        ],
    )
    def test_good(self, text, seconds):
        """As Go writes them, or bare seconds as kubectl takes them."""
        assert typed(click.option("--timeout", type=Duration()), "--timeout", text) == {"timeout": seconds}

    @pytest.mark.parametrize(
        "text", ["", "soon", "-1s", "1 h", "h", "1d", "1h30", "1.5", "1e3s", ".5h", "1h-1m", "1us"]
    )
    def test_bad(self, text):
        """What it should look like is said."""
        with pytest.raises(click.BadParameter) as caught:
            typed(click.option("--timeout", type=Duration()), "--timeout", text)
        assert caught.value.message == f"{text!r} is no duration such as 90s, 30m or 1h30m"

    def test_default(self):
        """A number of the program's own is seconds."""
        assert typed(click.option("--timeout", type=Duration(), default=60)) == {"timeout": 60.0}


class TestRegistryOptions:
    """How a registry is reached."""

    def test_nothing(self):
        """TLS, verified, with the user's own login."""
        assert typed(registry_options) == {"access": RegistryAccess()}

    def test_everything(self):
        """Paths are not looked at yet."""
        given = ["--authfile", "a.json", "--ca-file", "ca.pem", "--plain-http", "--insecure"]
        access = RegistryAccess(Path("a.json"), Path("ca.pem"), plain_http=True, insecure=True)
        assert typed(registry_options, *given) == {"access": access}

    @pytest.mark.parametrize("option", ["--authfile", "--ca-file"])
    def test_a_folder(self, tmp_path, option):
        """Is no file."""
        with pytest.raises(click.BadParameter):
            typed(registry_options, option, str(tmp_path))


class TestClusterOptions:
    """Which cluster, and as whom."""

    def test_nothing(self):
        """The kubeconfig decides."""
        assert typed(cluster_options) == {"cluster": ClusterOptions()}

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (["-n", "models"], ClusterOptions(namespace="models")),
            (["--namespace", "models"], ClusterOptions(namespace="models")),
            (["--context", "c"], ClusterOptions(context="c")),
            (["--cluster", "c"], ClusterOptions(cluster="c")),
            (["--user", "u"], ClusterOptions(user="u")),
            (["--kubeconfig", "k"], ClusterOptions(kubeconfig="k")),
            (["--as", "u", "--as-uid", "7"], ClusterOptions(as_user="u", as_uid="7")),
            (["--as-group", "a", "--as-group", "b,c"], ClusterOptions(as_groups=("a", "b,c"))),
            (["--token", "t"], ClusterOptions(token="t")),
            (["-s", "https://a.b"], ClusterOptions(server="https://a.b")),
            (["--server", "https://a.b"], ClusterOptions(server="https://a.b")),
            (["--tls-server-name", "n"], ClusterOptions(tls_server_name="n")),
            (["--certificate-authority", "ca.pem"], ClusterOptions(certificate_authority="ca.pem")),
            (["--insecure-skip-tls-verify"], ClusterOptions(insecure_skip_tls_verify=True)),
            (["--request-timeout", "1m"], ClusterOptions(request_timeout=60.0)),
        ],
    )
    def test_each(self, given, expected):
        """With kubectl's names and meaning."""
        assert typed(cluster_options, *given) == {"cluster": expected}


class TestOutputOption:
    """The format of the result."""

    @pytest.mark.parametrize(
        ("given", "output"), [([], "text"), (["-o", "json"], "json"), (["--output", "name"], "name")]
    )
    def test_formats(self, given, output):
        """The first is the default."""
        assert typed(output_option("text", "json", "name"), *given) == {"output": output}

    def test_other(self):
        """What a command has not is refused."""
        with pytest.raises(click.BadParameter):
            typed(output_option("text", "json"), "-o", "xml")


class TestProgressOption:
    """How progress is shown."""

    @pytest.mark.parametrize("given", [["-q"], ["--progress", "none"], ["-q", "--progress", "plain"]])
    def test_quiet(self, given):
        """Nothing is shown, whatever else is said."""
        (progress,) = typed(progress_option, *given).values()
        assert type(progress) is Silent

    @pytest.mark.parametrize("given", [[], ["--progress", "plain"], ["--progress", "auto"]])
    def test_lines(self, given, capsys):
        """Off a terminal, lines on stderr."""
        (progress,) = typed(progress_option, *given).values()
        progress.warn("careful")
        assert capsys.readouterr() == ("", "warning: careful\n")

    @pytest.mark.parametrize(("given", "verbose"), [([], False), (["-v"], True), (["--verbose"], True)])
    def test_verbose(self, given, verbose):
        """Is kept for whoever turns errors into text."""
        seen = {}

        @click.command()
        @progress_option
        @click.pass_context
        def command(context, progress):
            del progress
            seen.update(context.meta)

        command.main(given, standalone_mode=False)
        assert seen[VERBOSE] is verbose


class TestTogether:
    """Options of several kinds on one command."""

    def test_each_gets_its_own(self):
        """And the command's own options stay."""

        @click.command()
        @click.argument("name")
        @registry_options
        @cluster_options
        @output_option("text")
        def command(**given):
            return given

        given = command.main(["m", "--plain-http", "-n", "models"], standalone_mode=False)
        assert given == {
            "name": "m",
            "access": RegistryAccess(plain_http=True),
            "cluster": ClusterOptions(namespace="models"),
            "output": "text",
        }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], (), id="none"),
        pytest.param(["*.json", "*.txt"], ("*.json", "*.txt"), id="repeated"),
        pytest.param(["*.json,*.txt", "a"], ("*.json", "*.txt", "a"), id="with commas"),
        pytest.param([""], ("",), id="an empty one is not swallowed"),
        pytest.param(["a,"], ("a", ""), id="nor one after a comma"),
    ],
)
def test_split_values(values, expected):
    """Lists with commas and repeated options are the same."""
    assert split_values(values) == expected
