"""Publishing under tags."""

from collections.abc import Sequence

from kubectl_modelcar.image import Document, Location
from kubectl_modelcar.progress import Progress
from kubectl_modelcar.sending.seams import ImageTarget


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
