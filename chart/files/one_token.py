"""Ask a served model for one token, as `helm test` does: exit 0 when it answered, 1 with a line that says why not.

Runs in the server's image as `python3 -c`: stdlib only, Python 3.9 or newer. MODEL_URL, MODEL_NAME and, where requests
need one, MODEL_API_KEY come from the environment.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request

# A base model has no chat template and answers the first path with 400; not every server has the second one.
QUESTIONS = (
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
    ("/v1/completions", {"prompt": "Hello"}),
)
TIMEOUT = 120.0  # seconds; the first request after a start may compile kernels


def main() -> str | None:
    """Look at the server's health, then ask; return what went wrong, if anything did."""
    url, name = os.environ["MODEL_URL"], os.environ["MODEL_NAME"]
    try:
        send(url + "/health")
        answer = ask(url, name)
    except OSError as error:  # URLError and HTTPError are OSErrors
        return f"{url} did not answer: {reason(error)}"
    except ValueError as error:
        return f"{url} answered what is no completion: {error}"
    print(f"{name!a} answered at {url}: {answer!a}")  # noqa: T201 - the pod's log is this program's output
    return None


def ask(url: str, name: str) -> str:
    """Return the token that the first path which knows the model answers with."""
    for path, question in QUESTIONS[:-1]:
        try:
            return token(send(url + path, {"model": name, "max_tokens": 1, **question}))
        except urllib.error.HTTPError as error:
            if error.code not in (400, 404):
                raise
    path, question = QUESTIONS[-1]
    return token(send(url + path, {"model": name, "max_tokens": 1, **question}))


def send(url: str, body: object = None) -> bytes:
    """Return what `url` answers to GET, or to POST of `body` as JSON."""
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if os.environ.get("MODEL_API_KEY"):
        request.add_header("Authorization", "Bearer " + os.environ["MODEL_API_KEY"])
    # Without proxies: the Service is in the cluster, whatever the image's environment says.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT) as response:
        return response.read(1 << 20)


def token(answer: bytes) -> str:
    """Return the text of an OpenAI-style completion, chat or not; raise ValueError when it is none."""
    try:
        choice = json.loads(answer)["choices"][0]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])
    except (LookupError, TypeError):
        raise ValueError(repr(answer[:200])) from None


def reason(error: OSError) -> str:
    """Return what went wrong, with the server's own words where it had some."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}: {error.read(1000)!r}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
