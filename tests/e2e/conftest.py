"""What the end-to-end tests share: the model in a registry, and one installed release a module."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.cluster.fixtures import fresh_namespace
from tests.e2e.client import Terminal, terminal

MODEL = "smollm2-135m-instruct"


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the user's home."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="session")
def pushed(cluster: Cluster, home: Path, smollm2: Path) -> str:
    """Push the real model to the cluster's registry and return the image by digest."""
    user = terminal(cluster, home, "default")
    image = f"{cluster.registry}/models/{MODEL}:1"
    return user.modelcar("push", smollm2, image, "--plain-http", "-q").out.strip()


@pytest.fixture
def user(cluster: Cluster, home: Path, namespace: str) -> Terminal:
    """Give a terminal whose user administers a fresh namespace with Pod Security `restricted`."""
    return terminal(cluster, home, namespace)


@pytest.fixture(scope="module")
def settled(cluster: Cluster, home: Path) -> Iterator[Terminal]:
    """Give a terminal for a namespace that the tests of a module share."""
    with fresh_namespace(cluster) as name:
        yield terminal(cluster, home, name)


@pytest.fixture(scope="session")
def install(pushed: str, server_image: str) -> Callable[..., list[str]]:
    """Give a function that returns the arguments of `install` for the real model and the light real server."""

    def arguments(name: str, namespace: str, *more: str) -> list[str]:
        return [
            *("install", name, pushed, "--plain-http", "-n", namespace, "--server-image", server_image),
            # The node has two cores in all.
            *("--context-length", "2048", "--set", "server.resources.requests.cpu=100m"),
            *("--timeout", "4m", *more),
        ]

    return arguments
