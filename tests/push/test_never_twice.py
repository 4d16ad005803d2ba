"""Tests of pushes that need not read, download or send: what is known is looked for first."""

import json
import os
import time

import pytest

from kubectl_modelcar.errors import IntegrityFailure, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import Platform, parse_location
from kubectl_modelcar.memory import Memory
from kubectl_modelcar.push import tags_of
from kubectl_modelcar.registry import BlobsMissing
from kubectl_modelcar.source import FolderSource, Selection, open_source
from kubectl_modelcar.source.heads import HEAD
from tests.fakes.registry import Fault
from tests.push.pushing import FILES, SHARDS, Counting, Recording, manifest_of, pulled, push_to, sent
from tests.source.weights import weights


def age(folder, seconds=60):
    """Let the files be older than the tick of a filesystem's clock."""
    for path in folder.iterdir():
        then = time.time() - seconds
        os.utime(path, (then, then))


def blob_bytes(registry):
    """Return the bytes of blobs that the registry took."""
    return sum(request.received for request in registry.requests("PUT|PATCH|POST", "/blobs/"))


class TestUnchangedHub:
    """A commit that was pushed before, from a machine that knows nothing of it."""

    def test_two_requests_and_no_byte(self, registry, hub):
        """The listing and the commit's date are all that the Hub is asked; nothing is sent but the manifest."""
        hub.commit("org/m", FILES)
        first = push_to(registry, open_source("org/m"))
        for log in (registry.log, hub.log, hub.cdn_log):
            log.clear()
        again = push_to(registry, open_source("org/m"))
        asked = [request.path.partition("?")[0].split("/")[2] for request in hub.log]
        assert (again.digest, asked, hub.cdn_log) == (first.digest, ["models", "models"], [])
        assert (again.sent_bytes, blob_bytes(registry)) == (0, 0)

    def test_under_another_tag(self, registry, hub):
        """The repository's other tags remember, too."""
        hub.commit("org/m", FILES)
        first = push_to(registry, open_source("org/m"))
        hub.cdn_log.clear()
        again = push_to(registry, open_source("org/m"), tag="2")
        assert (again.digest, again.sent_bytes, hub.cdn_log) == (first.digest, 0, [])

    def test_a_shard_that_is_left_out_is_missed(self, registry, hub):
        """That all layers are known does not make the model whole."""
        hub.commit("org/m", FILES)
        push_to(registry, open_source("org/m"))
        with pytest.raises(IntegrityFailure):
            push_to(registry, open_source("org/m"), selection=Selection(exclude=(SHARDS[1],)))

    def test_what_was_not_searched_for_code_is_searched(self, registry, hub):
        """An image of --allow-unsafe does not vouch for its files."""
        hub.commit("org/m", {**FILES, "vocab.txt": b"\x80\x04N."})
        push_to(registry, open_source("org/m"), allow_unsafe=True)
        with pytest.raises(NotFoundOrRefused):
            push_to(registry, open_source("org/m"))


