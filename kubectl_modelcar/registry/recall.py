"""What images of ours remember of the files in their layers, so that the same files need not be read or sent again."""

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, NetworkGaveUp, NotAuthorised, NotFoundOrRefused
from kubectl_modelcar.image import RECIPE, RECIPE_ANNOTATION, UNSAFE_ANNOTATION, Descriptor
from kubectl_modelcar.registry.translation import our_errors

_OTHERS = 8  # tags beside those that are pushed to; each costs a request


class Repository(Protocol):
    """What an image is pushed to: it is asked itself, for there the login is known and the connection stands."""

    def tags(self) -> Sequence[str]:
        """Return the tags that there are, as far as they are told."""

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return the bytes and the media type of the manifest that a tag or a digest names."""


def remembered_images(
    repository: Repository, tags: Sequence[str], *, allow_unsafe: bool = False
) -> Iterator[Sequence[Descriptor]]:
    """Yield the layers of the images that we made there: of those with `tags`, then of some with others, last first.

    Each is read when it is asked for. Left out are images of another recipe, and those whose files were not searched
    for code unless that is allowed now, too.
    """
    for tag in tags:
        yield from _layers(repository, tag, allow_unsafe=allow_unsafe)
    for tag in [tag for tag in repository.tags() if tag not in tags][: -_OTHERS - 1 : -1]:
        yield from _layers(repository, tag, allow_unsafe=allow_unsafe)


def _layers(repository: Repository, tag: str, *, allow_unsafe: bool) -> Iterator[Sequence[Descriptor]]:
    try:
        with our_errors():
            # It asks for manifests alone. Of an index any image will do: the model's layers are in all of them.
            manifest = puller.resolve(cast("puller.Source", repository), tag)
    except (NotAuthorised, NotFoundOrRefused, NetworkGaveUp, IntegrityFailure, LocalFailure):
        return  # nothing is lost but the saving; what is wrong for a push, too, is said there
    if manifest.annotations.get(RECIPE_ANNOTATION) != RECIPE:
        return
    if UNSAFE_ANNOTATION in manifest.annotations and not allow_unsafe:
        return
    yield [Descriptor(layer.media_type, layer.digest, layer.size, layer.annotations) for layer in manifest.layers]
