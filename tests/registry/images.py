"""An image in a false registry, for the tests of reading."""

import json

from kubectl_modelcar.image import (
    CONFIG_TYPE,
    FILES_ANNOTATION,
    LAYER_TYPE,
    MANIFEST_TYPE,
    RECIPE_ANNOTATION,
    digest_of,
    parse_location,
)
from kubectl_modelcar.registry import RegistryAccess
from tests.image.trees import tar_of

TREE = {"config.json": b'{"a":1}', "w.safetensors": b"w" * 5000}
LAYER = tar_of(TREE)
ACCESS = RegistryAccess(plain_http=True)
FILES = json.dumps([{"path": path, "size": len(data)} for path, data in TREE.items()])


def add_image(registry, *, repository="org/m", tag="1", recipe="1", config=b"{}", config_size=None):
    """Put an image of TREE there and return its digest."""
    registry.add_blob(repository, config)
    registry.add_blob(repository, LAYER)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": config_size or len(config)},
        "layers": [
            {
                "mediaType": LAYER_TYPE,
                "digest": digest_of(LAYER),
                "size": len(LAYER),
                "annotations": {FILES_ANNOTATION: FILES},
            }
        ],
        "annotations": {RECIPE_ANNOTATION: recipe} if recipe else {},
    }
    return registry.add_manifest(repository, json.dumps(manifest).encode(), MANIFEST_TYPE, tag)


def reference(registry, text="org/m:1"):
    return parse_location(f"{registry.host}/{text}")
