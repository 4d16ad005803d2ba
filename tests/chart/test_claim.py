"""Where the model is kept."""

import pytest

pytestmark = pytest.mark.real


class TestClaim:
    def test_default(self, default):
        """The claim has the size and mode of the values and leaves the class to the cluster."""
        expected = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "40Gi"}}}
        assert expected == default.one("PersistentVolumeClaim")["spec"]

    def test_values(self, render):
        """Size, class and modes are passed on."""
        rendered = render(storage={"size": "1Ti", "storageClass": "fast", "accessModes": ["ReadWriteMany"]})
        expected = {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "1Ti"}},
        }
        assert expected == rendered.one("PersistentVolumeClaim")["spec"]

    def test_is_kept(self, default):
        """Uninstalling leaves the model where it is."""
        assert default.one("PersistentVolumeClaim")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}

    def test_can_go_with_the_release(self, render):
        """Without `keep` nothing holds the claim back."""
        assert "annotations" not in render(storage={"keep": False}).one("PersistentVolumeClaim")["metadata"]

    def test_annotations(self, render):
        """The user's annotations stand beside the policy."""
        metadata = render(storage={"annotations": {"mine": "x"}}).one("PersistentVolumeClaim")["metadata"]
        assert metadata["annotations"] == {"mine": "x", "helm.sh/resource-policy": "keep"}

    def test_existing(self, render):
        """An existing claim is used and none is made."""
        rendered = render(storage={"existingClaim": "shared"})
        assert "PersistentVolumeClaim" not in rendered.kinds()
        assert rendered.volume("models")["persistentVolumeClaim"] == {"claimName": "shared"}

    def test_is_the_one_that_pods_mount(self, default):
        """The pods mount the claim that the chart makes."""
        name = default.one("PersistentVolumeClaim")["metadata"]["name"]
        assert default.volume("models")["persistentVolumeClaim"] == {"claimName": name}
