"""How requests find the server."""

import pytest

pytestmark = pytest.mark.real


class TestService:
    def test_default(self, default):
        """The Service has one named port and selects by name and release."""
        expected = {
            "type": "ClusterIP",
            "selector": {"app.kubernetes.io/name": "modelcar", "app.kubernetes.io/instance": "granite"},
            "ports": [{"name": "http", "port": 8000, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
        }
        assert expected == default.one("Service")["spec"]

    def test_values(self, render):
        """Port and annotations are passed on."""
        service = render(service={"port": 80, "annotations": {"mine": "x"}}).one("Service")
        assert service["spec"]["ports"][0]["port"] == 80
        assert service["metadata"]["annotations"] == {"mine": "x"}

    def test_does_not_select_the_test_pod(self, default):
        """The `helm test` pod never gets requests."""
        selector = default.one("Service")["spec"]["selector"].items()
        assert not selector <= default.one("Pod")["metadata"]["labels"].items()


class TestRoute:
    def test_default(self, render):
        """A Route is HTTPS, of /v1 alone, to the Service's named port."""
        route = render(route={"enabled": True}).one("Route")
        expected = {
            "path": "/v1",
            "to": {"kind": "Service", "name": "granite-modelcar", "weight": 100},
            "port": {"targetPort": "http"},
            "tls": {"termination": "edge", "insecureEdgeTerminationPolicy": "Redirect"},
            "wildcardPolicy": "None",
        }
        assert expected == route["spec"]
        assert route["metadata"]["annotations"] == {"haproxy.router.openshift.io/timeout": "10m"}

    def test_values(self, render):
        """Host, path, policy and annotations are passed on."""
        route = render(
            route={
                "enabled": True,
                "host": "granite.example.com",
                "path": "/v1/chat",
                "timeout": "1h",
                "annotations": {"mine": "x"},
                "tls": {"insecureEdgeTerminationPolicy": "None"},
            }
        ).one("Route")
        assert [route["spec"][key] for key in ("host", "path")] == ["granite.example.com", "/v1/chat"]
        assert route["spec"]["tls"]["insecureEdgeTerminationPolicy"] == "None"
        assert route["metadata"]["annotations"] == {"haproxy.router.openshift.io/timeout": "1h", "mine": "x"}

    def test_annotations_win(self, render):
        """An annotation of the user's replaces the timeout."""
        timeout = "haproxy.router.openshift.io/timeout"
        route = render(route={"enabled": True, "annotations": {timeout: "5s"}}).one("Route")
        assert route["metadata"]["annotations"] == {timeout: "5s"}

    def test_does_not_depend_on_the_cluster(self, render):
        """Only the value decides, so that a rendering without a cluster says the same."""
        flags = ("--api-versions", "route.openshift.io/v1/Route")
        assert "Route" not in render({}, *flags).kinds()
        assert "Route" in render({"route": {"enabled": True}}).kinds()
