"""An image in a layout folder: the verbs of the tests of layouts."""

import json

from kubectl_modelcar.image import CONFIG_TYPE, BaseImage, Document, Held, LayoutReference, image_manifest
from kubectl_modelcar.registry import LayoutTarget

REF_NAME = "org.opencontainers.image.ref.name"
NOBODY = 65534
CONFIG = Document(CONFIG_TYPE, b"{}")


def target(folder):
    made = LayoutTarget(LayoutReference(folder))
    made.prepare()
    return made


def manifest(**annotations):
    return image_manifest(CONFIG, BaseImage(), [], annotations)


def publish(folder, tag="latest", **annotations):
    """Publish an image that differs by its annotations, and return its digest."""
    made, document = target(folder), manifest(**annotations)
    made.upload(Held("config", CONFIG.data), CONFIG.digest)
    assert made.put_manifest(document, tag) == document.digest
    return document.digest


def index(folder):
    return json.loads((folder / "index.json").read_bytes())


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
