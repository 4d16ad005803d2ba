"""Tests of what is said of a file by its content."""

import pytest

from kubectl_modelcar.errors import IntegrityFailure
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source import check_content

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"


@pytest.mark.parametrize("allow_unsafe", [False, True])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_git_lfs_pointer_is_said_to_be_one(name, allow_unsafe):
    """The commonest broken folder is a clone without LFS."""
    file = ModelFile(name, len(POINTER))
    with pytest.raises(IntegrityFailure) as caught:
        check_content(file, lambda offset, length: POINTER[offset : offset + length], allow_unsafe=allow_unsafe)
    assert (caught.value.message, caught.value.hint) == (
        f"{name} is a Git LFS pointer and not the file itself",
        "run: git lfs pull, in the repository's folder",
    )
