"""What images of ours remember of the files in their layers, so that the same files need not be read or sent again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import RECIPE, RECIPE_ANNOTATION, UNSAFE_ANNOTATION, Descriptor, Location
from kubectl_modelcar.registry.access import RegistryAccess
from kubectl_modelcar.registry.reading import open_image

_OTHERS = 8  # tags beside those that are pushed to; each costs a request


def remembered_images(
    location: Location,
    access: RegistryAccess,
    tags: Sequence[str],
    others: Callable[[], Sequence[str]] = tuple,
    *,
    allow_unsafe: bool = False,
) -> Iterator[Sequence[Descriptor]]:
    """Yield the layers of the images that we made there: of those with `tags`, then of some with `others`, last first.

    Each is read when it is asked for. Left out are images of another recipe, and those whose files were not searched
    for code unless that is allowed now, too.
    """
    for tag in tags:
        yield from _layers(location, tag, access, allow_unsafe=allow_unsafe)
    for tag in [tag for tag in others() if tag not in tags][: -_OTHERS - 1 : -1]:
        yield from _layers(location, tag, access, allow_unsafe=allow_unsafe)


def _layers(
    location: Location, tag: str, access: RegistryAccess, *, allow_unsafe: bool
) -> Iterator[Sequence[Descriptor]]:
    try:
        # Of an index any image will do: the model's layers are in all of them.
        manifest = open_image(replace(location, tag=tag, digest=None), access, platform="").manifest
    except (NotAuthorised, NotFoundOrRefused, NetworkGaveUp, IntegrityFailure, LocalFailure):
        return  # nothing is lost but the saving; what is wrong for a push, too, is said there
    if manifest.annotations.get(RECIPE_ANNOTATION) != RECIPE:
        return
    if UNSAFE_ANNOTATION in manifest.annotations and not allow_unsafe:
        return
    yield [Descriptor(layer.media_type, layer.digest, layer.size, layer.annotations) for layer in manifest.layers]
