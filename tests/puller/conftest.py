"""What the puller's tests share: a registry that serves, and a source that does not wait long."""

from collections.abc import Callable, Iterator

import pytest

from kubectl_modelcar.chart import puller
from tests.fakes.registry import FakeRegistry
from tests.puller.images import REPOSITORY

QUICK = puller.Patience(base=0.001)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """Serve an empty registry that asks for no login."""
    with FakeRegistry() as serving:
        yield serving


@pytest.fixture
def source(registry: FakeRegistry) -> Callable[..., puller.Registry]:
    """Give a function that makes the puller's source of the registry's repository."""

    def make(credential: puller.Credential | None = None, **options: object) -> puller.Registry:
        return puller.Registry(registry.url, REPOSITORY, credential, **{"patience": QUICK, **options})

    return make
