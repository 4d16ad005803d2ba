"""What the tests of the wire share: an image of one layer, and how it is unpacked."""

from pathlib import Path

from kubectl_modelcar.chart import puller
from tests.fakes.registry import PASSWORD, USER, digest_of
from tests.puller.images import ours, tree

LOGIN = puller.Credential(USER, PASSWORD)
WEIGHTS = bytes(range(256)) * (12 << 10)  # 3 MiB
LAYER = ours({"model.safetensors": WEIGHTS})
SIZE = len(LAYER.data)
BLOB = rf"/blobs/{digest_of(LAYER.data)}"


def unpack(source: puller.Registry, folder: Path) -> dict[str, bytes]:
    """Return the files of the image v1, unpacked in one thread."""
    puller.unpack(source, puller.resolve(source, "v1"), folder, jobs=1)
    return tree(folder)
