"""Where the Helm chart and its puller are, whichever way this package was installed."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["chart_dir", "puller"]


@contextmanager
def chart_dir() -> Iterator[Path]:
    """Yield the chart's folder, as helm takes it.

    A wheel holds it as `kubectl_modelcar/_chart`; an editable install or a checkout has it beside the package
    (setuptools' editable mode does not map it, and says so only by a path that does not exist).
    """
    packaged = files("kubectl_modelcar").joinpath("_chart")
    if packaged.is_dir():
        with as_file(packaged) as path:
            yield path
    else:
        yield Path(__file__).resolve().parents[1] / "chart"


if TYPE_CHECKING:
    import puller  # chart/files is on mypy's path
else:

    def _load_puller() -> ModuleType:
        # By path and not by package name: a chart is no Python package, and pods run the same file.
        name = "kubectl_modelcar.puller"
        with chart_dir() as folder:
            spec = importlib.util.spec_from_file_location(name, folder / "files" / "puller.py")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return module

    puller = _load_puller()
