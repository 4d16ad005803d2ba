"""Publishing under tags, and sending again what was lost before that."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from kubectl_modelcar.image import Document, Location
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.registry import BlobsMissing
from kubectl_modelcar.sending.seams import ImageTarget

_ROUNDS = 2  # of sending again what a registry lost, to its garbage collection for example

_T = TypeVar("_T")


def publish(
    target: ImageTarget, documents: Sequence[Document], location: Location, tags: Sequence[str], progress: Progress
) -> None:
    """Put the manifests by their digests, and the last one under each tag.

    It warns when somebody else has taken a tag meanwhile: both pushes are good, and the later one has the tag.
    """
    *children, root = documents
    for child in children:
        target.put_manifest(child, None)
    for tag in tags:
        there, name = target.put_manifest(root, tag), location.name
        if there != root.digest:
            progress.warn(f"{name}:{tag} names {there} by now: somebody else pushed; ours is {name}@{root.digest}")


def until_nothing_is_lost(send_and_publish: Callable[[], _T], *, doubt: Callable[[], None]) -> _T:
    """Return what `send_and_publish` returns; after `doubt`, it is tried again where the registry lost blobs meanwhile.

    Raises BlobsMissing when they are lost each time.
    """
    for _ in range(_ROUNDS):
        try:
            return send_and_publish()
        except BlobsMissing:
            doubt()
    return send_and_publish()
