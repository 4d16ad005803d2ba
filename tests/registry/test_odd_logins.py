"""Tests of credentials files that no program of today would write."""

import base64
import json

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import LocalFailure
from kubectl_modelcar.image import parse_location
from kubectl_modelcar.registry import find_credential

HALF = "\\ud800"  # of a pair of surrogates, as JSON may hold it


def find(path):
    return find_credential(parse_location("quay.io/me/m"), path)


@pytest.fixture
def written(tmp_path):
    """Write a file and return it."""

    def write(text):
        path = tmp_path / "auth.json"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(f'{{"username": "{HALF}", "password": "s3cr3t"}}', id="user"),
        pytest.param(f'{{"username": "me", "password": "s3cr3t{HALF}"}}', id="password"),
        pytest.param(f'{{"identitytoken": "s3cr3t{HALF}"}}', id="identity token"),
        pytest.param(f'{{"auth": "s3cr3t{HALF}"}}', id="auth"),
    ],
)
def test_half_a_character(written, entry):
    """No header can carry it; neither the message nor what caused it shows the secret."""
    path = written(f'{{"auths": {{"quay.io": {entry}}}}}')
    with pytest.raises(LocalFailure) as caught:
        find(path)
    assert caught.value.message == f"credentials file {path} has an unreadable entry for quay.io"
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_nested_without_end(written):
    """Is no JSON that anybody could read."""
    path = written("[" * 100_000)
    with pytest.raises(LocalFailure) as caught:
        find(path)
    assert caught.value.message == f"credentials file {path} is not JSON"


def test_padded(written):
    """Old versions of docker filled passwords up with NULs, and new ones cut them off."""
    auth = base64.b64encode(b"me:s3cr3t\0\0").decode()
    assert find(written(json.dumps({"auths": {"quay.io": {"auth": auth}}}))) == puller.Credential("me", "s3cr3t")
