"""Pytest plugin: tests whose HOME is a temporary folder still find what `make tools` built in the real one."""

import os

from tests.tools.cache import cache_folder


def pytest_configure() -> None:
    """Name the cache in the environment before any fixture changes HOME."""
    os.environ["KUBECTL_MODELCAR_CACHE"] = str(cache_folder())
