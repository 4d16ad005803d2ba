"""What the tests of pushing share."""

import pytest

from tests.push.pushing import FILES


@pytest.fixture(autouse=True)
def _large_files_are_small(monkeypatch):
    """Make a layer of each shard, as if it had gigabytes."""
    monkeypatch.setattr("kubectl_modelcar.image.layer.LARGE_FILE", 100_000)


@pytest.fixture
def folder(tmp_path):
    """A model of three shards."""
    model = tmp_path / "model"
    model.mkdir()
    for path, data in FILES.items():
        (model / path).write_bytes(data)
    return model
