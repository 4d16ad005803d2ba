"""Tests of images that are there already."""

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import (
    LayoutReference,
    parse_location,
)
from kubectl_modelcar.progress import Silent
from kubectl_modelcar.registry import RegistryAccess, docker_config, open_image
from tests.fakes.registry import PASSWORD, USER, FakeRegistry, Fault
from tests.registry.images import ACCESS, LAYER, TREE, add_image, reference


@pytest.fixture
def login(sealed):
    """Write docker's config.json for a registry."""

    def write(registry, password=PASSWORD):
        path = sealed / ".docker" / "config.json"
        path.parent.mkdir()
        path.write_bytes(docker_config(reference(registry), puller.Credential(USER, password)))

    return write


class TestOpenImage:
    """The manifest, read and verified."""

    @pytest.mark.parametrize("text", ["org/m:1", "org/m@{digest}", "org/m:other@{digest}"])
    def test_registry(self, registry, text):
        """By tag or digest; the digest is what counts."""
        digest = add_image(registry)
        opened = open_image(reference(registry, text.format(digest=digest)), ACCESS)
        assert (opened.manifest.digest, opened.needs_credentials) == (digest, False)

    @pytest.mark.parametrize(
        ("options", "needs"),
        [
            pytest.param({"auth": "basic"}, True, id="private"),
            pytest.param({"auth": "bearer"}, True, id="private, with tokens"),
            pytest.param({"auth": "bearer", "anonymous_pull": True}, False, id="anybody may read"),
            pytest.param({}, False, id="anybody may do anything"),
        ],
    )
    def test_needs_credentials(self, login, options, needs):
        """Whether the cluster will need a pull secret, not whether we have a login."""
        with FakeRegistry(**options) as registry:
            add_image(registry)
            login(registry)
            assert open_image(reference(registry), ACCESS).needs_credentials is needs

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(Fault(path="/token", status=401), id="refused"),
            pytest.param(Fault(path="/token", status=403), id="forbidden"),
            pytest.param(Fault(path="/token", status=404), id="hidden"),
            pytest.param(Fault(path="/token", status=302, headers={"Location": "/login"}), id="sent to log in"),
            pytest.param(Fault(path="/token", status=200, body=b"<html>log in</html>"), id="a page to log in"),
            pytest.param(Fault(path="/token", status=200, body=b"{}"), id="no token"),
        ],
    )
    def test_a_token_service_that_refuses_the_nameless(self, login, fault):
        """In whatever way: with the login it is asked again."""
        with FakeRegistry(auth="bearer") as registry:
            digest = add_image(registry)
            login(registry)
            registry.faults.append(fault)
            opened = open_image(reference(registry), ACCESS)
        assert (opened.manifest.digest, opened.needs_credentials) == (digest, True)

    def test_a_token_service_that_refuses_the_nameless_without_a_login(self):
        """What is missing is said."""
        with FakeRegistry(auth="bearer") as registry:
            add_image(registry)
            registry.faults.append(Fault(path="/token", status=401, times=-1))
            with pytest.raises(NotAuthorised) as caught:
                open_image(reference(registry), ACCESS)
        assert "without a login" in caught.value.message
        assert registry.host in caught.value.hint

    def test_a_private_one_without_a_login(self):
        """The registry is named."""
        with FakeRegistry(auth="basic") as registry:
            add_image(registry)
            with pytest.raises(NotAuthorised) as caught:
                open_image(reference(registry), ACCESS)
        assert registry.host in caught.value.message
        assert caught.value.hint

    def test_wrong_password(self, login):
        """At most three requests: without a login, with it, and no more."""
        with FakeRegistry(auth="basic") as registry:
            add_image(registry)
            login(registry, "wr0ng")
            with pytest.raises(NotAuthorised) as caught:
                open_image(reference(registry), ACCESS)
            assert len(registry.log) <= 3
        assert "wr0ng" not in caught.value.message

    def test_hidden_behind_404(self, login):
        """Some registries say that it is not there to whom may not read it."""
        with FakeRegistry(auth="basic") as registry:
            digest = add_image(registry)
            login(registry)
            registry.faults.append(Fault(path="/manifests/", status=404))
            assert open_image(reference(registry), ACCESS).manifest.digest == digest

    @pytest.mark.parametrize(
        ("location", "text"),
        [
            pytest.param("org/m:2", "does not have it", id="tag"),
            pytest.param("org/x:1", "does not have it", id="repository"),
            pytest.param("org/m@sha256:" + "0" * 64, "does not have it", id="digest"),
        ],
    )
    def test_unknown(self, registry, location, text):
        """Which one, and where."""
        add_image(registry)
        with pytest.raises(NotFoundOrRefused) as caught:
            open_image(reference(registry, location), ACCESS)
        assert text in caught.value.message
        assert registry.host in caught.value.message
        assert caught.value.hint

    def test_other_bytes(self, registry):
        """A manifest is what its digest says."""
        digest = add_image(registry)
        registry.faults.append(Fault(path="/manifests/", corrupt_at=30, times=-1))
        with pytest.raises(IntegrityFailure):
            open_image(reference(registry, f"org/m@{digest}"), ACCESS)

    def test_no_layout(self, tmp_path):
        """A folder that is none."""
        with pytest.raises(NotFoundOrRefused) as caught:
            open_image(LayoutReference(tmp_path / "nothing"), ACCESS)
        assert str(tmp_path / "nothing") in caught.value.message
        assert caught.value.hint


