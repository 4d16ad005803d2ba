"""`chat`: ask a model, once or in turns."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kubectl_modelcar.cli.options import cluster_options, output_option
from kubectl_modelcar.errors import InvalidInput

if TYPE_CHECKING:
    from kubectl_modelcar.cluster import ClusterOptions
    from kubectl_modelcar.reach import ReleaseFinder

__all__ = ["command"]


def _unicode(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Refuse an argument whose bytes are no text; Python hides them in surrogates, which JSON cannot carry."""
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not UTF-8 text") from None
    return value


@click.command(name="chat")
@click.argument("name", required=False, callback=_unicode)
@click.argument("prompt", required=False, callback=_unicode)
@click.option("--url", metavar="URL", help="Ask this OpenAI-compatible server instead of a release.")
@click.option("--model", metavar="NAME", callback=_unicode, help="Model to ask, where a server has several.")
@click.option("--system", metavar="TEXT", callback=_unicode, help="System prompt.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 is the likeliest answer. [default: the server's]")
@click.option("--max-tokens", type=click.IntRange(1), help="End the answer after so many tokens.")
@click.option("--api-key-env", metavar="VARIABLE", help="Environment variable that holds the server's API key.")
@click.option("--ca-file", type=click.Path(path_type=Path), help="Trust these authorities (PEM) and no others.")
@click.option("--insecure", is_flag=True, help="Trust whoever answers.")
@click.option("--raw", is_flag=True, help="Leave control characters in the answer, if it goes to a file or a pipe.")
@output_option("text", "json")
@click.option("-v", "--verbose", is_flag=True, expose_value=False, help="Show where an error comes from.")
@cluster_options
def command(
    name: str | None,
    prompt: str | None,
    *,
    url: str | None,
    model: str | None,
    system: str | None,
    temperature: float | None,
    max_tokens: int | None,
    api_key_env: str | None,
    ca_file: Path | None,
    insecure: bool,
    raw: bool,
    output: str,
    cluster: "ClusterOptions",
) -> None:
    """Ask the model of release NAME (with --url: of that server; without both: of the only release).

    PROMPT, standard input, or both with an empty line between them are one question. Without any of them, a terminal
    gets a conversation.

    \b
    Examples:
      kubectl modelcar chat granite
      kubectl modelcar chat granite "Translate to French:" < letter.txt
      kubectl modelcar chat --url http://127.0.0.1:8000 "What is a modelcar?"
    """  # noqa: D301  \b is click's mark for "do not rewrap"
    from kubectl_modelcar.chat import ChatOptions, Client, Conversation  # noqa: PLC0415  `chat --help` needs no HTTP
    from kubectl_modelcar.cli.repl import Screen, answer, converse  # noqa: PLC0415
    from kubectl_modelcar.reach import Access, reach  # noqa: PLC0415

    if url is not None and prompt is None:
        name, prompt = None, name
    question = _question(prompt, can_converse=output != "json")
    access = Access(_from_environment(api_key_env), ca_file, insecure)
    endpoint = reach(name, url=url, model=model, access=access, connect=lambda: _release_finder(cluster))
    screen, options, conversation = Screen(raw=raw), ChatOptions(temperature, max_tokens), Conversation(system)
    if endpoint.shows_key:
        screen.note(f"warning: the API key goes to {endpoint.base_url} unencrypted")
    with Client(endpoint) as client:
        if question is None:
            converse(client, conversation, options, screen)
        else:
            answer(client, conversation.with_user(question), options, screen, as_json=output == "json")


def _question(prompt: str | None, *, can_converse: bool) -> str | None:
    """Return the question that the arguments and standard input make; None begins a conversation."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else _piped()
    parts = [part for part in (prompt, piped.strip("\n")) if part and part.strip()]
    if parts:
        return "\n\n".join(parts)
    if can_converse and prompt is None and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
        return None
    raise InvalidInput("there is no question", "give it as an argument or on standard input")


def _piped() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("standard input is not UTF-8 text", "a model reads text: convert the file first") from error


def _from_environment(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not variable.isidentifier():
        # Not repeated: it may be the key itself.
        raise InvalidInput(
            "--api-key-env was not given the name of an environment variable", "write --api-key-env MY_KEY"
        )
    try:
        return os.environ[variable]
    except KeyError:
        raise InvalidInput(
            f"the environment variable {variable}, which should hold the API key, is not set",
            f"export {variable} first",
        ) from None


def _release_finder(cluster: "ClusterOptions") -> "ReleaseFinder":
    from kubectl_modelcar.cluster import release_finder  # noqa: PLC0415  --url needs no cluster

    return release_finder(cluster)
