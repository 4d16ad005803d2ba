"""Tests of which files make the model."""

import json

import pytest

from kubectl_modelcar.errors import IntegrityFailure, InvalidInput, NotFoundOrRefused
from kubectl_modelcar.source import Selection, check_patterns, check_shards
from tests.source.weights import index

REPOSITORY = [
    ".gitattributes",
    ".cache/huggingface/download/config.json",
    "LICENSE",
    "NOTICE.txt",
    "README.md",
    "USE_POLICY.md",
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "flax_model.msgpack",
    "generation_config.json",
    "image.png",
    "merges.txt",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.gguf",
    "model.safetensors.index.json",
    "modeling_custom.py",
    "onnx/model.onnx",
    "original/params.json",
    "pytorch_model.bin",
    "qwen.tiktoken",
    "tekken.json",
    "tokenizer.model",
    "tokenizer/spiece.spm",
    "vocab.bpe",
]


def pick(paths, **patterns):
    return Selection(**patterns).pick(paths, where="org/m@main")


class TestDefaults:
    """Without patterns."""

    def test_a_repository(self):
        """Weights, configurations, tokenizers of every kind, and the papers; no code, no pickles, nothing hidden."""
        assert sorted(set(REPOSITORY) - set(pick(REPOSITORY))) == [
            ".cache/huggingface/download/config.json",
            ".gitattributes",
            "flax_model.msgpack",
            "image.png",
            "model.gguf",
            "modeling_custom.py",
            "onnx/model.onnx",
            "pytorch_model.bin",
        ]

    def test_sorted(self):
        """Whatever the order in which a folder lists them."""
        assert pick(["b.json", "a.json", "B.txt"]) == ["B.txt", "a.json", "b.json"]

    @pytest.mark.parametrize(
        ("paths", "left"),
        [
            pytest.param(
                ["consolidated.safetensors", "model.safetensors"], ["model.safetensors"], id="one file of each kind"
            ),
            pytest.param(
                ["consolidated.00.safetensors", "model-00001-of-00002.safetensors"],
                ["model-00001-of-00002.safetensors"],
                id="shards",
            ),
            pytest.param(["consolidated.safetensors"], ["consolidated.safetensors"], id="Mistral's alone"),
            pytest.param(
                ["consolidated.safetensors", "sub/model.safetensors"],
                ["consolidated.safetensors", "sub/model.safetensors"],
                id="in another folder",
            ),
            pytest.param(
                ["consolidated.safetensors.index.json", "model.safetensors"],
                ["consolidated.safetensors.index.json", "model.safetensors"],
                id="only weights are double",
            ),
        ],
    )
    def test_the_second_copy_of_the_weights(self, paths, left):
        """Mistral ships its weights twice; the image holds them once."""
        assert pick(paths) == left


class TestPatterns:
    """The user's own patterns."""

    @pytest.mark.parametrize(
        ("include", "exclude", "expected"),
        [
            pytest.param(("*.gguf",), (), ["model.gguf"], id="include takes the place of the default ones"),
            pytest.param(("*.gguf", "config.json"), (), ["config.json", "model.gguf"], id="two"),
            pytest.param(("onnx/*",), (), ["onnx/model.onnx"], id="a folder"),
            pytest.param((".gitattributes",), (), [".gitattributes"], id="hidden by name"),
            pytest.param((".cache/*",), (), [".cache/huggingface/download/config.json"], id="a hidden folder"),
            pytest.param(("*", "*.*"), ("*.*",), ["LICENSE"], id="a star stops at a dot"),
            pytest.param(("*.safetensors",), ("*-00002-*",), ["model-00001-of-00002.safetensors"], id="both"),
            pytest.param(("[cm]*.json",), (), ["config.json", "model.safetensors.index.json"], id="a class"),
            pytest.param(("CONFIG.JSON", "vocab.bpe"), (), ["vocab.bpe"], id="case counts"),
            pytest.param(("spiece.spm",), (), ["tokenizer/spiece.spm"], id="the name alone"),
        ],
    )
    def test_pick(self, include, exclude, expected):
        """As a shell matches; against the path and against the name."""
        assert pick(REPOSITORY, include=include, exclude=exclude) == expected

    def test_include_takes_both_copies(self):
        """Who names them gets them."""
        paths = ["consolidated.safetensors", "model.safetensors"]
        assert pick(paths, include=("*.safetensors",)) == paths

    @pytest.mark.parametrize(
        ("selection", "message"),
        [
            pytest.param({}, "no file of org/m@main matches the default patterns", id="defaults"),
            pytest.param(
                {"include": ("*.gguf", "*.x")}, "no file of org/m@main matches *.gguf, *.x", id="include of nothing"
            ),
            pytest.param(
                {"exclude": ("*.png",)}, "no file of org/m@main matches the default patterns less *.png", id="exclude"
            ),
        ],
    )
    def test_nothing(self, selection, message):
        """What was looked for is said."""
        with pytest.raises(NotFoundOrRefused) as caught:
            pick(["image.png"], **selection)
        assert (caught.value.message, caught.value.hint) == (
            message,
            "see what is there, then choose with --include and --exclude",
        )

    @pytest.mark.parametrize("selection", [Selection(include=("",)), Selection(exclude=("*.json", ""))])
    def test_empty_pattern(self, selection):
        """What an unquoted glob of the shell can leave."""
        with pytest.raises(InvalidInput) as caught:
            check_patterns(selection)
        assert caught.value.message == "an empty pattern was given"

    def test_good_patterns(self):
        """Nothing is said of those."""
        assert check_patterns(Selection(("*.json",), ("a",))) is None


