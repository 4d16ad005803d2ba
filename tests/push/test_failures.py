"""Tests of a push that fails: it publishes nothing, and says why."""

import hashlib
import threading
import time

import pytest

from kubectl_modelcar.errors import (
    IntegrityFailure,
    LocalFailure,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import BaseImage, LayerPlan, ModelFile, parse_location
from kubectl_modelcar.memory import Memory
from kubectl_modelcar.push import PushOptions, push
from kubectl_modelcar.registry import (
    OpenBase,
    open_target,
)
from kubectl_modelcar.sending import LayerStream
from kubectl_modelcar.source import FolderSource, Listing, Origin, open_source
from tests.fakes.registry import Fault
from tests.push.pushing import ACCESS, FILES, NOTHING, SHARDS, Counting, pulled, push_to, sent


class Failing:
    """A source whose second shard fails as soon as the others are under way, which never end by themselves."""

    rereadable = True

    def __init__(self):
        self.under_way = threading.Barrier(3, timeout=20)
        self.given, self.stopped = 0, False

    def listing(self, selection):
        del selection
        return Listing(Origin("test"), tuple(ModelFile(f"{name}.safetensors", 2**28) for name in "abc"))

    def read(self, file, offset, length):
        body = file.size - 8 - 1000
        text = (b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (body, body)).ljust(1000)
        return ((1000).to_bytes(8, "little") + text)[offset : offset + length]

    def stamp(self, file):
        """Tell nothing."""

    def chunks(self, file, start=0):
        del start
        yield bytes(1000)
        self.under_way.wait()
        if file.path == "b.safetensors":
            raise LocalFailure("the disk of b is gone")
        while True:
            self.given += 1
            yield bytes(1 << 16)
            time.sleep(0.01)

    def stop(self):
        self.stopped = True


class Stalling:
    """A target that takes the first chunk of a blob and then nothing until it is stopped."""

    def __init__(self):
        self.stopped = threading.Event()
        self.published = False

    def prepare(self):
        """Let anybody push."""

    def has_blob(self, digest):
        del digest
        return False

    def mount(self, digest, repository):
        del digest, repository
        return False

    def upload(self, content, digest=None):
        del digest
        for number, _ in enumerate(content.chunks()):
            if number > 2 and content.name != "b.safetensors":  # the headers and the first of the file are taken
                assert self.stopped.wait(20)
        raise NetworkGaveUp("stopped")

    def stop(self):
        self.stopped.set()

    def put_manifest(self, document, tag):
        del tag
        self.published = True
        return document.digest


def hub_files(hub):
    """Put a model on the Hub whose tokenizer is in LFS, too; return its files."""
    files = {**FILES, "tokenizer.model": b"\n\x0e" * 5000}
    hub.commit("org/m", files)
    return files


class TestAllOrNothing:
    """A push that fails publishes nothing."""

    def test_one_layer_fails(self, registry):
        """The others are stopped, and its error is the push's."""
        source, started = Failing(), time.monotonic()
        with pytest.raises(LocalFailure, match="the disk of b is gone"):
            push_to(registry, source)
        given = source.given
        time.sleep(0.1)
        assert (source.given, time.monotonic() - started < 20, registry.tags) == (given, True, {})

    def test_one_layer_fails_while_the_registry_stalls(self):
        """A target that takes nothing is told to end, and nothing is published."""
        source, target = Failing(), Stalling()
        with pytest.raises(LocalFailure, match="the disk of b is gone"):
            push(
                source,
                target,
                parse_location("a.b/m:1"),
                [OpenBase(BaseImage())],
                PushOptions(),
                memory=Memory(NOTHING),
            )
        assert (source.stopped, target.stopped.is_set(), target.published) == (True, True, False)

    def test_one_check_fails_while_another_waits(self, registry, folder):
        """Looking into files ends as sending does: at once."""
        stopped = threading.Event()

        class Waiting(FolderSource):
            def read(self, file, offset, length):
                if file.path == SHARDS[1]:
                    raise LocalFailure("the disk is gone")
                if file.path in SHARDS:
                    assert stopped.wait(20)
                return super().read(file, offset, length)

            def stop(self):
                stopped.set()

        with pytest.raises(LocalFailure, match="the disk is gone"):
            push_to(registry, Waiting(folder), jobs=4)
        assert (stopped.is_set(), registry.tags) == (True, {})

    def test_a_file_changes_meanwhile(self, registry, folder):
        """A download that still goes on must not become an image."""

        class Growing(FolderSource):
            def chunks(self, file, start=0):
                if file.path == SHARDS[1]:
                    (folder / file.path).write_bytes(FILES[file.path] + b"more")
                return super().chunks(file, start)

        with pytest.raises(LocalFailure) as caught:
            push_to(registry, Growing(folder))
        assert caught.value.message == f"{folder / SHARDS[1]} changed while it was read"
        assert registry.tags == {}

    @pytest.mark.parametrize("given", [b"12", b"1234"])
    def test_a_source_that_gives_another_size(self, given):
        """Is found even where nothing else would be: the tar would be no tar."""

        class Other:
            @staticmethod
            def chunks(_file, _start):
                yield given

        plan = LayerPlan((ModelFile("a", 3),))
        with pytest.raises(IntegrityFailure) as caught:
            list(LayerStream(plan, Other).chunks())
        assert caught.value.message == f"a is not what its origin promised: {len(given)} bytes of 3"

    @pytest.mark.parametrize("path", [pytest.param(SHARDS[1], id="large"), pytest.param("tokenizer.model", id="small")])
    def test_h5_other_bytes_than_the_hub_promised(self, registry, hub, path):
        """Are found by the Hub's own sha256, asked for once more, and never published."""
        data = hub_files(hub)[path]
        hub.faults.append(Fault(path=f"response-content-disposition={path}", corrupt_at=1500, times=-1))
        with pytest.raises(IntegrityFailure) as caught:
            push_to(registry, open_source("org/m"), jobs=1)
        assert caught.value.message.startswith(f"{path} is not what its origin promised: it has sha256 ")
        assert caught.value.message.endswith(f" where {hashlib.sha256(data).hexdigest()} was expected")
        assert registry.tags == {}

    @pytest.mark.parametrize(("times", "tags"), [(1, 1), (-1, 0)], ids=["once", "for ever"])
    def test_h5_other_bytes_than_git_has(self, registry, hub, times, tags):
        """Files that are not in LFS are held against git's own id."""
        hub.commit("org/m", FILES)
        hub.faults.append(Fault(path="/resolve/.*/config.json", corrupt_at=4, times=times))
        try:
            push_to(registry, open_source("org/m"), jobs=1)
        except IntegrityFailure as error:
            assert "config.json is not what its origin promised: it is git's blob" in error.message  # noqa: PT017
        assert len(registry.tags) == tags

    @pytest.mark.parametrize(
        ("path", "after"),
        # Of a large file the head is read first, and is not what is sent.
        [pytest.param(SHARDS[1], 1, id="large"), pytest.param("tokenizer.model", 0, id="small")],
    )
    def test_h5_other_bytes_once(self, registry, hub, path, after, tmp_path):
        """A bad copy on the way is no reason to fail: the next one is good."""
        files = hub_files(hub)
        fault = Fault(path=f"response-content-disposition={path}", after=after, corrupt_at=1500)
        hub.faults.append(fault)
        push_to(registry, open_source("org/m"), jobs=1)
        assert (pulled(registry, tmp_path / "back"), fault.times) == (files, 0)

    @pytest.mark.parametrize(
        ("prepare", "kind"),
        [
            pytest.param(lambda folder: (folder / SHARDS[0]).unlink(), IntegrityFailure, id="missing shard"),
            pytest.param(lambda folder: (folder / SHARDS[0]).write_bytes(b"cut"), IntegrityFailure, id="cut shard"),
            pytest.param(
                lambda folder: (folder / "vocab.txt").write_bytes(b"\x80\x04N."), NotFoundOrRefused, id="pickle"
            ),
        ],
    )
    def test_bad_models(self, registry, folder, prepare, kind):
        """Are refused before a byte of them is sent."""
        prepare(folder)
        with pytest.raises(ModelcarError) as caught:
            push_to(registry, folder)
        assert (type(caught.value), sent(registry), registry.blobs) == (kind, 0, {})

    def test_allowed(self, registry, folder):
        """The user's own word."""
        (folder / "vocab.txt").write_bytes(b"\x80\x04N.")
        assert push_to(registry, folder, allow_unsafe=True)

    def test_refused_by_the_registry(self, registry, folder):
        """Is known before anything of the model is read."""
        registry.faults.append(Fault(method="POST", status=403))
        source = Counting(FolderSource(folder))
        with pytest.raises(NotAuthorised):
            push_to(registry, source)
        assert (source.whole, source.parts) == (0, 0)

    def test_nobody_there(self, folder):
        """Is known as early."""
        location = parse_location("127.0.0.1:1/org/m:1")
        source = Counting(FolderSource(folder))
        with pytest.raises(NetworkGaveUp):
            push(
                source,
                open_target(location, ACCESS),
                location,
                [OpenBase(BaseImage())],
                PushOptions(),
                memory=Memory(NOTHING),
            )
        assert (source.whole, source.parts) == (0, 0)
