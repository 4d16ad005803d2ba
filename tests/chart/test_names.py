"""Names of objects, up to Kubernetes' limits."""

import pytest

pytestmark = pytest.mark.real

LONG = "a" * 53  # helm's own limit for a release
FULL = "b" * 63


def names(rendered):
    """Return every object's name by its kind."""
    return {one["kind"]: one["metadata"]["name"] for one in rendered.objects}


class TestFullname:
    @pytest.mark.parametrize(
        ("release", "values", "expected"),
        [
            pytest.param("granite", {}, "granite-modelcar", id="release and chart"),
            pytest.param("my-modelcar", {}, "my-modelcar", id="release that says it already"),
            pytest.param("granite", {"nameOverride": "llm"}, "granite-llm", id="name"),
            pytest.param("granite", {"fullnameOverride": "g"}, "g", id="full name"),
            pytest.param(LONG, {}, f"{LONG}-modelcar", id="longest release"),
            pytest.param(LONG, {"nameOverride": "n" * 63}, f"{LONG}-{'n' * 9}", id="longest release and name"),
            pytest.param(LONG, {"nameOverride": "nnnnnnnn-n"}, f"{LONG}-nnnnnnnn", id="cut at a dash"),
            pytest.param("granite", {"fullnameOverride": FULL}, FULL, id="longest full name"),
        ],
    )
    def test_is_a_name_that_a_service_may_have(self, render, release, values, expected):
        """All objects take the name, cut to 63 characters, and no two of a kind share one."""
        found = names(render({**values, "route": {"enabled": True}}, release=release))
        assert {
            "ConfigMap": f"{expected}-puller",
            "Deployment": expected,
            "PersistentVolumeClaim": f"{expected}-models",
            "Pod": f"{expected}-test",
            "Route": expected,
            "Service": expected,
        } == found
        assert len(found["Service"]) <= 63

    @pytest.mark.parametrize("name", ["modelcar", "n" * 63])
    def test_labels_are_labels(self, render, name):
        """No label's value is longer than a label may be."""
        rendered = render({"nameOverride": name}, release=LONG)
        values = [value for one in rendered.objects for value in one["metadata"]["labels"].values()]
        assert [value for value in values if len(value) > 63] == []

    def test_test_pod_is_told_apart_at_the_limit(self, render):
        """Even the longest name leaves the test pod's label another one."""
        rendered = render({"nameOverride": "n" * 63})
        label = "app.kubernetes.io/name"
        assert rendered.one("Service")["spec"]["selector"][label] != rendered.one("Pod")["metadata"]["labels"][label]
