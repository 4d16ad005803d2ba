"""Tests of pulling an image of a model into a plain folder."""

import gzip
import io
import json
import tarfile

import pytest

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, ModelcarError, NotFoundOrRefused
from kubectl_modelcar.image import (
    FILES_ANNOTATION,
    LAYER_TYPE,
    MANIFEST_TYPE,
    RECIPE_ANNOTATION,
    digest_of,
    parse_location,
)
from kubectl_modelcar.pull import PulledFile, pull
from kubectl_modelcar.registry import RegistryAccess, open_image
from tests.fakes.registry import Fault
from tests.push.pushing import push_to
from tests.source.weights import weights

ACCESS = RegistryAccess(plain_http=True)
FILES = {"config.json": b'{"a":1}', "sub/tokenizer.model": b"\n\x0e", "w.safetensors": weights(200_000)}
TITLE = "org.opencontainers.image.title"


class Recording:
    """A watcher that remembers how each transfer ended and how many bytes came."""

    def __init__(self):
        self.ended, self.bytes = {}, 0

    def begin(self, name, total):
        del name, total

    def advance(self, name, amount):
        del name
        self.bytes += amount

    def end(self, name, outcome):
        self.ended[name] = outcome


@pytest.fixture
def pushed(registry, tmp_path, monkeypatch):
    """An image of two layers, made by a push."""
    monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)
    for path, data in FILES.items():
        (tmp_path / "model" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / path).write_bytes(data)
    result = push_to(registry, tmp_path / "model")
    registry.log.clear()
    return result


def pull_from(registry, folder, tag="1", progress=None, jobs=2):
    location = parse_location(f"{registry.host}/org/m:{tag}")
    return pull(open_image(location, ACCESS), folder, jobs=jobs, progress=progress)


def found(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def add_foreign(registry, *layers, tag="1"):
    """Put an image of other layers there: (bytes, media type, annotations) each."""
    config = registry.add_blob("org/m", b"{}")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [
            {
                "mediaType": media_type,
                "digest": registry.add_blob("org/m", data),
                "size": len(data),
                "annotations": annotations,
            }
            for data, media_type, annotations in layers
        ],
    }
    registry.add_manifest("org/m", json.dumps(manifest).encode(), MANIFEST_TYPE, tag)


def tar(files, prefix="models/"):
    """Return a tar as other tools make it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(prefix + path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


class TestPull:
    """A pull that goes well."""

    @pytest.mark.usefixtures("pushed")
    def test_files(self, registry, tmp_path):
        """Every byte, under its own name, and nothing else."""
        pull_from(registry, tmp_path / "back")
        assert found(tmp_path / "back") == FILES

    def test_result(self, registry, tmp_path, pushed):
        """What was pulled, and where to."""
        result = pull_from(registry, tmp_path / "back")
        assert (result.digest, result.folder, result.files, result.size) == (
            pushed.digest,
            tmp_path / "back",
            tuple(PulledFile(path, len(data)) for path, data in sorted(FILES.items())),
            sum(map(len, FILES.values())),
        )

    def test_progress(self, registry, tmp_path, pushed):
        """Each layer, and every byte of it."""
        watcher = Recording()
        pull_from(registry, tmp_path / "back", progress=watcher)
        assert set(watcher.ended.values()) == {"received"}
        assert (len(watcher.ended), watcher.bytes) == (2, sum(layer.descriptor.size for layer in pushed.layers))

    def test_empty_folder(self, registry, tmp_path, pushed):
        """Is taken as a new one."""
        del pushed
        (tmp_path / "back").mkdir()
        pull_from(registry, tmp_path / "back")
        assert found(tmp_path / "back") == FILES

    def test_cut_and_taken_up(self, registry, tmp_path, pushed):
        """A connection that breaks is taken up where it broke."""
        registry.faults.append(Fault(path=pushed.layers[1].descriptor.digest, cut_after=100_000))
        watcher = Recording()
        pull_from(registry, tmp_path / "back", progress=watcher)
        assert found(tmp_path / "back") == FILES
        assert watcher.bytes == sum(layer.descriptor.size for layer in pushed.layers)

    def test_interrupted_and_begun_again(self, registry, tmp_path, pushed):
        """Layers that were whole are not fetched again."""
        large = pushed.layers[1].descriptor.digest
        registry.faults.append(Fault(path=large, status=403))
        with pytest.raises(ModelcarError):
            pull_from(registry, tmp_path / "back", jobs=1)
        registry.log.clear()
        pull_from(registry, tmp_path / "back")
        assert found(tmp_path / "back") == FILES
        assert [request.path for request in registry.requests("GET", "/blobs/")] == [f"/v2/org/m/blobs/{large}"]


class TestImagesOfOthers:
    """Any modelcar there is."""

    def test_podman_s(self, registry, tmp_path):
        """A gzip layer below models/, above a base image's own files."""
        add_foreign(
            registry,
            (gzip.compress(tar({"sh": b"#!"}, prefix="bin/")), f"{LAYER_TYPE}+gzip", {}),
            (gzip.compress(tar(FILES)), f"{LAYER_TYPE}+gzip", {}),
        )
        pull_from(registry, tmp_path / "back")
        assert found(tmp_path / "back") == FILES

    def test_an_artifact(self, registry, tmp_path):
        """A raw file a layer, by its title."""
        layers = [(data, "application/octet-stream", {TITLE: path}) for path, data in FILES.items()]
        add_foreign(registry, *layers)
        pull_from(registry, tmp_path / "back")
        assert found(tmp_path / "back") == FILES

    def test_no_modelcar(self, registry, tmp_path):
        """An image without a model is said to be one."""
        add_foreign(registry, (tar({"sh": b"#!"}, prefix="bin/"), LAYER_TYPE, {}))
        with pytest.raises(NotFoundOrRefused) as caught:
            pull_from(registry, tmp_path / "back")
        assert "no model in" in caught.value.message
        assert caught.value.hint
        assert not (tmp_path / "back").exists() or found(tmp_path / "back") == {}


