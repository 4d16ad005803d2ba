"""Pytest plugin: the real small model, and a real server that answers with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llm.prepare import Prepared, prepare
from tests.llm.process import serving
from tests.tools.errors import ToolError
from tests.tools.requirement import unavailable

pytest_plugins = ["tests.tools.fixtures"]


@pytest.fixture(scope="session")
def prepared_model() -> Prepared:
    """Give the model's folder and the Python that serves it."""
    try:
        return prepare()
    except ToolError as error:
        unavailable(error)


@pytest.fixture(scope="session")
def smollm2(prepared_model: Prepared) -> Path:
    """Give the model's folder; all tests share it, so nobody writes to it."""
    return prepared_model.model


@pytest.fixture(scope="session")
def model_server(smollm2: Path) -> Iterator[str]:
    """Give the URL of a server with the model, served as `smollm2-135m-instruct`, without a key."""
    with serving(smollm2, "--max-model-len", "2048") as server:
        yield server.url
