"""Options that several commands share; each decorator hands its command one keyword."""

import functools
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from kubectl_modelcar.cli.output import CLOSE_DISPLAY

VERBOSE = "kubectl_modelcar.verbose"
Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")


class Duration(click.ParamType[float]):
    """A span of time as Go writes it: 90s, 30m, 1h30m; a bare number is seconds, as kubectl has it."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, float | int):
            return float(value)
        if value.isdecimal():
            return float(value)
        if not _DURATION.fullmatch(value):
            self.fail(f"{value!r} is no duration such as 90s, 30m or 1h30m", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", value))


def registry_options(command: Command) -> Command:
    """Pass `access`, a RegistryAccess."""

    def gather(**typed: Any) -> object:
        from kubectl_modelcar.registry import RegistryAccess  # noqa: PLC0415  the SDKs load when a command runs

        return RegistryAccess(**typed)

    return _gathering(
        "access",
        gather,
        click.option(
            "--authfile", type=click.Path(dir_okay=False, path_type=Path), help="Credentials file (docker or podman)."
        ),
        click.option(
            "--ca-file", type=click.Path(dir_okay=False, path_type=Path), help="PEM file of the registry's authority."
        ),
        click.option("--plain-http", is_flag=True, help="The registry has no TLS."),
        click.option("--insecure", is_flag=True, help="Do not verify the registry's certificate."),
    )(command)


def cluster_options(command: Command) -> Command:
    """Pass `cluster`, a ClusterOptions: kubectl's global options with kubectl's meaning."""

    def gather(**typed: Any) -> object:
        from kubectl_modelcar.cluster import ClusterOptions  # noqa: PLC0415  as above

        return ClusterOptions(**typed)

    return _gathering(
        "cluster",
        gather,
        click.option("-n", "--namespace", help="Namespace of the release."),
        click.option("--context", help="Context of the kubeconfig."),
        click.option("--cluster", "cluster", help="Cluster of the kubeconfig."),
        click.option("--user", help="User of the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(), help="Path of the kubeconfig."),
        click.option("--as", "as_user", metavar="USER", help="User to impersonate."),
        click.option(
            "--as-group", "as_groups", multiple=True, metavar="GROUP", help="Group to impersonate; repeatable."
        ),
        click.option("--as-uid", metavar="UID", help="UID to impersonate."),
        click.option("--token", help="Bearer token for the API server (better in the kubeconfig: argv can be read)."),
        click.option("-s", "--server", metavar="URL", help="Address of the API server."),
        click.option("--tls-server-name", metavar="NAME", help="Name to verify the API server's certificate by."),
        click.option("--certificate-authority", type=click.Path(), help="PEM file of the API server's authority."),
        click.option("--insecure-skip-tls-verify", is_flag=True, help="Do not verify the API server's certificate."),
        click.option("--request-timeout", type=Duration(), help="Limit of one request; 0 is none."),
    )(command)


def output_option(*formats: str) -> Decorator:
    """Pass `output`, one of `formats`; the first is the default."""
    return click.option("-o", "--output", type=click.Choice(formats), default=formats[0], help="Format of the result.")


def progress_option(command: Command) -> Command:
    """Pass `progress`, a Progress that is shown on stderr while the command runs."""

    @functools.wraps(command)
    def wrapper(*, progress_mode: str, quiet: bool, color: str, verbose: bool, **rest: Any) -> object:
        from kubectl_modelcar.cli.display import open_display  # noqa: PLC0415  rich, for commands that wait

        click.get_current_context().meta[VERBOSE] = verbose  # read where errors become text
        with ExitStack() as display:
            progress = display.enter_context(open_display("none" if quiet else progress_mode, color))
            click.get_current_context().meta[CLOSE_DISPLAY] = display.close  # a result is printed below it
            return command(progress=progress, **rest)

    return _stacked(
        wrapper,
        click.option(
            "--progress",
            "progress_mode",
            type=click.Choice(("auto", "plain", "json", "none")),
            default="auto",
            help="How to show progress, on stderr.",
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress; the same as --progress none."),
        click.option(
            "--color", type=click.Choice(("auto", "always", "never")), default="auto", help="Colours on stderr."
        ),
        click.option("-v", "--verbose", is_flag=True, help="Show where an error comes from."),
    )


def _gathering(keyword: str, build: Callable[..., Any], *options: Decorator) -> Decorator:
    """Return a decorator that adds `options` and passes what `build` makes of them as `keyword`."""

    def decorate(command: Command) -> Command:
        probe = _stacked(lambda: None, *options)
        names = [option.name for option in probe.__click_params__]  # type: ignore[attr-defined]  # click's own mark

        @functools.wraps(command)
        def wrapper(**typed: Any) -> object:
            own = {name: typed.pop(name) for name in names}
            return command(**{keyword: build(**own)}, **typed)

        return _stacked(wrapper, *options)

    return decorate


def _stacked(command: Command, *options: Decorator) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def split_values(values: Sequence[str]) -> tuple[str, ...]:
    """Return the values of a repeatable option that also takes lists with commas."""
    return tuple(part for value in values for part in value.split(","))
