"""A model in a repository of the fake Hub, and the verbs to read it."""

import random

from kubectl_modelcar.source import Selection, open_source

WEIGHTS = random.Random(1).randbytes(3 * 2**20 + 7)  # noqa: S311  bytes that do not repeat
FILES = {"README.md": b"# Model", "config.json": b"{}", "w.safetensors": WEIGHTS, "image.png": b"png"}
LISTING = r"^/api/models/"


def listing(source=None, **selection):
    return (source or open_source("org/m")).listing(Selection(**selection))


def opened(hub, path):
    """A source that was listed, the file of this path, and a log without the listing."""
    source = open_source("org/m")
    (file,) = (file for file in listing(source).files if file.path == path)
    hub.log.clear()
    return source, file