class TestNames:
    """Names that no folder can hold safely; a Hub repository may list anything."""

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            pytest.param("/etc/a.json", "is absolute", id="absolute"),
            pytest.param("../a.json", "leaves its folder", id="parent"),
            pytest.param("a/../../b.json", "leaves its folder", id="parent later"),
            pytest.param("a//b.json", "leaves its folder", id="empty part"),
            pytest.param("a\\b.json", "holds a backslash or control characters", id="backslash"),
            pytest.param("a\x1b[2J.json", "holds a backslash or control characters", id="escape"),
            pytest.param("a\n.json", "holds a backslash or control characters", id="newline"),
            pytest.param("a\x9b.json", "holds a backslash or control characters", id="C1 control"),
            pytest.param("n" * 251 + ".json", "has a part over 255 bytes", id="long"),
            pytest.param("ü" * 126 + ".json", "has a part over 255 bytes", id="long in bytes"),
            pytest.param("a\udcff.json", "is not UTF-8", id="not UTF-8"),
        ],
    )
    def test_refused(self, path, problem):
        """Which one, and why."""
        with pytest.raises(IntegrityFailure) as caught:
            pick([path, "config.json"], include=("*",))
        assert (caught.value.message, caught.value.hint) == (
            f"org/m@main has file names that are refused: {path!r} {problem}",
            "leave them out with --exclude",
        )

    def test_differ_in_case_only(self):
        """They would be one file on some machines."""
        with pytest.raises(IntegrityFailure) as caught:
            pick(["Config.json", "config.json"])
        assert "'config.json' and 'Config.json' differ in case only" in caught.value.message

    def test_many(self):
        """The first five of them; a million would not help."""
        with pytest.raises(IntegrityFailure) as caught:
            pick([f"../{number}.json" for number in range(9)], include=("*",))
        assert caught.value.message.count("leaves its folder") == 5

    def test_left_out(self):
        """What is not taken may be called anything."""
        assert pick(["../a.json", "config.json"], exclude=("../*",)) == ["config.json"]


class TestShards:
    """Every shard that an index names must be there."""

    @staticmethod
    def check(files):
        check_shards(list(files), files.__getitem__, where="org/m@main")

    @pytest.mark.parametrize(
        "files",
        [
            pytest.param({"config.json": b"{}"}, id="no index"),
            pytest.param({"model.safetensors.index.json": index("a", "b", "a"), "a": b"", "b": b""}, id="all there"),
            pytest.param({"t/x.safetensors.index.json": index("a"), "t/a": b""}, id="in a folder"),
        ],
    )
    def test_complete(self, files):
        """Nothing is said."""
        assert self.check(files) is None

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            pytest.param(
                {"model.safetensors.index.json": index("a", "b", "c"), "b": b""},
                "model.safetensors.index.json of org/m@main names 2 of 3 shards that are not there: a, c",
                id="two of three",
            ),
            pytest.param(
                {"t/m.safetensors.index.json": index("a"), "a": b""},
                "t/m.safetensors.index.json of org/m@main names 1 of 1 shards that are not there: t/a",
                id="in another folder",
            ),
            pytest.param(
                {"m.safetensors.index.json": index(*"abcdefg")},
                "m.safetensors.index.json of org/m@main names 7 of 7 shards that are not there: a, b, c, d, e ...",
                id="many",
            ),
        ],
    )
    def test_missing(self, files, message):
        """All of them at once."""
        with pytest.raises(IntegrityFailure) as caught:
            self.check(files)
        assert (caught.value.message, caught.value.hint) == (
            message,
            "complete the download, or check --include and --exclude",
        )

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"{", id="not JSON"),
            pytest.param(b"[]", id="an array"),
            pytest.param(b"{}", id="no map"),
            pytest.param(json.dumps({"weight_map": ["a"]}).encode(), id="a list"),
            pytest.param(json.dumps({"weight_map": {"a": 1}}).encode(), id="a number for a file"),
            pytest.param(b"[" * 200_000, id="nested without end"),
            pytest.param(b"\xff\xfe", id="not text"),
        ],
    )
    def test_no_index(self, data):
        """A file of that name that is none."""
        with pytest.raises(IntegrityFailure) as caught:
            self.check({"m.safetensors.index.json": data})
        assert caught.value.message == (
            "m.safetensors.index.json is no safetensors index: it has no weight_map of tensors to files"
        )
