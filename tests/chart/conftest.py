"""Fixtures: the chart, rendered by the real helm from the least values and more."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.chart.rendering import DIGEST, REFERENCE, Helm, Rendered, merged
from tests.tools import tool

LEAST = {"model": {"image": {"reference": REFERENCE, "digest": DIGEST}}}

Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm, with nothing of the user's."""
    return Helm(tool("helm"), tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """Render the chart with the least values and those given, by name or as a mapping."""

    def rendered(values: dict[str, Any] | None = None, *flags: str, release: str = "granite", **more: Any) -> Rendered:
        return helm.render(merged(merged(LEAST, values or {}), more), *flags, release=release)

    return rendered


@pytest.fixture(scope="session")
def default(render: Render) -> Rendered:
    """The chart with the least values."""
    return render()


@pytest.fixture(scope="session")
def notes(helm: Helm) -> Callable[..., str]:
    """The notes with the least values and those given."""

    def said(values: dict[str, Any] | None = None, *, release: str = "granite", **more: Any) -> str:
        return helm.notes(merged(merged(LEAST, values or {}), more), release=release)

    return said
