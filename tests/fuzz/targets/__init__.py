"""Which parser gets which inputs, and what must hold of its answers."""

from tests.fuzz.targets import files, http, images, names, uploads
from tests.fuzz.trial import Target

TARGETS: dict[str, Target] = {
    target.name: target for target in (*names.TARGETS, *http.TARGETS, *uploads.TARGETS, *images.TARGETS, *files.TARGETS)
}
