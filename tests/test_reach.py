"""Finding the server to chat with."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pytest
import trustme

from kubectl_modelcar.chat import Endpoint, bearer
from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.reach import Access, reach


@dataclass(frozen=True)
class Release:
    """A release as the cluster room describes one."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    ssl_context: ssl.SSLContext | None = None
    model: str | None = None
    via: Literal["route", "service proxy"] = "route"
    proxy: str | None = None


class Cluster:
    """A cluster that knows one release, and remembers what it was asked."""

    def __init__(self, release):
        self.release, self.asked = release, []

    def reach(self, name):
        self.asked.append(name)
        return self.release


def no_cluster():
    raise AssertionError("the cluster was asked")


def reached(name=None, *, url=None, model=None, access=None, release=None):
    connect = no_cluster if release is None else lambda: Cluster(release)
    return reach(name, url=url, model=model, access=access or Access(), connect=connect)


class TestUrl:
    def test_needs_no_cluster(self):
        """A URL is enough."""
        assert reached(url="http://host:8000/v1", model="tiny") == Endpoint("http://host:8000", model="tiny")

    def test_takes_the_key(self):
        """The key of the environment is sent there."""
        assert reached(url="https://host", access=Access("sk-test")).headers == {"Authorization": "Bearer sk-test"}

    def test_takes_the_authority(self, tmp_path):
        """One certificate is trusted, and no other."""
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = reached(url="https://host", access=Access(ca_file=tmp_path / "ca.pem")).ssl_context
        assert context is not None
        assert len(context.get_ca_certs()) == 1

    def test_excludes_a_release(self):
        """One of them was not meant."""
        with pytest.raises(InvalidInput) as caught:
            reached("tiny", url="http://host")
        assert caught.value.message == "a URL and the name of a release (tiny) were given"


class TestRelease:
    TRUST = ssl.create_default_context()

    @pytest.mark.parametrize("name", ["tiny", None], ids=["named", "the only one"])
    def test_is_asked_of_the_cluster(self, name):
        """The name goes to the cluster as it was typed, or not at all."""
        cluster = Cluster(Release("https://tiny.example.com"))
        reach(name, url=None, model=None, access=Access(), connect=lambda: cluster)
        assert cluster.asked == [name]

    def test_is_reached_as_the_cluster_says(self):
        """URL, headers, trust, model and proxy are the cluster's."""
        release = Release("https://tiny.example.com", bearer("k"), self.TRUST, "smol", proxy="http://p:3128")
        assert reached("tiny", release=release) == Endpoint(
            "https://tiny.example.com", bearer("k"), self.TRUST, "smol", "http://p:3128"
        )

    def test_what_the_user_says_wins(self):
        """A key and a model that are given replace those of the release."""
        release = Release("https://tiny.example.com", {**bearer("k"), "X-A": "b"}, self.TRUST, "smol")
        assert reached("tiny", model="other", access=Access("sk-test"), release=release) == Endpoint(
            "https://tiny.example.com", {**bearer("sk-test"), "X-A": "b"}, self.TRUST, "other"
        )

    def test_insecure_replaces_the_trust_of_a_route(self):
        """A Route may have a certificate that nobody knows."""
        release = Release("https://tiny.example.com", ssl_context=self.TRUST)
        context = reached("tiny", access=Access(insecure=True), release=release).ssl_context
        assert context is not None
        assert context.verify_mode == ssl.CERT_NONE

    @pytest.mark.parametrize("access", [Access("sk-test"), Access(insecure=True)], ids=["a key", "insecure"])
    def test_the_way_through_the_api_server_takes_neither_key_nor_trust(self, access):
        """Authorization is the API server's there: a key of the model server would be lost on the way."""
        release = Release("https://api:6443/api/v1/namespaces/n/services/http:tiny:http/proxy", via="service proxy")
        with pytest.raises(InvalidInput) as caught:
            reached("tiny", access=access, release=release)
        assert caught.value.hint == (
            "leave them out, or forward a port (kubectl port-forward) and chat with --url http://localhost:PORT"
        )


class TestAccess:
    def test_a_repr_shows_no_key(self):
        """A repr ends up in logs and tracebacks."""
        assert "sk-canary" not in repr(Access("sk-canary"))