class TestThereAlready:
    """A folder that holds just this model is recognised, and nothing is downloaded."""

    @pytest.fixture
    def forgetful(self, registry, pushed):
        """Take the sha256 of files out of the image: pushes did not always know them. Return its digest."""
        media_type, raw = registry.manifests[pushed.digest]
        manifest = json.loads(raw)
        for layer in manifest["layers"]:
            files = json.loads(layer["annotations"][FILES_ANNOTATION])
            kept = [{"path": file["path"], "size": file["size"]} for file in files]
            layer["annotations"][FILES_ANNOTATION] = json.dumps(kept)
        return registry.add_manifest("org/m", json.dumps(manifest).encode(), media_type, "1")

    def again(self, registry, folder):
        """Pull, and return how transfers ended and which blobs were asked for."""
        registry.log.clear()
        watcher = Recording()
        result = pull_from(registry, folder, progress=watcher)
        assert result.files == tuple(PulledFile(path, len(data)) for path, data in sorted(FILES.items()))
        return set(watcher.ended.values()), registry.requests(path="/blobs/")

    @pytest.mark.usefixtures("pushed")
    def test_by_sha256(self, registry, tmp_path):
        """Of each file, as the image remembers it."""
        pull_from(registry, tmp_path / "back")
        assert self.again(registry, tmp_path / "back") == ({"exists"}, [])
        assert found(tmp_path / "back") == FILES

    def test_by_layer(self, registry, tmp_path, forgetful):
        """Where no sha256 is remembered the layer is made again, for its digest."""
        assert pull_from(registry, tmp_path / "back").digest == forgetful
        assert self.again(registry, tmp_path / "back") == ({"exists"}, [])

    @pytest.mark.usefixtures("pushed")
    def test_the_folder_that_was_pushed(self, registry, tmp_path):
        """Need not have been pulled."""
        assert self.again(registry, tmp_path / "model") == ({"exists"}, [])

    @pytest.mark.usefixtures("pushed")
    def test_a_fresh_volume(self, registry, tmp_path):
        """Has lost+found."""
        (tmp_path / "model/lost+found").mkdir()
        assert self.again(registry, tmp_path / "model") == ({"exists"}, [])

    @pytest.mark.parametrize("media_type", ["application/octet-stream", LAYER_TYPE], ids=["typed", "stock oras push"])
    def test_an_artifact(self, registry, tmp_path, media_type):
        """A raw layer's digest is its file's; a few bytes tell that it is no tar."""
        add_foreign(registry, *((data, media_type, {TITLE: path}) for path, data in FILES.items()))
        pull_from(registry, tmp_path / "back")
        ends, asked = self.again(registry, tmp_path / "back")
        assert (ends, len(asked)) == ({"exists"}, len(FILES) if media_type == LAYER_TYPE else 0)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda folder: (folder / "more.txt").write_bytes(b""), id="a file more"),
            pytest.param(lambda folder: (folder / "config.json").unlink(), id="a file less"),
            pytest.param(lambda folder: (folder / "config.json").write_bytes(b'{"a":2}'), id="a byte of a small file"),
            pytest.param(lambda folder: (folder / "config.json").write_bytes(b"{}"), id="another size"),
            pytest.param(
                lambda folder: (folder / "w.safetensors").write_bytes(FILES["w.safetensors"][:-1] + b"?"), id="the end"
            ),
            pytest.param(lambda folder: (folder / "link").symlink_to("config.json"), id="a link more"),
            pytest.param(
                lambda folder: (
                    (folder / "config.json").rename(folder / "x") and (folder / "config.json").symlink_to("x")
                ),
                id="a link in place of a file",
            ),
        ],
    )
    @pytest.mark.parametrize("image", ["pushed", "forgetful"])
    def test_anything_else_is_refused(self, registry, tmp_path, change, image, request):
        """As any folder with something in it; it is left as it is."""
        request.getfixturevalue(image)
        pull_from(registry, tmp_path / "back")
        change(tmp_path / "back")
        before = found(tmp_path / "back")
        registry.log.clear()
        with pytest.raises(LocalFailure) as caught:
            pull_from(registry, tmp_path / "back")
        assert caught.value.message == f"unpacking to {tmp_path / 'back'}: the folder is not empty"
        assert (found(tmp_path / "back"), registry.requests(path="/blobs/")) == (before, [])

    def test_somebody_else_s_tar_is_refused(self, registry, tmp_path):
        """Nobody knows the headers that its digest is of; it is not downloaded to compare."""
        add_foreign(registry, (gzip.compress(tar(FILES)), f"{LAYER_TYPE}+gzip", {}))
        pull_from(registry, tmp_path / "back")
        registry.log.clear()
        with pytest.raises(LocalFailure):
            pull_from(registry, tmp_path / "back")
        assert registry.requests(path="/blobs/") == []

    def test_another_recipe_is_refused(self, registry, tmp_path, forgetful):
        """Its headers would be others."""
        media_type, raw = registry.manifests[forgetful]
        manifest = json.loads(raw)
        manifest["annotations"][RECIPE_ANNOTATION] = "0"
        registry.add_manifest("org/m", json.dumps(manifest).encode(), media_type, "1")
        with pytest.raises(LocalFailure):
            pull_from(registry, tmp_path / "model")


