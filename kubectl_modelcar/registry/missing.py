"""What a registry says when it does not hold what a manifest names."""

from kubectl_modelcar.errors import NotFoundOrRefused


class BlobsMissing(NotFoundOrRefused):
    """The registry does not hold blobs that the manifest names: they were never sent, or were collected as garbage."""
