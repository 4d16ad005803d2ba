"""Rows R31 and R32 of the fault matrix: how much goes at a time, and answers that the spec does not know."""

import pytest

from kubectl_modelcar.errors import NotFoundOrRefused
from kubectl_modelcar.registry import limits_of
from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.registry.sending import (
    BLOB,
    DIGEST,
    MIB,
    Stream,
    big,
    held,
    manifest,
    methods,
    publish,
    published,
    send,
    target,
    wasted,
)

BIG = big()
SESSION = "/blobs/uploads/.+"


class TestPieces:
    """Registries that do not take everything at once."""

    @pytest.mark.parametrize("digest", [None, digest_of(BIG)], ids=["unknown", "known"])
    @pytest.mark.parametrize("early", [True, False], ids=["early answer", "late answer"])
    @pytest.mark.parametrize(
        ("most", "size"), [(4 * MIB, 4), (20 * MIB, 16), (MIB, 1)], ids=["4 MiB", "20 MiB", "1 MiB"]
    )
    def test_r31_413(self, waits, digest, early, most, size):
        """It goes in smaller pieces, each in its place, and the next blob begins with them."""
        other = big(6 * MIB)
        with FakeRegistry(max_chunk=most) as registry:
            if early:
                registry.faults.append(Fault("PATCH|PUT", SESSION, status=413, early=True))
            there = target(registry)
            assert there.upload(Stream(BIG, MIB), digest) == digest_of(BIG)
            refused = [request.status for request in registry.requests("PATCH|PUT")].count(413)
            assert refused <= 4
            assert max(r.received for r in registry.requests("PATCH|PUT") if r.status == 202) == size * MIB
            assert there.upload(Stream(other, MIB)) == digest_of(other)
            assert [request.status for request in registry.requests("PATCH|PUT")].count(413) == refused
        assert waits == []

    def test_r31_source_is_read_once_for_pieces(self):
        """One stream of a source feeds all pieces: another request to the Hub for each would cost more than they do."""
        content = Stream(BIG, MIB)
        with FakeRegistry(max_chunk=4 * MIB) as registry:
            send(registry, content=content)
        assert content.starts == [0] * len(content.starts)
        assert len(content.starts) <= 4

    def test_r31_ghcr(self, waits):
        """It takes 4 MiB where a place is named, else it says 416 at the very place where the upload is."""
        with FakeRegistry(profile="ghcr") as registry:
            registry.faults.append(Fault("PATCH", SESSION, cut_request_after=10 * MIB, keep=True))
            assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
            sizes = [request.received for request in registry.requests("PATCH") if request.status == 202]
            assert (set(sizes[:-1]), sum(sizes)) == ({4 * MIB}, 30 * MIB)
            assert len(registry.requests("POST")) == 1
        assert len(waits) == 1

    def test_r31_ghcr_by_its_name(self, waits, monkeypatch):
        """What is known of a registry need not be found out: after a cut nothing goes that it will not take."""
        monkeypatch.setattr("kubectl_modelcar.registry.upload.limits_of", lambda _: limits_of("ghcr.io"))
        with FakeRegistry(profile="ghcr") as registry:
            registry.faults.append(Fault("PATCH", SESSION, cut_request_after=10 * MIB, keep=True))
            assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
            sizes = [request.received for request in registry.requests("PATCH") if request.status == 202]
            assert (set(sizes[:-1]), sum(sizes)) == ({4 * MIB}, 30 * MIB)
            assert (wasted(registry, BIG), methods(registry, "PATCH").count("PATCH 416")) == (0, 0)
            assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
            assert registry.requests("PATCH")[-1].received == len(BIG)  # in one, as long as nothing breaks
        assert len(waits) == 1

    @pytest.mark.parametrize("size", [1, 5 * MIB, 32 * MIB, 32 * MIB + 1, 40 * MIB, 64 * MIB + 5])
    @pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
    def test_r31_chunk_min_length(self, size, known):
        """No piece but the last is smaller than what is asked for, not even after a 413."""
        data = bytes(64 * MIB + 5)[:size]
        with FakeRegistry(min_chunk=32 * MIB, max_chunk=33 * MIB) as registry:
            assert send(registry, digest_of(data) if known else None, Stream(data, MIB)) == digest_of(data)
            assert all(piece.received >= 32 * MIB for piece in registry.requests("PATCH"))

    def test_r31_ecr(self):
        """PATCH answers 201, pieces of 5 MiB at least."""
        with FakeRegistry(profile="ecr") as registry:
            registry.create_repository("org/m")
            assert publish(target(registry), BIG, BLOB) == published(BIG, BLOB)

    @pytest.mark.parametrize(
        ("rules", "said"),
        [
            pytest.param({"max_chunk": 1000}, "(from the first byte on, 300000 bytes at a time)", id="even that"),
            pytest.param(
                {"max_chunk": 1000, "min_chunk": 200_000},
                "(from the first byte on, 300000 bytes at a time, and wants at least 200000 at a time)",
                id="more than it takes",
            ),
        ],
    )
    def test_r31_nothing_fits(self, waits, rules, said):
        """The error says what was tried."""
        with FakeRegistry(**rules) as registry, pytest.raises(NotFoundOrRefused) as caught:
            send(registry)
        assert caught.value.message.endswith(said)
        assert caught.value.hint.startswith("the registry or a proxy before it limits the size")
        assert waits == []

    def test_r31_too_large_a_layer(self, waits):
        """A registry that takes pieces, but not so many: how many it took is said."""
        with FakeRegistry() as registry:
            registry.faults.append(Fault("PATCH|PUT", SESSION, status=413, early=True))
            registry.faults.append(Fault("PATCH", SESSION, after=1, status=413, times=-1))
            with pytest.raises(NotFoundOrRefused) as caught:
                send(registry, content=Stream(BIG, MIB))
        assert "after 16777216 bytes, 1048576 bytes at a time" in caught.value.message
        assert waits == []

    def test_quay(self, log_in):
        """A single PUT has a limit; the blob goes by PATCH then, known as it is."""
        with FakeRegistry(profile="quay", max_put=20 * MIB) as registry:
            log_in(registry.host)
            assert send(registry, digest_of(BIG), Stream(BIG, MIB)) == digest_of(BIG)