class TestAllOrNothing:
    """A pull that fails leaves no model that looks whole."""

    def test_damaged_layer(self, registry, tmp_path, pushed):
        """A byte that flips is found, and no file shows."""
        registry.faults.append(Fault(path=pushed.layers[1].descriptor.digest, corrupt_at=150_000, times=-1))
        with pytest.raises(IntegrityFailure) as caught:
            pull_from(registry, tmp_path / "back")
        assert pushed.layers[1].descriptor.digest in caught.value.message
        assert [path for path in found(tmp_path / "back") if not path.startswith(".partial-")] == []

    @pytest.mark.parametrize("name", ["../evil", "/etc/evil", "models/../../evil"])
    def test_names_that_lead_out(self, registry, tmp_path, name):
        """An image cannot write elsewhere."""
        add_foreign(
            registry,
            (tar({"config.json": b"{}"}), LAYER_TYPE, {}),
            (b"evil", "application/octet-stream", {TITLE: name}),
        )
        with pytest.raises(IntegrityFailure):
            pull_from(registry, tmp_path / "back")
        assert list(tmp_path.rglob("evil")) == []

    @pytest.mark.usefixtures("pushed")
    def test_folder_with_something_in_it(self, registry, tmp_path):
        """Is left as it is."""
        (tmp_path / "back").mkdir()
        (tmp_path / "back" / "notes.txt").write_bytes(b"mine")
        with pytest.raises(LocalFailure) as caught:
            pull_from(registry, tmp_path / "back")
        assert str(tmp_path / "back") in caught.value.message
        assert (found(tmp_path / "back"), registry.requests("GET", "/blobs/")) == ({"notes.txt": b"mine"}, [])

    @pytest.mark.usefixtures("pushed")
    def test_no_room(self, registry, tmp_path, monkeypatch):
        """Is known before the first byte."""
        statvfs = "os.statvfs"
        monkeypatch.setattr(statvfs, lambda _: type("Full", (), {"f_bavail": 1, "f_frsize": 4096}))
        with pytest.raises(LocalFailure) as caught:
            pull_from(registry, tmp_path / "back")
        assert "are needed and 0.0 MB are free" in caught.value.message
        assert registry.requests("GET", "/blobs/") == []


def test_digest_of_the_tests_own_image(registry, tmp_path, pushed):
    """What is pulled by digest is what was pushed."""
    opened = open_image(parse_location(f"{registry.host}/org/m@{pushed.digest}"), ACCESS)
    assert (pull(opened, tmp_path / "back", jobs=1).digest, digest_of(opened.manifest.raw)) == (pushed.digest,) * 2
