"""Tests of a login as docker writes it down."""

import json

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import docker_config, find_credential

ME = puller.Credential("me", "s3cr3t")


class TestDockerConfig:
    """A config.json of one entry, for a Secret."""

    @pytest.mark.parametrize("image", ["quay.io/org/m", "docker.io/org/m", "localhost:5000/m"])
    @pytest.mark.parametrize("credential", [ME, puller.Credential("<token>", "tok"), puller.Credential("ü", "a:b")])
    def test_is_found_again(self, tmp_path, image, credential):
        """What reads such files finds the login in it."""
        path = tmp_path / "config.json"
        path.write_bytes(docker_config(parse_location(image), credential))
        assert find_credential(parse_location(image), path) == credential

    def test_bytes(self):
        """Just this registry's."""
        assert json.loads(docker_config(parse_location("quay.io/m"), ME)) == {
            "auths": {"quay.io": {"auth": "bWU6czNjcjN0"}}
        }
