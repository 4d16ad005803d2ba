"""Layers that were made before, found by what is in them: in this machine's memory and in images that are there."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice

from kubectl_modelcar.image import RECIPE, Descriptor, ModelFile, PlannedLayer, digest_of, remembered_files
from kubectl_modelcar.memory import KnownLayer, Memory
from kubectl_modelcar.sending.seams import ModelSource


class Known:
    """What is known of layers before their files are read.

    `images` gives the layers of images of ours, the most promising one first, each asked for only when those before it
    did not answer. `accepts` tells apart what was checked less from what was checked in full (--allow-unsafe). What is
    found was made, and so checked, by a push. All but `key` is for one thread.
    """

    def __init__(
        self, source: ModelSource, memory: Memory, images: Iterable[Sequence[Descriptor]], *, accepts: str = ""
    ) -> None:
        self._source, self._memory, self._accepts = source, memory, accepts
        self._more = iter(images)
        self._images: list[Sequence[tuple[Descriptor, tuple[ModelFile, ...]]]] = []

    def find(self, plan: PlannedLayer) -> KnownLayer | None:
        """Return the layer that this plan will give, if that can be told without reading its files."""
        key = self.key(plan)
        recalled = self._memory.recall(key) if key else None
        if recalled and recalled.size == plan.size:
            return recalled
        if not all(file.sha256 or file.git for file in plan.files):
            return None
        return next((known for image in self._each() if (known := _same(image, plan))), None)

    def resembles(self, plan: PlannedLayer) -> bool:
        """Tell whether an image has a layer of the same size: the same files, perhaps."""
        return any(layer.size == plan.size for image in self._each(1) for layer, _ in image)

    def were_checked(self, plans: Sequence[PlannedLayer]) -> bool:
        """Tell whether these very files were pushed together before, and so passed all checks."""
        wanted = sorted((file.path, file.size) for plan in plans for file in plan.files)
        return self._memory.recall(self._key_of_all(plans)) is not None or any(
            sorted((file.path, file.size) for _, files in image for file in files) == wanted for image in self._images
        )

    def note_checked(self, plans: Sequence[PlannedLayer]) -> None:
        """Remember that the files of these plans passed all checks."""
        if all(map(self.key, plans)):
            self._memory.learn(self._key_of_all(plans), KnownLayer("", 0, {}))

    def key(self, plan: PlannedLayer) -> str | None:
        """Return what stands for the plan in the memory; None where a file may change unseen."""
        stamps = [(file.path, file.size, self._source.stamp(file)) for file in plan.files]
        if not all(stamp for _, _, stamp in stamps):
            return None
        said = json.dumps([RECIPE, plan.media_type, self._accepts, stamps])
        return digest_of(said.encode())

    def _key_of_all(self, plans: Sequence[PlannedLayer]) -> str:
        return "checked:" + digest_of(json.dumps([self.key(plan) for plan in plans]).encode())

    def _each(self, most: int | None = None) -> Iterator[Sequence[tuple[Descriptor, tuple[ModelFile, ...]]]]:
        """Yield the images, at most so many: first those that were looked at before."""
        for number in islice(count(), most):
            if number == len(self._images):
                layers = next(self._more, None)
                if layers is None:
                    return
                self._images.append([(layer, remembered_files(layer.annotations) or ()) for layer in layers])
            yield self._images[number]


def _same(image: Sequence[tuple[Descriptor, tuple[ModelFile, ...]]], plan: PlannedLayer) -> KnownLayer | None:
    for layer, files in image:
        if (layer.media_type, layer.size, len(files)) != (plan.media_type, plan.size, len(plan.files)):
            continue
        sha256 = {file.path: file.sha256 for file in files if file.sha256}
        # All of them, or the manifest would not be the same as if they had been read.
        if len(sha256) == len(files) and all(map(_is_same, sorted(files, key=lambda file: file.path), plan.files)):
            return KnownLayer(layer.digest, layer.size, sha256)
    return None


def _is_same(remembered: ModelFile, file: ModelFile) -> bool:
    if (remembered.path, remembered.size) != (file.path, file.size):
        return False
    return file.sha256 == remembered.sha256 if file.sha256 else file.git is not None and file.git == remembered.git
