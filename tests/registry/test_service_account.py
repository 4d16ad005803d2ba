"""Tests of what a pod is to the cluster's own registry."""

import base64
import json

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import credentials, find_credential

INTERNAL = "image-registry.openshift-image-registry.svc:5000"


def find(image, authfile=None):
    return find_credential(parse_location(image), authfile)


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """Give this process what a pod has; return the token's file."""
    path = tmp_path / "token"
    path.write_text("t0ken\n")
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", path)
    return path


@pytest.fixture
def logged_in(sealed):
    """Log in to a registry as somebody."""

    def write(host):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(b"me:s3cr3t").decode()}}}))
        return path

    return write


@pytest.mark.usefixtures("pod")
class TestPod:
    """A process that runs in a pod."""

    @pytest.mark.parametrize(
        "host",
        [
            INTERNAL,
            "image-registry.openshift-image-registry.svc",
            "image-registry.openshift-image-registry.svc.cluster.local",
            "image-registry.openshift-image-registry.svc.cluster.local:5000",
        ],
    )
    def test_internal_registry(self, host):
        """The token is the password, with any name."""
        assert find(f"{host}/me/m") == puller.Credential("serviceaccount", "t0ken")

    @pytest.mark.parametrize(
        "host",
        [
            "quay.io",
            "image-registry.openshift-image-registry.svc:5001",
            "image-registry.openshift-image-registry.svc.example",
            "evil-image-registry.openshift-image-registry.svc:5000",
            "image-registry.other.svc:5000",
            "image-registryxopenshift-image-registry.svc:5000",
        ],
    )
    def test_other_registries(self, host):
        """Never see it, however much they look like it."""
        assert find(f"{host}/me/m") is None

    def test_login_of_a_file(self, logged_in):
        """Wins: somebody wanted it."""
        logged_in(INTERNAL)
        assert find(f"{INTERNAL}/me/m") == puller.Credential("me", "s3cr3t")

    def test_authfile(self, logged_in):
        """Is the only place then, though it knows nobody."""
        assert find(f"{INTERNAL}/me/m", logged_in("quay.io")) is None

    def test_empty_token(self, pod):
        """Is none."""
        pod.write_text("\n")
        assert find(f"{INTERNAL}/me/m") is None


def test_elsewhere(tmp_path, monkeypatch):
    """A machine that is no pod has none."""
    monkeypatch.setattr(credentials, "_SERVICE_ACCOUNT", tmp_path / "nothing")
    assert find(f"{INTERNAL}/me/m") is None
