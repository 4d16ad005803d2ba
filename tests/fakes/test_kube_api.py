"""Tests of the fake API server: what other tests believe about it."""

import json
import urllib.error
import urllib.request

import pytest

from tests.fakes.kube_api import FakeKubeApi, Fault

SECRETS = "/api/v1/namespaces/models/secrets"


@pytest.fixture
def api():
    with FakeKubeApi() as server:
        yield server


def ask(api, method, path, body=None, headers=None):
    """Return status and body of an answer, whatever its status."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(api.url + path, data, headers or {}, method=method)  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310  loopback
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def secret(name, **labels):
    return {"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


class TestObjects:
    """Making, reading, changing, deleting."""

    def test_life_of_an_object(self, api):
        """It is there from POST to DELETE."""
        steps = [
            ask(api, "GET", f"{SECRETS}/x")[0],
            ask(api, "POST", SECRETS, secret("x"))[0],
            ask(api, "POST", SECRETS, secret("x"))[0],
            ask(api, "PATCH", f"{SECRETS}/x", {"data": {"a": None, "b": "2"}})[0],
            json.loads(ask(api, "GET", f"{SECRETS}/x")[1])["data"],
            ask(api, "DELETE", f"{SECRETS}/x")[0],
            ask(api, "DELETE", f"{SECRETS}/x")[0],
        ]
        assert steps == [404, 201, 409, 200, {"b": "2"}, 200, 404]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", ["x", "y"]),
            ("?labelSelector=app%3Done", ["x"]),
            ("?labelSelector=app%3Dtwo%2Cz%3D1", []),
            ("?fieldSelector=metadata.name%3Dy", ["y"]),
        ],
    )
    def test_selectors(self, api, query, expected):
        """Label and field selectors select."""
        api.add("secrets", secret("x", app="one"))
        api.add("secrets", secret("y", app="two"))
        items = json.loads(ask(api, "GET", SECRETS + query)[1])["items"]
        assert [item["metadata"]["name"] for item in items] == expected


class TestRefusals:
    """What it says no to."""

    @pytest.mark.parametrize(
        ("setup", "question", "expected"),
        [
            pytest.param({"token": "t"}, ("GET", SECRETS), (401, "Unauthorized"), id="no token"),
            pytest.param(
                {"forbidden": {("list", "secrets")}},
                ("GET", SECRETS),
                (403, 'cannot list resource "secrets"'),
                id="rbac",
            ),
            pytest.param(
                {"namespaces": {}},
                ("POST", SECRETS, secret("x")),
                (404, 'namespaces "models" not found'),
                id="no such namespace",
            ),
            pytest.param(
                {"namespaces": {"models": "Terminating"}},
                ("POST", SECRETS, secret("x")),
                (403, "because it is being terminated"),
                id="terminating",
            ),
            pytest.param({}, ("GET", "/apis/route.openshift.io/v1"), (404, "page not found"), id="no such api"),
            pytest.param(
                {},
                ("GET", "/apis/route.openshift.io/v1/namespaces/models/routes"),
                (403, 'cannot list resource "routes"'),
                id="no role knows an api that is not there",
            ),
            pytest.param({}, ("GET", "/version/x"), (501, "the fake knows no GET"), id="unknown"),
            pytest.param({"faults": [Fault("secrets", 500)]}, ("GET", SECRETS), (500, "{}"), id="fault"),
        ],
    )
    def test_status_and_text(self, setup, question, expected):
        """The status and Kubernetes' own words."""
        with FakeKubeApi(**setup) as api:
            status, answer = ask(api, *question)
        assert (status, expected[1] in answer.decode().replace('\\"', '"')) == (expected[0], True)

    def test_a_fault_passes(self, api):
        """A fault is over after its times."""
        api.faults.append(Fault("secrets", 500, times=2))
        assert [ask(api, "GET", SECRETS)[0] for _ in range(3)] == [500, 500, 200]


class TestMore:
    """Logs, the service proxy, the log of requests."""

    def test_log_lines(self, api):
        """The last lines of the right container."""
        api.logs["p", "server"] = "1\n2\n3\n"
        path = "/api/v1/namespaces/models/pods/p/log?container=server&tailLines=2"
        assert [ask(api, "GET", path), ask(api, "GET", path.replace("server", "other"))[0]] == [(200, b"2\n3"), 400]

    def test_service_proxy(self, api):
        """The answer that a test put there."""
        api.proxied["http:s:http/v1/models"] = b"models"
        assert ask(api, "GET", "/api/v1/namespaces/models/services/http:s:http/proxy/v1/models") == (200, b"models")

    def test_requests_are_remembered(self, api):
        """Method, path, headers and body."""
        ask(api, "POST", SECRETS, secret("x"), {"Impersonate-User": "me"})
        request = api.requests[-1]
        assert (request.method, request.path, request.headers["impersonate-user"], request.body["data"]) == (
            "POST",
            SECRETS,
            "me",
            {"a": "1"},
        )
