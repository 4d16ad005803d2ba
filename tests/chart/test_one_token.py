"""The `helm test` pod, and its program against a server on loopback."""

import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.chart.rendering import CHART, as_the_kubelet_reads, environment

PROGRAM = (CHART / "files" / "one_token.py").read_text("utf-8")
CHAT = {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}
PLAIN = {"choices": [{"text": " there"}]}


@dataclass
class ModelServer:
    """A server that answers each path with a status and a body, and remembers what it was asked."""

    answers: dict[str, tuple[int, object]]
    asked: list[tuple[str, dict[str, Any] | None, str | None]] = field(default_factory=list)
    url: str = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        size = int(handler.headers.get("Content-Length", 0))
        body = json.loads(handler.rfile.read(size)) if size else None
        self.asked.append((handler.path, body, handler.headers.get("Authorization")))
        status, content = self.answers.get(handler.path, (404, {"detail": "Not Found"}))
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Serve on loopback until the test ends."""
    model = ModelServer({"/health": (200, b""), "/v1/chat/completions": (200, CHAT)})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            model.answer(self)

        def do_POST(self):
            model.answer(self)

        def log_message(self, *_arguments):
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        model.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield model
        listening.shutdown()
        thread.join()


def run(url: str, name: str = "granite", **more: str) -> tuple[int, str, str]:
    """Run the program as the pod does; return its exit code, stdout and stderr."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={"MODEL_URL": url, "MODEL_NAME": name, "http_proxy": "http://127.0.0.1:9", **more},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


class TestProgram:
    def test_asks_for_health_and_one_token(self, server):
        """It looks at /health, then chats for one token, past any proxy of the image."""
        assert run(server.url) == (0, f"'granite' answered at {server.url}: 'Hi'\n", "")
        question = {"model": "granite", "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
        assert server.asked == [("/health", None, None), ("/v1/chat/completions", question, None)]

    def test_carries_the_api_key(self, server):
        """Requests have the key as bearer token."""
        assert run(server.url, MODEL_API_KEY="s3cret")[0] == 0
        assert [key for _, _, key in server.asked] == ["Bearer s3cret"] * 2

    def test_falls_back_to_plain_completion(self, server):
        """A base model has no chat template and is asked the other way."""
        server.answers["/v1/chat/completions"] = (400, {"error": {"message": "no chat template"}})
        server.answers["/v1/completions"] = (200, PLAIN)
        assert run(server.url) == (0, f"'granite' answered at {server.url}: ' there'\n", "")
        assert server.asked[-1][1] == {"model": "granite", "max_tokens": 1, "prompt": "Hello"}

    @pytest.mark.parametrize(
        ("path", "answer", "expected"),
        [
            pytest.param("/health", (503, b""), "did not answer: HTTP 503: b''", id="ill"),
            pytest.param(
                "/v1/chat/completions",
                (401, {"error": "Unauthorized"}),
                """did not answer: HTTP 401: b'{"error": "Unauthorized"}'""",
                id="wrong key",
            ),
            pytest.param(
                "/v1/chat/completions",
                (200, {"object": "list"}),
                "answered what is no completion: ",
                id="not a completion",
            ),
            pytest.param("/v1/chat/completions", (200, b"\x1b[2J"), "answered what is no completion: ", id="no JSON"),
            pytest.param(
                "/v1/chat/completions", (200, {"choices": []}), "answered what is no completion: ", id="no choice"
            ),
        ],
    )
    def test_says_what_went_wrong(self, server, path, answer, expected):
        """One line, without anything that a terminal would obey."""
        server.answers[path] = answer
        code, out, err = run(server.url)
        assert (code, out) == (1, "")
        assert err.startswith(f"{server.url} {expected}")
        assert err.count("\n") == 1
        assert "\x1b" not in err

    def test_no_http(self):
        """A server that speaks something else is one line too."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"

            def answer() -> None:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"220 mail.example.com ESMTP\r\n")

            thread = threading.Thread(target=answer)
            thread.start()
            code, out, err = run(url)
            thread.join()
        assert (code, out) == (1, "")
        assert err == f"{url} did not answer: BadStatusLine('220 mail.example.com ESMTP\\r\\n')\n"

    def test_nobody_there(self):
        """A server that does not listen is one line too."""
        code, out, err = run("http://127.0.0.1:1")
        assert (code, out) == (1, "")
        assert err.startswith("http://127.0.0.1:1 did not answer: ")
        assert err.count("\n") == 1


@pytest.mark.real
class TestPod:
    def test_runs_the_program(self, default):
        """The pod runs the file as it is in the chart."""
        assert default.test()["command"] == ["python3", "-c"]
        assert [as_the_kubelet_reads(one) for one in default.test()["args"]] == [PROGRAM]

    def test_asks_the_service(self, render):
        """It asks through the Service, by the name that requests use."""
        rendered = render(service={"port": 80}, model={"servedName": "g"})
        assert environment(rendered.test()) == {"MODEL_URL": "http://granite-modelcar:80", "MODEL_NAME": "g"}

    def test_is_a_test_hook(self, default):
        """Helm runs it on `helm test`, keeps it for its log, and replaces it at the next run."""
        expected = {"helm.sh/hook": "test", "helm.sh/hook-delete-policy": "before-hook-creation"}
        assert expected == default.one("Pod")["metadata"]["annotations"]

    def test_ends(self, default):
        """It runs once and not for ever."""
        spec = default.one("Pod")["spec"]
        assert [spec["restartPolicy"], spec["activeDeadlineSeconds"]] == ["Never", 300]

    def test_asks_for_no_gpu(self, render):
        """It may run where the GPUs are, and takes none."""
        rendered = render(accelerator={"count": 4})
        assert "nvidia.com/gpu" not in rendered.test()["resources"]["limits"]
        assert rendered.one("Pod")["spec"]["tolerations"] == rendered.pod()["tolerations"]
