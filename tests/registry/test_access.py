"""Tests of how a registry is reached."""

import ssl

import pytest
import trustme

from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import RegistryAccess
from kubectl_modelcar.registry.access import repository_path


@pytest.mark.parametrize(
    ("image", "origin", "repository"),
    [
        pytest.param("quay.io/me/m", "https://quay.io", "me/m", id="host"),
        pytest.param("localhost:5000/m", "https://localhost:5000", "m", id="port"),
        pytest.param("docker.io/me/m", "https://registry-1.docker.io", "me/m", id="Docker Hub"),
        pytest.param("docker.io/busybox", "https://registry-1.docker.io", "library/busybox", id="official image"),
        pytest.param("index.docker.io/busybox", "https://registry-1.docker.io", "library/busybox", id="old name"),
        pytest.param(
            "registry-1.docker.io/busybox",
            "https://registry-1.docker.io",
            "library/busybox",
            id="the host that answers",
        ),
        pytest.param("quay.io/busybox", "https://quay.io", "busybox", id="library is Docker Hub's alone"),
    ],
)
def test_where(image, origin, repository):
    """What a reference means on the wire."""
    reference = parse_location(image)
    assert (RegistryAccess().origin(reference), repository_path(reference)) == (origin, repository)


def test_plain_http():
    """Only when it was said."""
    assert RegistryAccess(plain_http=True).origin(parse_location("localhost:5000/m")) == "http://localhost:5000"


class TestTls:
    """What is trusted."""

    @pytest.fixture
    def authority(self, tmp_path):
        path = tmp_path / "ca.pem"
        trustme.CA().cert_pem.write_to_path(str(path))
        return path

    def test_default(self):
        """Verified, by name."""
        context = RegistryAccess().ssl_context()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)

    def test_insecure(self):
        """Nothing is asked; the user said so."""
        context = RegistryAccess(insecure=True).ssl_context()
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)

    def test_ca_file(self, authority):
        """The authority besides the system's."""
        more = len(RegistryAccess(ca_file=authority).ssl_context().get_ca_certs())
        assert more == len(RegistryAccess().ssl_context().get_ca_certs()) + 1

    def test_requests_ca_bundle(self, authority, monkeypatch):
        """What many companies set on their machines."""
        before = len(RegistryAccess().ssl_context().get_ca_certs())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority))
        assert len(RegistryAccess().ssl_context().get_ca_certs()) == before + 1

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            pytest.param(None, "No such file or directory", id="absent"),
            pytest.param("no certificate", "no certificate or crl found", id="no PEM"),
        ],
    )
    def test_no_certificate(self, tmp_path, content, why):
        """Which file, why, and what it should hold."""
        path = tmp_path / "ca.pem"
        if content:
            path.write_text(content)
        with pytest.raises(LocalFailure) as caught:
            RegistryAccess(ca_file=path).ssl_context()
        assert caught.value.message.startswith(f"cannot read certificates from {path}: ")
        assert why in caught.value.message
        assert caught.value.hint == "--ca-file takes a PEM file"
