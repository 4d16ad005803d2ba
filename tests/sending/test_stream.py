"""Tests of layers as streams."""

import hashlib
import io
import random
import tarfile

import pytest

from kubectl_modelcar.image import LayerPlan, ModelFile, RawLayer
from kubectl_modelcar.sending import LayerStream, WrongBytes

DATA = {"a.bin": random.Random(1).randbytes(70_001), "b/c.bin": b"", "d.bin": b"d" * 512}  # noqa: S311  no secret


class Memory:
    """A source in memory that gives small chunks and counts what it gave."""

    def __init__(self, data=None, chunk=1000):
        self.data, self.chunk, self.given = {**DATA, **(data or {})}, chunk, 0

    def chunks(self, file, start=0):
        data = self.data[file.path]
        for at in range(start, len(data), self.chunk):
            piece = data[at : at + self.chunk]
            self.given += len(piece)
            yield piece


def plan(**promised):
    """Return the plan of a layer of all files; `promised` are sha256s by path."""
    return LayerPlan(tuple(ModelFile(path, len(data), promised.get(path)) for path, data in DATA.items()))


def joined(chunks):
    return b"".join(map(bytes, chunks))


class TestLayerStream:
    """The bytes of a layer."""

    def test_is_a_tar_of_the_files(self):
        """As Python's tarfile reads it."""
        stream = LayerStream(plan(), Memory())
        data = joined(stream.chunks())
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
        assert (found, len(data)) == ({f"models/{path}": data for path, data in DATA.items()}, stream.size)

    def test_knows_its_files(self):
        """Each file's own sha256 comes with the layer's bytes."""
        stream = LayerStream(plan(), Memory())
        joined(stream.chunks())
        assert stream.sha256 == {path: hashlib.sha256(data).hexdigest() for path, data in DATA.items()}

    @pytest.mark.parametrize("start", [0, 1, 512, 1024, 1025, 35_000, 71_025, 71_026, 72_000, 73_728, 10**6], ids=str)
    def test_goes_on_from_any_place(self, start):
        """After some bytes went by: the rest is the same, and so are the files' digests."""
        stream = LayerStream(plan(), Memory())
        whole = joined(LayerStream(plan(), Memory()).chunks())
        for sent, chunk in enumerate(stream.chunks()):
            del chunk
            if sent > 40:
                break
        assert joined(stream.chunks(start)) == whole[start:]

    def test_digests_after_an_interruption(self):
        """Taken up where it broke, each file is still held against its promise."""
        promised = {path: hashlib.sha256(data).hexdigest() for path, data in DATA.items()}
        source = Memory()
        stream = LayerStream(plan(**promised), source)
        got, chunks = b"", stream.chunks()
        while len(got) < 30_000:
            got += next(chunks)
        got += joined(stream.chunks(len(got)))
        assert (got, stream.sha256) == (joined(LayerStream(plan(), Memory()).chunks()), promised)

    def test_wrong_bytes_after_an_interruption(self):
        """A byte that is wrong in the second part is found."""
        promised = {"a.bin": hashlib.sha256(DATA["a.bin"]).hexdigest()}
        source = Memory()
        stream = LayerStream(plan(**promised), source)
        chunks = stream.chunks()
        for _ in range(30):
            next(chunks)
        source.data["a.bin"] = DATA["a.bin"][:-1] + bytes([DATA["a.bin"][-1] ^ 1])
        with pytest.raises(WrongBytes):
            joined(stream.chunks(20_000))

    def test_reads_little_twice(self):
        """Of a large file at most the step of a kept digest, and a chunk."""
        size = 40 << 20
        large = ModelFile("large.bin", size)
        source = Memory({"large.bin": bytes(size)}, chunk=1 << 20)
        stream = LayerStream(RawLayer(large), source)
        joined(stream.chunks())
        source.given = 0
        joined(stream.chunks(39 << 20))
        assert source.given <= (17 + 1) << 20
