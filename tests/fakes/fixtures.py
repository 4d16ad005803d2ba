"""Pytest plugin: the fakes that tests of several rooms use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import FakeHub
from tests.fakes.registry import FakeRegistry


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, sealed: Path) -> Iterator[FakeHub]:
    """Run a Hub and point the client of this process, and of processes that it starts, to it."""
    from huggingface_hub import close_session, constants  # noqa: PLC0415  half a second that other tests need not wait

    with FakeHub() as fake:
        # The client reads its environment when it is imported, which in this process may be long ago.
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(sealed / "hf" / "token"))
        monkeypatch.setattr(constants, "ENDPOINT", fake.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", fake.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake
        close_session()  # its connections lead to servers that are gone


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """Run a registry without TLS that lets anybody push."""
    with FakeRegistry() as fake:
        yield fake