class TestUnchangedFolder:
    """A folder that was pushed before from this machine."""

    def test_nothing_is_read(self, registry, folder, tmp_path):
        """But the heads, which are checked; the registry is asked for every layer."""
        age(folder)
        first = push_to(registry, folder, memory=tmp_path / "cache")
        registry.log.clear()
        source = Counting(FolderSource(folder))
        again = push_to(registry, source, memory=tmp_path / "cache")
        assert (again.digest, source.whole, again.sent_bytes) == (first.digest, 0, 0)
        assert len(registry.requests("HEAD", "/blobs/")) == 5

    def test_is_not_trusted_without_asking(self, registry, folder, tmp_path):
        """What the registry has lost is sent, whatever is remembered."""
        age(folder)
        first = push_to(registry, folder, memory=tmp_path / "cache")
        lost = first.layers[2].descriptor.digest
        registry.repositories["org/m"].discard(lost)
        again = push_to(registry, folder, memory=tmp_path / "cache")
        assert [layer.outcome for layer in again.layers] == ["exists", "exists", "sent", "exists"]
        assert again.digest == first.digest

    def test_a_change_that_keeps_size_and_time(self, registry, folder, tmp_path):
        """Is seen: a file's own change time cannot be set back."""
        age(folder)
        push_to(registry, folder, memory=tmp_path / "cache")
        shard = folder / SHARDS[0]
        was = shard.stat()
        shard.write_bytes(FILES[SHARDS[0]][:-1] + bytes([FILES[SHARDS[0]][-1] ^ 1]))
        os.utime(shard, ns=(was.st_atime_ns, was.st_mtime_ns))
        again = push_to(registry, folder, memory=tmp_path / "cache")
        assert [layer.outcome for layer in again.layers] == ["exists", "sent", "exists", "exists"]

    def test_a_file_of_this_moment_is_not_remembered(self, registry, folder, tmp_path):
        """It may change again within the same tick of the clock."""
        push_to(registry, folder, memory=tmp_path / "cache")
        source = Counting(FolderSource(folder))
        push_to(registry, source, memory=tmp_path / "cache")
        assert source.whole > 0

    def test_after_a_refused_manifest(self, registry, hub, tmp_path):
        """What was sent before a push failed is not sent, nor downloaded, again."""
        hub.commit("org/m", FILES)
        registry.faults.append(Fault(method="PUT", path="/manifests/", status=403))
        with pytest.raises(NotAuthorised):
            push_to(registry, open_source("org/m"), memory=tmp_path / "cache")
        hub.cdn_log.clear()
        again = push_to(registry, open_source("org/m"), memory=tmp_path / "cache")
        assert (again.sent_bytes, hub.cdn_log) == (0, [])


class TestMount:
    """Blobs that another repository of the registry lends."""

    def test_of_a_repository_that_was_pushed_to(self, registry, folder, tmp_path):
        """Nothing is sent but config and manifest."""
        age(folder)
        push_to(registry, folder, memory=tmp_path / "cache")
        again = push_to(registry, folder, repository="other/m", memory=tmp_path / "cache")
        assert [layer.outcome for layer in again.layers] == ["mounted"] * 4
        assert registry.tags["other/m:1"] == registry.tags["org/m:1"]

    def test_that_is_not_granted(self, registry, folder, tmp_path):
        """Then they are sent."""
        age(folder)
        push_to(registry, folder, memory=tmp_path / "cache")
        registry.repositories["org/m"].clear()
        again = push_to(registry, folder, repository="other/m", memory=tmp_path / "cache")
        assert [layer.outcome for layer in again.layers] == ["sent"] * 4


class TestTags:
    """Several names for one image."""

    def test_all_name_it(self, registry, folder):
        """The layers are sent once."""
        result = push_to(registry, folder, tags=("2", "latest"))
        assert registry.tags == dict.fromkeys(("org/m:1", "org/m:2", "org/m:latest"), result.digest)
        assert result.tags == ("1", "2", "latest")

    def test_without_one_of_its_own(self):
        """What is named is used, and not `latest` besides."""
        assert tags_of(parse_location("a.b/c"), ("x",)) == ("x",)
        assert tags_of(parse_location("a.b/c"), ()) == ("latest",)


class Collecting(Recording):
    """A watcher that lets the registry lose a blob as soon as the last layer is there."""

    def __init__(self, registry, times):
        super().__init__()
        self.registry, self.times = registry, times

    def end(self, name, outcome):
        super().end(name, outcome)
        if name == SHARDS[2] and self.times:
            self.times -= 1
            self.registry.repositories["org/m"] = set()


class TestCollectedGarbage:
    """A registry that collects what no manifest names yet."""

    @pytest.mark.parametrize("times", [1, 2])
    def test_r23_what_was_lost_is_sent_again(self, registry, folder, times, tmp_path):
        """And then the manifest is taken."""
        result = push_to(registry, folder, progress=Collecting(registry, times), jobs=1)
        assert (registry.tags, pulled(registry, tmp_path / "back")) == ({"org/m:1": result.digest}, FILES)

    def test_r23_not_for_ever(self, registry, folder):
        """A registry that loses everything each time gets no third round."""
        watcher = Collecting(registry, 9)
        with pytest.raises(BlobsMissing):
            push_to(registry, folder, progress=watcher, jobs=1)
        assert (registry.tags, watcher.times) == ({}, 6)


