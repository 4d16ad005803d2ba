# ruff: noqa: INP001 - a chart's file, not a package's: it runs alone
"""Ask a served model for one token, as `helm test` does: exit 0 when it answered, 1 with a line that says why not.

Runs in the server's image as `python3 -c`: stdlib only, Python 3.9 or newer. MODEL_URL, MODEL_NAME and, where requests
need one, MODEL_API_KEY come from the environment.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request

TIMEOUT = 120.0  # seconds; the first request after a start may compile kernels
CANNOT_CHAT = (400, 404)  # what vLLM answers for a base model, which has no chat template


def main() -> str | None:
    """Look at the server's health, then ask; return what went wrong, if anything did."""
    url, name = os.environ["MODEL_URL"], os.environ["MODEL_NAME"]
    try:
        send(url + "/health")
        answer = ask(url, name)
    except (OSError, http.client.HTTPException) as error:  # URLError and HTTPError are OSErrors
        return f"{url} did not answer: {reason(error)}"
    except ValueError as error:
        return f"{url} answered what is no completion: {error}"
    print(f"{name!a} answered at {url}: {answer!a}")  # noqa: T201 - the pod's log is this program's output
    return None


def ask(url: str, name: str) -> str:
    """Return the first token of a chat, or of a plain completion where the model can't chat."""
    request = {"model": name, "max_tokens": 1}
    try:
        return token(
            send(url + "/v1/chat/completions", {**request, "messages": [{"role": "user", "content": "Hello"}]})
        )
    except urllib.error.HTTPError as error:
        if error.code not in CANNOT_CHAT:
            raise
    return token(send(url + "/v1/completions", {**request, "prompt": "Hello"}))


def send(url: str, body: object = None) -> bytes:
    """Return what `url` answers to GET, or to POST of `body` as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data)  # noqa: S310 - the chart itself writes the URL, http:// and its Service
    request.add_header("Content-Type", "application/json")
    if os.environ.get("MODEL_API_KEY"):
        request.add_header("Authorization", "Bearer " + os.environ["MODEL_API_KEY"])
    # Without proxies: the Service is in the cluster, whatever the image's environment says.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=TIMEOUT) as response:
        answer: bytes = response.read(1 << 20)
        return answer


def token(answer: bytes) -> str:
    """Return the text of an OpenAI-style completion, chat or not; raise ValueError when it is none."""
    try:
        choice = json.loads(answer)["choices"][0]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])
    except (LookupError, TypeError):
        raise ValueError(repr(answer[:200])) from None


def reason(error: Exception) -> str:
    """Return what went wrong, with the server's own words where it had some."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}: {error.read(1000)!r}"
    return repr(error)


if __name__ == "__main__":
    sys.exit(main())
