"""The way over the network: cuts, stalls and damage."""

import socket
import time
from contextlib import nullcontext

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import Fault, digest_of
from tests.puller.conftest import QUICK
from tests.puller.images import REPOSITORY, TAR, Layer, ours, put, tar
from tests.puller.weights import BLOB, LAYER, SIZE, WEIGHTS, unpack


class TestResume:
    """A transfer goes on where it was cut."""

    def test_a_server_without_ranges_starts_over(self, registry, source, tmp_path):
        """A 200 in place of a 206 brings the first bytes again; they are dropped."""
        put(registry, LAYER)
        registry.faults += [Fault(path=BLOB, cut_after=1000), Fault(path=BLOB, ignore_range=True)]
        assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
        assert [request.status for request in registry.requests("GET", BLOB)] == [200, 200]

    def test_chunks_without_a_length_are_read(self, registry, source, tmp_path):
        """Proxies do that; a cut in them goes on, too."""
        put(registry, LAYER)
        registry.faults += [Fault(path=BLOB, chunked=True, cut_after=2_000_000), Fault(path=BLOB, chunked=True)]
        assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}

    @pytest.mark.parametrize(
        "given", [f"bytes 999-{SIZE - 1}/{SIZE}", f"bytes 1000-2000/{SIZE + 1}", "", "lines 1-2/3"]
    )
    def test_another_range_than_asked_for_is_refused(self, registry, source, tmp_path, given):
        """Bytes from another place would pass until the digest, much later."""
        put(registry, LAYER)
        fault = Fault(path=BLOB, headers={"Content-Range": given})
        registry.faults += [Fault(path=BLOB, cut_after=1000), fault]
        with pytest.raises(puller.PullError) as caught:
            unpack(source(), tmp_path)
        assert f"asked for byte 1000 of {SIZE} on, {registry.host} answered with {given!r}" in caught.value.message
        assert caught.value.exit_code == 6

    def test_failures_without_progress_end(self, registry, source, tmp_path):
        """Six in a row are enough."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, times=-1, cut_after=100))
        with pytest.raises(puller.PullError) as caught:
            unpack(source(), tmp_path)
        what = f"reading the blob {digest_of(LAYER.data)} from {registry.host}/org/model"
        assert caught.value.message == f"{what}: {registry.host} ended the transfer after 600 bytes, 6 times in a row"
        assert (caught.value.exit_code, len(registry.requests("GET", BLOB))) == (5, 6)

    @pytest.mark.parametrize(("refill", "requests"), [(2 << 20, 13), (16 << 20, 6)], ids=["2 MiB", "16 MiB"])
    def test_progress_gives_all_attempts_again(self, registry, source, tmp_path, refill, requests):
        """A bad line that brings enough each time brings a large model in the end; one that does not is given up."""
        put(registry, ours({"w": bytes(12 << 20)}))
        registry.faults.append(Fault(path="/blobs/sha256:", times=-1, cut_after=(1 << 20) + 1))
        patient = source(patience=puller.Patience(base=0.001, refill=refill))
        with nullcontext() if refill < 16 << 20 else pytest.raises(puller.PullError, match="6 times in a row"):
            assert unpack(patient, tmp_path) == {"w": bytes(12 << 20)}
        assert len(registry.requests("GET", "/blobs/")) == requests

    def test_a_trickle_is_a_stall(self, registry, source, tmp_path):
        """A byte now and then would never let a timeout of the socket pass."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, trickle=0.05))
        started = time.monotonic()
        assert unpack(source(timeout=0.3), tmp_path) == {"model.safetensors": WEIGHTS}
        assert 0.3 <= time.monotonic() - started < 5

    def test_a_server_that_never_answers_ends(self):
        """Headers that do not come are a stall, too; the waits have an end."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            quiet = puller.Registry(url, REPOSITORY, timeout=0.05, patience=QUICK)
            with pytest.raises(puller.PullError, match="timed out, 6 times in a row"):
                puller.resolve(quiet, "v1")

    def test_no_other_encoding_is_asked_for(self, registry, source, tmp_path):
        """Digests are of the bytes as they are stored."""
        put(registry, LAYER)
        unpack(source(), tmp_path)
        assert {request.headers["accept-encoding"] for request in registry.log} == {"identity"}

    def test_a_manifest_is_asked_for_again(self, registry, source):
        """A cut in it is a cut."""
        digest = put(registry, LAYER)
        registry.faults.append(Fault(path="/manifests/", cut_after=10))
        assert puller.resolve(source(), "v1").digest == digest

    def test_a_listing_goes_on(self, registry, source):
        """Headers of a foreign tar are read through the same cuts."""
        put(registry, Layer(tar(("models/a", WEIGHTS), ("models/b", b"b"))))
        registry.faults += [Fault(path="/blobs/", cut_after=100), Fault(path="/blobs/", cut_after=700)]
        manifest = puller.resolve(source(), "v1")
        assert [file.path for file in puller.list_files(source(), manifest)] == ["a", "b"]


class TestDamage:
    """Bytes that are not the blob's never get a name."""

    @pytest.mark.parametrize("chunked", [False, True], ids=["said", "unsaid"])
    def test_a_blob_longer_than_its_manifest_says(self, registry, source, tmp_path, chunked):
        """With a length it is refused, without one the rest is not read."""
        put(registry, LAYER)
        registry.faults.append(Fault(path=BLOB, extra=b"x" * 100, chunked=chunked))
        if chunked:
            assert unpack(source(), tmp_path) == {"model.safetensors": WEIGHTS}
            return
        with pytest.raises(puller.PullError) as caught:
            unpack(source(), tmp_path)
        assert f"has {SIZE + 100} bytes of it; the manifest says {SIZE}" in caught.value.message

    def test_a_blob_shorter_than_its_manifest_says(self, registry, source, tmp_path):
        """It is refused before the first byte."""
        put(registry, Layer(LAYER.data, TAR, size=SIZE + 1000))
        with pytest.raises(puller.PullError, match=f"has {SIZE} bytes of it; the manifest says {SIZE + 1000}"):
            unpack(source(), tmp_path)

    def test_the_size_of_a_blob_is_asked_for_without_its_bytes(self, registry, source):
        """By a HEAD; a registry need not say it, and a blob that is not there is an error."""
        put(registry, LAYER)
        layer = puller.Descriptor(TAR, digest_of(LAYER.data), SIZE)
        assert source().blob_size(layer) == SIZE
        registry.faults.append(Fault("HEAD", headers={"Content-Length": ""}))
        assert source().blob_size(layer) is None
        assert [(request.method, request.sent) for request in registry.log] == [("HEAD", 0)] * 2
        with pytest.raises(puller.PullError, match=r"looking for the blob sha256:0+ in .* does not have it"):
            source().blob_size(puller.Descriptor(TAR, "sha256:" + "0" * 64, 1))

    @pytest.mark.parametrize("status", [405, 501])
    @pytest.mark.parametrize("size", [SIZE, 0], ids=["some bytes", "no byte"])
    def test_the_size_of_a_blob_where_nobody_knows_head(self, registry, source, status, size):
        """One byte is asked for then; a server without ranges says it, too, and its body is not read."""
        data = LAYER.data[:size]
        put(registry, Layer(data))
        registry.faults.append(Fault("HEAD", "/blobs/", status=status, times=-1))
        layer = puller.Descriptor(TAR, digest_of(data), SIZE)
        assert source().blob_size(layer) == size
        registry.faults.append(Fault("GET", "/blobs/", ignore_range=True))
        assert source().blob_size(layer) == size
        assert [request.headers.get("range") for request in registry.requests("GET")] == ["bytes=0-0"] * 2

    def test_the_size_of_a_blob_that_is_not_there_where_nobody_knows_head(self, registry, source):
        """That is found out by the other request."""
        put(registry, LAYER)
        registry.faults.append(Fault("HEAD", status=405))
        with pytest.raises(puller.PullError, match=r"looking for the blob sha256:0+ in .* does not have it"):
            source().blob_size(puller.Descriptor(TAR, "sha256:" + "0" * 64, 1))

    def test_a_blob_that_ends_before_the_asked_byte(self, registry, source):
        """416 says that there are fewer bytes."""
        put(registry, LAYER)
        layer = puller.Descriptor(TAR, digest_of(LAYER.data), SIZE + 1000)
        with pytest.raises(puller.PullError, match="has fewer bytes of it than the manifest says"):
            source().open(layer, SIZE + 10).readinto(memoryview(bytearray(10)))
