"""Run the command line as if files of 100 kB were large: `python -m tests.faults.small ARGUMENTS...`.

With MODELCAR_READ=FILE it adds, when it ends, the names of the weights that it opened, one a line.
"""

import atexit
import os
import sys
from pathlib import Path

from tests.faults.program import LARGE


def _watch(report: Path) -> None:
    opened = set[str]()

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        # PEP 578: raised by every kind of open().
        if event == "open" and str(arguments[0]).endswith(".safetensors"):
            opened.add(Path(str(arguments[0])).name)

    sys.addaudithook(hook)
    atexit.register(lambda: report.write_text("\n".join(sorted(opened)), "utf-8"))


if __name__ == "__main__":
    if "MODELCAR_READ" in os.environ:
        _watch(Path(os.environ["MODELCAR_READ"]))
    from kubectl_modelcar.cli import main
    from kubectl_modelcar.image import layer

    layer.LARGE_FILE = LARGE
    main()
