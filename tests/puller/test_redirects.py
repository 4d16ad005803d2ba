"""Redirects: blobs may be elsewhere, credentials stay at home."""

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import FakeRegistry, Fault
from tests.puller.conftest import QUICK
from tests.puller.images import REPOSITORY, put
from tests.puller.weights import BLOB, LAYER, LOGIN, WEIGHTS, unpack


@pytest.fixture
def storage():
    """Serve what a registry redirects to."""
    with FakeRegistry() as serving:
        put(serving, LAYER)
        yield serving


class TestRedirects:
    """Blobs may be elsewhere; credentials stay at home."""

    def test_storage_gets_no_credentials(self, storage, tmp_path):
        """Basic and Bearer alike."""
        for auth in ("basic", "bearer"):
            with FakeRegistry(auth) as registry:
                put(registry, LAYER)
                target = f"{storage.url}/v2/org/model{BLOB}?X-Amz-Signature=s"
                registry.faults.append(Fault(path=BLOB, status=307, headers={"Location": target}))
                source = puller.Registry(registry.url, REPOSITORY, LOGIN, patience=QUICK)
                assert unpack(source, tmp_path / auth) == {"model.safetensors": WEIGHTS}
        assert [request.headers.get("authorization") for request in storage.log] == [None, None]

    def test_a_cut_at_storage_goes_through_the_registry_again(self, registry, storage, source, tmp_path):
        """Signed addresses expire."""
        put(registry, LAYER)
        redirect = Fault(path=BLOB, status=302, headers={"Location": f"{storage.url}/v2/org/model{BLOB}"}, times=2)
        registry.faults.append(redirect)
        storage.faults.append(Fault(cut_after=1000))
        assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
        assert [request.headers.get("range") for request in registry.requests("GET", BLOB)] == [None, "bytes=1000-"]

    def test_a_redirect_at_home_keeps_the_credentials(self, tmp_path):
        """A relative address is the registry's own."""
        with FakeRegistry("basic") as registry:
            put(registry, LAYER)
            location = f"/v2/org/model{BLOB}?there"
            registry.faults.append(Fault(path=BLOB + "$", status=301, headers={"Location": location}))
            source = puller.Registry(registry.url, REPOSITORY, LOGIN, patience=QUICK)
            assert unpack(source, tmp_path) == {"model.safetensors": WEIGHTS}

    def test_storage_s_challenge_is_not_answered(self, storage, source, registry, tmp_path):
        """A password for the registry is none for whom it redirects to."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, status=307, headers={"Location": f"{storage.url}/v2/org/model{BLOB}"}))
        storage.faults.append(Fault(status=401, headers={"WWW-Authenticate": 'Basic realm="give"'}))
        with pytest.raises(puller.PullError) as caught:
            unpack(source(LOGIN), tmp_path)
        assert (caught.value.exit_code, len(storage.log)) == (3, 1)
        assert f"{storage.host} does not accept" in caught.value.message

    def test_a_circle_ends(self, registry, source):
        """After five."""
        registry.faults.append(Fault(status=302, headers={"Location": "/v2/org/model/manifests/v1"}, times=-1))
        with pytest.raises(puller.PullError, match="redirects more than 5 times"):
            puller.resolve(source(), "v1")
        assert len(registry.log) == 6

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/y", "http://[", "http://h:99999/"])
    def test_an_address_that_is_none_is_refused(self, registry, source, location):
        """Nothing but HTTP is followed."""
        registry.faults.append(Fault(status=302, headers={"Location": location}, times=-1))
        with pytest.raises(puller.PullError) as caught:
            puller.resolve(source(), "v1")
        assert ("is no http or https address" in caught.value.message, caught.value.exit_code) == (True, 4)

    def test_an_address_that_breaks_the_request_is_refused(self, registry, source):
        """A space would end the request line."""
        registry.faults.append(Fault(status=302, headers={"Location": "/a b"}, times=-1))
        with pytest.raises(puller.PullError, match="redirects to an address that is none: /a b"):
            puller.resolve(source(), "v1")
