"""Tests of annotations and labels: as typed, and as a layer remembers its files."""

import json

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import (
    FILES_ANNOTATION,
    LayerPlan,
    ModelFile,
    layer_descriptor,
    parse_pairs,
    remembered_files,
)

SHA, GIT = "e" * 64, "0123456789abcdef0123456789abcdef01234567"
FILES = (ModelFile("größe.json", 3, git=GIT), ModelFile("w.safetensors", 4, SHA))


class TestParsePairs:
    """KEY=VALUE."""

    @pytest.mark.parametrize(
        ("texts", "pairs"),
        [
            pytest.param([], {}, id="none"),
            pytest.param(["a=1", "b.c/d=e f"], {"a": "1", "b.c/d": "e f"}, id="two"),
            pytest.param(["a="], {"a": ""}, id="an empty value"),
            pytest.param(["a=b=c"], {"a": "b=c"}, id="a value with ="),
            pytest.param(["a=1", "a=1"], {"a": "1"}, id="the same twice"),
        ],
    )
    def test_pairs(self, texts, pairs):
        """The first = parts them."""
        assert parse_pairs(texts, option="--label") == pairs

    @pytest.mark.parametrize(
        ("texts", "problem"),
        [
            pytest.param(["a"], "'a' is not KEY=VALUE", id="no ="),
            pytest.param(["=a"], "'=a' is not KEY=VALUE", id="no key"),
            pytest.param([" a=b"], "' a=b' is not KEY=VALUE", id="a space before the key"),
            pytest.param(["a\n=b"], r"'a\n=b' is not KEY=VALUE", id="a control character"),
            pytest.param(["a=1", "a=2"], "a is given twice", id="twice"),
            pytest.param([f"{FILES_ANNOTATION}=[]"], f"{FILES_ANNOTATION} is set by push itself", id="ours"),
            pytest.param(["a", "b"], "'a' is not KEY=VALUE, 'b' is not KEY=VALUE", id="all problems at once"),
        ],
    )
    def test_refused(self, texts, problem):
        """In words that name the option."""
        with pytest.raises(InvalidInput) as caught:
            parse_pairs(texts, option="--annotation")
        assert (caught.value.message, caught.value.hint) == (
            f"--annotation: {problem}",
            "for example --annotation team=search",
        )


class TestRememberedFiles:
    """What a layer's annotation says of its files."""

    def test_is_read_back(self):
        """Path, size, sha256 and git's id, where they are known."""
        assert remembered_files(layer_descriptor(LayerPlan(FILES), "").annotations) == FILES

    def test_sha256_that_became_known(self):
        """Comes with the descriptor, and wins over what was promised: nothing else was sent."""
        descriptor = layer_descriptor(LayerPlan(FILES), "", {"größe.json": "a" * 64, "w.safetensors": "b" * 64})
        assert json.loads(descriptor.annotations[FILES_ANNOTATION]) == [
            {"path": "größe.json", "size": 3, "sha256": "a" * 64, "git": GIT},
            {"path": "w.safetensors", "size": 4, "sha256": "b" * 64},
        ]

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(None, id="none"),
            pytest.param("[", id="cut"),
            pytest.param("[" * 100_000, id="nested without end"),
            pytest.param("{}", id="an object"),
            pytest.param("[1]", id="numbers"),
            pytest.param('[{"size":1}]', id="no path"),
            pytest.param('[{"path":"","size":1}]', id="an empty path"),
            pytest.param('[{"path":"a"}]', id="no size"),
            pytest.param('[{"path":"a","size":true}]', id="a size that is none"),
            pytest.param('[{"path":"a","size":-1}]', id="a negative size"),
            pytest.param('[{"path":"a","size":1,"sha256":7}]', id="a sha256 that is none"),
            pytest.param('[{"path":"a","size":1,"git":"x"}]', id="no hex"),
        ],
    )
    def test_unsound(self, text):
        """Is no memory, and no error either: then everything is sent."""
        assert remembered_files({} if text is None else {FILES_ANNOTATION: text}) is None