class TestAnswers:
    """Answers to a PATCH that the spec does not know."""

    @pytest.mark.parametrize("location", [True, False], ids=["Location", "no Location"])
    @pytest.mark.parametrize("status", [200, 201, 202, 204])
    def test_r32_patch(self, waits, status, location):
        """ECR says 201, Artifactory and Harbor 200 or 204; without a Location the last one is good."""
        with FakeRegistry(patch_status=status, location_on_patch=location) as registry:
            assert publish(target(registry), BIG) == published(BIG)
        assert waits == []

    @pytest.mark.parametrize("location", [True, False], ids=["Location", "no Location"])
    def test_r32_pieces(self, waits, location):
        """In pieces, too."""
        with FakeRegistry(max_chunk=4 * MIB, location_on_patch=location) as registry:
            assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
        assert waits == []

    @pytest.mark.parametrize("said", ["", "0-0", "bytes=0-299999", "nonsense", "0-999999999", "0--1"])
    def test_r32_range(self, registry, waits, said):
        """A Range that is absent or says nothing is no reason to doubt."""
        registry.faults.append(Fault("PATCH", headers={"Range": said}))
        assert send(registry) == DIGEST
        assert (wasted(registry, BLOB), waits, methods(registry)[-1]) == (0, [], "PUT 201")

    @pytest.mark.parametrize("status", [200, 202])
    def test_r32_manifest(self, registry, status):
        """201 is the spec's."""
        registry.faults.append(Fault("PUT", "/manifests/", status=status, apply=True))
        document = manifest(registry)
        assert target(registry).put_manifest(document, "1") == document.digest

    def test_put(self, registry):
        """So may the last PUT."""
        registry.faults.append(Fault("PUT", "/uploads/", status=204, apply=True))
        target(registry).upload(held())
        assert registry.blobs == {DIGEST: BLOB}
