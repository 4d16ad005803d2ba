"""Pytest plugin: the real tools; tests whose HOME is a temporary folder still find them in the real one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools import tool
from tests.tools.cache import cache_folder
from tests.tools.errors import ToolError
from tests.tools.requirement import unavailable


def pytest_configure() -> None:
    """Name the cache in the environment before any fixture changes HOME."""
    os.environ["MODELCAR_CACHE"] = str(cache_folder())


@pytest.fixture(scope="session")
def real_tool() -> Callable[[str], Path]:
    """Give a function that finds an installed tool by name, or ends the test."""

    def find(name: str) -> Path:
        try:
            return tool(name)
        except ToolError as error:
            unavailable(error)

    return find
