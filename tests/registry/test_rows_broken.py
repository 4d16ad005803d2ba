"""Rows R6 to R13 of the fault matrix: uploads that break, and what of them is sent again.

W is what was sent in vain; the figures are the bytes that the registry counted.
"""

import pytest

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NetworkGaveUp
from kubectl_modelcar.image import Held, RunningDigest
from tests.fakes.registry import FakeRegistry, Fault, digest_of
from tests.registry.sending import BLOB, DIGEST, MIB, Stream, big, methods, publish, published, send, target, wasted

BIG = big()
CHUNK = 16 * MIB
SESSION = "/blobs/uploads/.+"


def cut(method, at, *, reset, **more):
    """Return a fault that breaks a request in the middle of its body."""
    return Fault(method, SESSION, cut_request_after=at, reset=reset, **more)


@pytest.mark.parametrize("at", [len(BIG) // 10, len(BIG) // 2, len(BIG) * 99 // 100], ids=["10%", "50%", "99%"])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "end"])
class TestCut:
    """A connection that breaks in mid-PATCH."""

    def test_r6_reset_in_mid_patch_28(self, waits, at, reset):
        """A session that died with it is not asked twice: the blob goes again, once."""
        with FakeRegistry(profile="2.8") as registry:
            registry.faults.append(cut("PATCH", at, reset=reset))
            assert publish(target(registry), BIG) == published(BIG)
            assert 0 <= wasted(registry, BIG) - len(b"{}") <= len(BIG)
            assert methods(registry)[2:7] == ["POST 202", "PATCH 0", "GET 404", "POST 202", "PATCH 202"]
        assert len(waits) == 1

    def test_r7_reset_in_mid_patch_v3(self, waits, at, reset):
        """What arrived stays: the rest goes where the registry says, and nothing twice."""
        with FakeRegistry(profile="v3") as registry:
            registry.faults.append(cut("PATCH", at, reset=reset))
            assert publish(target(registry), BIG) == published(BIG)
            assert 0 <= wasted(registry, BIG) - len(b"{}") <= CHUNK
            assert methods(registry)[2:7] == ["POST 202", "PATCH 0", "GET 204", "PATCH 202", "PUT 201"]
            assert wasted(registry, BIG) == len(b"{}")
        assert len(waits) == 1


class TestCutOfAKnownBlob:
    """The same with a digest that is known: one PUT."""

    @pytest.mark.parametrize(
        ("profile", "expected", "most"),
        [
            pytest.param("v3", ["PUT 0", "HEAD 404", "GET 204", "PATCH 202", "PUT 201"], 0, id="v3"),
            pytest.param("2.8", ["PUT 0", "HEAD 404", "GET 404", "POST 202", "PUT 201"], len(BIG), id="2.8"),
        ],
    )
    def test_r7_reset_in_mid_put(self, waits, profile, expected, most):
        """It is looked for first, then the session is asked."""
        with FakeRegistry(profile=profile) as registry:
            registry.faults.append(cut("PUT", len(BIG) // 2, reset=True))
            assert send(registry, digest_of(BIG), Stream(BIG, MIB)) == digest_of(BIG)
            assert methods(registry) == ["POST 202", *expected]
            assert wasted(registry, BIG) <= most
        assert len(waits) == 1


class TestWhereItGoesOn:
    """How much of the source is read again."""

    def test_r7_source_is_read_from_there(self, waits):
        """Not from its first byte: a digest can go back 16 MiB and a chunk, and no more is read for that."""
        content = Stream(BIG, MIB)
        with FakeRegistry() as registry:
            registry.faults.append(cut("PATCH", 35 * MIB, reset=True))
            assert send(registry, content=content) == digest_of(BIG)
        assert content.starts[0] == 0
        assert 35 * MIB - CHUNK - MIB <= content.starts[1] <= 35 * MIB
        assert len(waits) == 1

    def test_r7_many_cuts(self, waits):
        """A budget that progress refills: nine cuts, a few MiB apart, are borne."""
        with FakeRegistry() as registry:
            registry.faults.append(cut("PATCH", 4 * MIB, reset=True, times=9))
            assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
            assert wasted(registry, BIG) == 0
        assert len(waits) == 9

    def test_r7_cuts_without_progress(self, waits):
        """Six in a row are the end; the error counts them."""
        with FakeRegistry() as registry:
            registry.faults.append(cut("PATCH", 0, reset=True, times=-1))
            with pytest.raises(NetworkGaveUp) as caught:
                send(registry, content=Stream(BIG, MIB))
            assert len(registry.requests("PATCH")) == 6
        assert caught.value.message.endswith(", 6 times in a row")
        assert len(waits) == 5

    def test_r7_nothing_arrived(self, waits):
        """Is what the Range of one byte means: the blob goes from its first byte, in the same session."""
        with FakeRegistry() as registry:
            registry.faults.append(cut("PATCH", 0, reset=True))
            assert send(registry) == DIGEST
            assert methods(registry) == ["POST 202", "PATCH 0", "GET 204", "PATCH 202", "PUT 201"]
        assert len(waits) == 1

    @pytest.mark.parametrize("digest", [None, digest_of(b"1")], ids=["unknown", "known"])
    @pytest.mark.parametrize("arrives", [0, 1])
    def test_r7_blob_of_one_byte(self, waits, digest, arrives):
        """Is there or is not: the Range says the same of both. It begins anew, so that it is never there twice."""
        with FakeRegistry() as registry:
            registry.faults.append(Fault("PATCH|PUT", "/uploads/", cut_request_after=arrives))
            assert send(registry, digest, Stream(b"1")) == digest_of(b"1")
            assert 400 not in {request.status for request in registry.log}
        assert len(waits) == 1

    def test_r10_sessions_that_die_further_and_further_on(self, waits):
        """More than five are begun where the sum of what is new in each is much."""
        data = big(8 * MIB)
        with FakeRegistry(max_chunk=MIB) as registry:
            for session, at in enumerate([4, 6, 9, 13, 18, 24, 31]):
                registry.faults.append(Fault("PATCH", SESSION, status=404, after=at - session))
            there = target(registry)
            there._wire.patience.refill = 2 * MIB
            assert there.upload(Stream(data, MIB)) == digest_of(data)
            assert len(registry.requests("POST")) > 5
        assert waits == []

    @pytest.mark.parametrize("profile", ["v3", "2.8"])
    def test_r6_sessions_that_all_die(self, waits, profile):
        """A session is begun five times; a blob that never gets further is not sent for ever."""
        with FakeRegistry(profile=profile, expire_after=0) as registry:
            with pytest.raises(NetworkGaveUp) as caught:
                send(registry)
            assert len(registry.requests("POST")) == 5
        assert caught.value.message == (
            f"cannot send w.safetensors to {registry.host}/org/m: {registry.host} lost the upload 5 times"
            f" after at most 0 of {len(BLOB)} bytes"
        )
        assert (waits, caught.value.exit_code) == ([], 5)


@pytest.mark.parametrize(("profile", "most"), [("v3", CHUNK), ("2.8", len(BIG))])
def test_r8_answer_of_a_patch_is_lost(waits, profile, most):
    """The session is asked; a PATCH is never sent again blindly."""
    with FakeRegistry(profile=profile) as registry:
        registry.faults.append(Fault("PATCH", SESSION, lose_answer=True))
        assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
        assert 0 <= wasted(registry, BIG) <= most
        if profile == "v3":
            assert methods(registry) == ["POST 202", "PATCH 202", "GET 204", "PUT 201"]
    assert len(waits) == 1


@pytest.mark.parametrize("taken", [1000, 10 * MIB, len(BIG) - 1])
def test_r9_short_accept(waits, taken):
    """It goes on from the byte after the Range, at once, and sends no byte twice but the rest."""
    with FakeRegistry() as registry:
        registry.faults.append(Fault("PATCH", SESSION, take_only=taken))
        assert send(registry, content=Stream(BIG, MIB)) == digest_of(BIG)
        assert methods(registry) == ["POST 202", "PATCH 202", "PATCH 202", "PUT 201"]
        assert wasted(registry, BIG) == len(BIG) - taken
        assert registry.requests("PATCH")[1].headers["content-range"] == f"{taken}-{len(BIG) - 1}"
    assert waits == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Range": "0-999"}, 202, id="takes no more, and says so"),
        pytest.param({}, 416, id="out of place"),
        pytest.param({"Range": "0-999"}, 416, id="out of place, and says where"),
    ],
)
def test_r9_registry_that_gets_no_further(waits, headers, status):
    """Is asked a few times, and then given up: what it answers is no failure of the network that may pass."""
    with FakeRegistry() as registry:
        registry.faults.append(Fault("PATCH", SESSION, take_only=1000))
        registry.faults.append(Fault("PATCH", SESSION, status=status, headers=headers, times=-1))
        registry.faults.append(Fault("GET", SESSION, status=416 if not headers else 204, headers=headers, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            send(registry)
        assert len(registry.log) <= 20
    assert f"lost the upload 5 times after at most 1000 of {len(BLOB)} bytes" in caught.value.message
    assert waits == []


@pytest.mark.parametrize("profile", ["v3", "2.8"])
@pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
def test_r10_session_expired(waits, profile, digest):
    """Another one is begun, at once: the registry has answered."""
    with FakeRegistry(profile=profile) as registry:
        registry.faults.append(
            Fault("PATCH|PUT", SESSION, status=404, body=b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
        )
        assert send(registry, digest) == DIGEST
        assert len(registry.requests("POST")) == 2
        assert wasted(registry, BLOB) <= len(BLOB)
    assert waits == []


class TestLastAnswer:
    """The PUT that closes an upload was heard; its answer was not."""

    FAULTS = (
        pytest.param({"lose_answer": True}, id="lost"),
        pytest.param({"lose_answer": True, "reset": True}, id="reset"),
        pytest.param({"status": 504, "apply": True}, id="504"),
    )

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("profile", ["v3", "2.8"])
    @pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
    def test_r11_final_put_is_lost(self, waits, fault, profile, digest):
        """The blob is looked for first, and no byte goes twice."""
        with FakeRegistry(profile=profile) as registry:
            registry.faults.append(Fault("PUT", SESSION, **fault))
            assert send(registry, digest) == DIGEST
            assert wasted(registry, BLOB) == 0
            assert methods(registry)[-1] == "HEAD 200"
        assert len(waits) == 1

    @pytest.mark.parametrize("profile", ["v3", "2.8"])
    def test_r11_final_put_was_not_heard(self, waits, profile):
        """A 504 before the registry did anything: the session still has the bytes."""
        with FakeRegistry(profile=profile) as registry:
            registry.faults.append(Fault("PUT", SESSION, status=504))
            assert send(registry) == DIGEST
            assert wasted(registry, BLOB) == 0
            assert methods(registry)[2:] == ["PUT 504", "HEAD 404", "GET 204", "PUT 201"]
        assert len(waits) == 1


class Changing(Stream):
    """Content whose bytes are others when they are read again."""

    def chunks(self, start=0):
        """Yield the bytes from `start` on."""
        again = len(self.starts) > 0
        self.starts.append(start)
        yield bytes(self.size - start) if again else self.data[start:]


class TestDigest:
    """Bytes that are not what their digest says."""

    @pytest.mark.parametrize("profile", ["v3", "2.8"])
    @pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
    def test_r12_bit_flip_on_the_wire(self, waits, profile, digest):
        """The source is digested again; it is the same, so the way had a fault, and the blob goes once more."""
        with FakeRegistry(profile=profile) as registry:
            registry.faults.append(Fault("PATCH|PUT", SESSION, corrupt_request_at=1000))
            assert send(registry, digest) == DIGEST
            assert len(registry.requests("POST")) == 2
            assert registry.blobs == {DIGEST: BLOB}
        assert waits == []

    @pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
    def test_r12_for_ever(self, waits, digest):
        """Twice is enough."""
        with FakeRegistry() as registry:
            registry.faults.append(Fault("PATCH|PUT", SESSION, corrupt_request_at=1000, times=-1))
            with pytest.raises(IntegrityFailure) as caught:
                send(registry, digest)
            assert len(registry.requests("POST")) == 2
        assert (caught.value.exit_code, caught.value.hint) == (6, "the bytes changed on the way; push again")
        assert "answered HTTP 400: DIGEST_INVALID" in caught.value.message
        assert waits == []

    def test_r12_source_promised_others(self, registry):
        """Then it is not the way."""
        with pytest.raises(IntegrityFailure) as caught:
            send(registry, digest_of(b"others"))
        assert caught.value.message == (
            f"w.safetensors has the digest {DIGEST} where {digest_of(b'others')} was promised"
        )

    def test_r13_file_changes_while_it_is_sent(self, registry):
        """It is named; nothing is published."""
        registry.faults.append(Fault("PATCH", SESSION, corrupt_request_at=1000))
        with pytest.raises(LocalFailure) as caught:
            send(registry, content=Changing())
        assert (caught.value.exit_code, caught.value.message) == (7, "w.safetensors changed while it was sent")
        assert (registry.blobs, registry.tags) == ({}, {})

    @pytest.mark.parametrize(
        ("size", "what"),
        [(len(BLOB) + 1, f"ended after {len(BLOB)}"), (len(BLOB) - 1, f"has more than {len(BLOB) - 1}")],
        ids=["shorter", "longer"],
    )
    @pytest.mark.parametrize("digest", [None, DIGEST], ids=["unknown", "known"])
    def test_r13_file_of_another_size(self, registry, size, what, digest):
        """A source that has more or fewer bytes than it said is stopped before the blob is closed."""

        class Lying(Stream):
            pass

        Lying.size = property(lambda _: size)
        Lying.chunks = lambda self, start=0: iter([memoryview(self.data)[start:]])
        with pytest.raises(IntegrityFailure) as caught:
            send(registry, digest, content=Lying())
        assert caught.value.message == f"w.safetensors {what} bytes where {size} were expected"
        assert registry.blobs == {}


def test_empty_blobs(registry):
    """Are blobs, too."""
    assert send(registry, content=Held("empty", b"")) == RunningDigest().digest
    assert methods(registry) == ["POST 202", "PUT 201"]