class TestArtifact:
    """Raw files, each a layer."""

    def test_layers_are_the_files(self, registry, folder):
        """Known by their own sha256 and named for those who pull artifacts."""
        push_to(registry, folder, format="artifact")
        manifest = manifest_of(registry)
        titles = {
            layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in manifest["layers"]
        }
        assert {title: registry.blobs[digest] for title, digest in titles.items()} == FILES
        assert manifest["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"

    def test_nothing_is_downloaded_that_is_there(self, registry, hub):
        """The registry is asked for the Hub's own sha256; of the files their heads are read, and checked."""
        hub.commit("org/m", FILES)
        for data in FILES.values():
            registry.add_blob("org/m", data)
        result = push_to(registry, open_source("org/m"), format="artifact")
        assert (result.sent_bytes, [request for request in hub.cdn_log if request.sent > HEAD]) == (0, [])

    def test_what_is_there_is_checked_all_the_same(self, registry, hub):
        """Whoever else put a file there did not look into it."""
        pickle = b"\x80\x04N." + bytes(100)
        hub.commit("org/m", {**FILES, "tokenizer.model": pickle})
        registry.add_blob("org/m", pickle)
        with pytest.raises(NotFoundOrRefused):
            push_to(registry, open_source("org/m"), format="artifact")
        push_to(registry, open_source("org/m"), format="artifact", allow_unsafe=True)
        with pytest.raises(NotFoundOrRefused):
            push_to(registry, open_source("org/m"), format="artifact")

    def test_equal_files_are_sent_once(self, registry, hub):
        """However many threads have one."""
        same = weights(300_000, seed=7)
        hub.commit("org/m", {"config.json": b"{}", **{f"{name}.safetensors": same for name in "abcd"}})
        result = push_to(registry, open_source("org/m"), format="artifact", jobs=4)
        assert sorted(layer.outcome for layer in result.layers[1:]) == ["exists"] * 3 + ["sent"]
        assert blob_bytes(registry) < 310_000


class TestIndex:
    """An image for several platforms."""

    def test_shares_the_model(self, registry, folder):
        """One index, an image a platform, the model's layers once."""
        both = (Platform("linux", "amd64"), Platform("linux", "arm64"))
        result = push_to(registry, folder, base="embedded", platforms=both)
        index = json.loads(registry.manifests[result.digest][1])
        images = [json.loads(registry.manifests[entry["digest"]][1]) for entry in index["manifests"]]
        assert [entry["platform"]["architecture"] for entry in index["manifests"]] == ["amd64", "arm64"]
        model = [layer.descriptor.digest for layer in result.layers if layer.files]
        assert [[layer["digest"] for layer in image["layers"]][-4:] for image in images] == [model, model]
        assert registry.tags == {"org/m:1": result.digest}

    def test_again(self, registry, folder):
        """Nothing is sent twice, whatever kind of image remembers it."""
        both = (Platform("linux", "amd64"), Platform("linux", "arm64"))
        first = push_to(registry, folder, base="embedded", platforms=both)
        again = push_to(registry, folder, base="embedded", platforms=both)
        assert (again.digest, again.sent_bytes, sent(registry) > 0) == (first.digest, 0, True)


class TestLabels:
    """What the user has to say."""

    def test_are_in_config_and_manifest(self, registry, folder):
        """Labels there, annotations here."""
        push_to(registry, folder, labels={"team": "search"}, annotations={"stage": "test"})
        manifest = manifest_of(registry)
        config = json.loads(registry.blobs[manifest["config"]["digest"]])
        assert (config["config"]["Labels"]["team"], manifest["annotations"]["stage"]) == ("search", "test")


def test_places_are_remembered(registry, folder, tmp_path):
    """Of every layer, so that it can be mounted from there."""
    result = push_to(registry, folder, memory=tmp_path / "cache")
    memory = Memory(tmp_path / "cache")
    places = {memory.places(registry.host, layer.descriptor.digest) for layer in result.layers}
    assert places == {("org/m",)}