class TestOpenedImage:
    """What is in it."""

    @pytest.fixture
    def opened(self, registry):
        add_image(registry, config=b'{"os":"linux"}')
        image = open_image(reference(registry), ACCESS)
        registry.log.clear()
        return image

    def test_files(self, opened, registry):
        """Come from the manifest: nothing is asked."""
        assert [(file.path, file.size) for file in opened.files()] == [("config.json", 7), ("w.safetensors", 5000)]
        assert registry.log == []

    def test_read_file(self, opened):
        """One file whole."""
        assert opened.read_file("config.json") == b'{"a":1}'

    def test_read_no_file(self, opened):
        """One that is not there."""
        with pytest.raises(NotFoundOrRefused) as caught:
            opened.read_file("tokenizer.json")
        assert "tokenizer.json" in caught.value.message

    def test_config(self, opened):
        """The config document."""
        assert opened.config() == {"os": "linux"}

    def test_chunks(self, opened):
        """A blob, in pieces."""
        (layer,) = opened.manifest.layers
        assert b"".join(bytes(chunk) for chunk in opened.chunks(layer)) == LAYER

    def test_chunks_of_other_bytes(self, opened, registry):
        """Are found out at their end."""
        (layer,) = opened.manifest.layers
        registry.faults.append(Fault(path="/blobs/", corrupt_at=700))
        with pytest.raises(IntegrityFailure) as caught:
            list(opened.chunks(layer))
        assert layer.digest in caught.value.message

    def test_unpack(self, opened, tmp_path):
        """To a plain folder."""
        opened.unpack(tmp_path / "m", jobs=2, progress=Silent())
        found = {path.name: path.read_bytes() for path in (tmp_path / "m").iterdir()}
        assert found == TREE

    def test_sizes_are_asked_for(self, opened, registry):
        """Without a byte of the blob; one that is not there is an error."""
        (layer,) = opened.manifest.layers
        assert opened.blob_size(layer) == len(LAYER)
        assert [(request.method, request.sent) for request in registry.log] == [("HEAD", 0)]
        registry.repositories["org/m"].discard(layer.digest)
        with pytest.raises(NotFoundOrRefused) as caught:
            opened.blob_size(layer)
        assert layer.digest in caught.value.message

    def test_survey(self, opened):
        """Every byte, written nowhere."""
        (seen,) = opened.survey(opened.manifest.layers, jobs=1, progress=Silent())
        assert ([file.path for file in seen.files], seen.damage, seen.problems) == ([*TREE], "", ())


class TestConfig:
    """Configs of others, which may be anything."""

    def test_without_end(self, registry):
        """Is not read into memory."""
        add_image(registry, config_size=2**40)
        opened = open_image(reference(registry), ACCESS)
        registry.log.clear()
        with pytest.raises(IntegrityFailure) as caught:
            opened.config()
        assert caught.value.message == f"the config of {reference(registry)} has {2**40} bytes"
        assert registry.log == []

    @pytest.mark.parametrize(
        "config",
        [
            pytest.param(b"{", id="cut"),
            pytest.param(b"[]", id="an array"),
            pytest.param(b"\xff", id="bytes"),
            pytest.param(b"[" * 200_000, id="nested without end"),
        ],
    )
    def test_broken(self, registry, config):
        """Is no config."""
        add_image(registry, config=config)
        with pytest.raises(IntegrityFailure) as caught:
            open_image(reference(registry), ACCESS).config()
        assert caught.value.message == f"the config of {reference(registry)} is no JSON object"

    def test_empty(self, registry):
        """An artifact need not have one."""
        add_image(registry, config=b"")
        assert open_image(reference(registry), ACCESS).config() == {}


class TestLimitedForTheNameless:
    """Docker Hub answers 429 to whom it does not know."""

    def test_who_is_known_is_let_in(self, sealed):
        """The credential is tried at once, and not after five waits."""
        with FakeRegistry(auth="basic") as registry:
            digest = add_image(registry)
            login = sealed / "auth.json"
            login.write_bytes(
                docker_config(parse_location(f"{registry.host}/org/m"), puller.Credential(USER, PASSWORD))
            )
            registry.faults.append(Fault("GET", "/manifests/", status=429, headers={"Retry-After": "20"}))
            opened = open_image(
                parse_location(f"{registry.host}/org/m:1"), RegistryAccess(authfile=login, plain_http=True)
            )
        assert (opened.manifest.digest, opened.needs_credentials) == (digest, True)
