"""Tests of the files of a model as tar layers."""

import hashlib
import io
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import LARGE_FILE, MAX_LAYERS, LayerPlan, ModelFile, plan_layers
from tests.image.trees import SMALL_TREE, plan_of, tar_of

GIB = 2**30
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def members(data):
    """Return the members of a tar, as the standard library reads them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


class TestBytes:
    """A layer's bytes are a function of its files."""

    def test_golden(self):
        """A change of these bytes is a change of every image's digest: raise RECIPE with it."""
        digest = hashlib.sha256(tar_of(SMALL_TREE)).hexdigest()
        assert digest == "c4b40c771cce2fbbe6f98f0ec91287d566716d21afa5f050b808159dd8175195"

    def test_what_gnu_tar_writes(self, tmp_path):
        """GNU tar, told all of DESIGN D3, writes the same bytes."""
        tree = {path: data for path, data in SMALL_TREE.items() if len(path) < 100}  # it says mode 644 of long names
        for path, data in tree.items():
            file = tmp_path / "models" / path
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            file.write_bytes(data)
        subprocess.run(["chmod", "-R", "u=rwX,go=rX", "models"], cwd=tmp_path, check=True)
        ours = tar_of(tree)
        names = "\0".join(member.name for member in members(ours))
        options = ["--no-recursion", "--null", "-T-", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
        theirs = subprocess.run(
            ["tar", "--format=gnu", "-b1", *options, "-cf-"],
            input=names.encode(),
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert ours == theirs.stdout

    def test_order_of_the_files_does_not_matter(self):
        """A folder lists its files in any order."""
        assert tar_of(dict(reversed(SMALL_TREE.items()))) == tar_of(SMALL_TREE)

    def test_ends_with_two_zero_blocks(self):
        """Exactly two: Go's reader stops there, and a digest of what it read must fit."""
        data = tar_of({"a": b"1" * 512})
        assert (data[-1024:], data[-1536:-1024]) == (bytes(1024), b"1" * 512)

    def test_members(self):
        """Folders before their files, all of them root's, readable to all, and of no time."""
        found = members(tar_of({"b/c.txt": b"12", "a.json": b"{}"}))
        assert [(m.name, m.type, m.mode, m.size) for m in found] == [
            ("models", tarfile.DIRTYPE, 0o755, 0),
            ("models/a.json", tarfile.REGTYPE, 0o644, 2),
            ("models/b", tarfile.DIRTYPE, 0o755, 0),
            ("models/b/c.txt", tarfile.REGTYPE, 0o644, 2),
        ]
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in found} == {(0, 0, "", "", 0)}


class TestSize:
    """The size is known before a byte of a file is read."""

    @given(st.dictionaries(PATHS, st.binary(max_size=1100), min_size=1, max_size=6))
    def test_is_that_of_the_bytes(self, tree):
        """The formula and the bytes agree, whatever the names and sizes."""
        tree = {path: data for path, data in tree.items() if not any(other.startswith(path + "/") for other in tree)}
        assert plan_of(tree).size == len(tar_of(tree))

    @given(st.dictionaries(PATHS, st.binary(max_size=600), min_size=1, max_size=6))
    def test_python_reads_back(self, tree):
        """The standard library reads the same names and bytes."""
        tree = {path: data for path, data in tree.items() if not any(other.startswith(path + "/") for other in tree)}
        with tarfile.open(fileobj=io.BytesIO(tar_of(tree))) as archive:
            found = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
        assert found == {f"models/{path}": data for path, data in tree.items()}

    def test_over_8_gib_in_base_256(self):
        """Eleven octal digits end at 8 GiB; GNU's base-256 begins there, and no PAX record is written."""
        header = next(p for p in LayerPlan((ModelFile("w", 9 * GIB),)).parts() if isinstance(p, bytes) and b"/w" in p)
        assert (len(header), header[124:136]) == (512, b"\x80" + (9 * GIB).to_bytes(11, "big"))
        assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == 9 * GIB

    def test_of_a_layer_over_8_gib(self):
        """Header of the folder, header of the file, its bytes, the end."""
        assert LayerPlan((ModelFile("w", 9 * GIB),)).size == 2 * 512 + 9 * GIB + 1024


class TestOtherReaders:
    """Names that tar's first format has no room for."""

    def test_gnu_tar_extracts(self, tmp_path):
        """The system's own tar writes the files as they were."""
        subprocess.run(["tar", "-xf-"], input=tar_of(SMALL_TREE), cwd=tmp_path, check=True)
        found = {
            str(path.relative_to(tmp_path / "models")): path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_file()
        }
        assert found == SMALL_TREE

    def test_names_of_100_bytes(self):
        """The longest name that fits the header and the first that does not."""
        fits, over = "f" * (100 - len("models/")), "f" * (101 - len("models/"))
        assert len(tar_of({over: b""})) - len(tar_of({fits: b""})) == 1024


class TestPlanLayers:
    """How files are divided over layers."""

    def test_small_files_share_the_first_layer(self):
        """Who needs config.json reads from the top."""
        files = [ModelFile("w.safetensors", LARGE_FILE), ModelFile("z.json", 2), ModelFile("config.json", 2)]
        assert [[file.path for file in plan.files] for plan in plan_layers(files)] == [
            ["config.json", "z.json"],
            ["w.safetensors"],
        ]

    @pytest.mark.parametrize(
        ("size", "layers"), [pytest.param(LARGE_FILE - 1, 1, id="small"), pytest.param(LARGE_FILE, 2, id="large")]
    )
    def test_where_large_begins(self, size, layers):
        """From 64 MiB a file is a layer of its own."""
        assert len(plan_layers([ModelFile("a", 1), ModelFile("b", size)])) == layers

    def test_no_small_files(self):
        """Large files alone make no empty layer."""
        assert [plan.files for plan in plan_layers([ModelFile("a", LARGE_FILE)])] == [(ModelFile("a", LARGE_FILE),)]

    @pytest.mark.parametrize("count", [1, 98, 99, 100, 163, 1000])
    @pytest.mark.parametrize("small", [0, 3])
    @pytest.mark.parametrize("room", [MAX_LAYERS, MAX_LAYERS - 1, 5])
    def test_never_more_layers_than_room(self, count, small, room):
        """Every file is in one layer, neighbours share, and shares differ by one file at most."""
        files = [ModelFile(f"{n:05}.safetensors", LARGE_FILE) for n in range(count)]
        files += [ModelFile(f"{n}.json", 10) for n in range(small)]
        plans = plan_layers(files, room=room)
        large = [len(plan.files) for plan in plans if plan.files[0].size == LARGE_FILE]
        assert [file for plan in plans for file in plan.files] == [
            *sorted(files[count:], key=lambda f: f.path),
            *files[:count],
        ]
        assert len(plans) == min(count + bool(small), room)
        assert max(large) - min(large) <= 1

    def test_names_of_layers_differ(self):
        """Progress tells transfers apart by name: two layers of two files each have different ones."""
        plans = plan_layers([ModelFile(f"{n:05}.safetensors", LARGE_FILE) for n in range(163)])
        assert len({plan.name for plan in plans}) == len(plans)

    def test_no_room(self):
        """A base image that fills an image by itself is refused in words."""
        with pytest.raises(InvalidInput) as caught:
            plan_layers([ModelFile("a", 1), ModelFile("b", LARGE_FILE)], room=1)
        assert caught.value.message == "2 layers are needed where the base image leaves room for 1"
