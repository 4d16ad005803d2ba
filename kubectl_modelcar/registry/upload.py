"""Sending an image to a registry (distribution-spec 1.1 "Push")."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from http import HTTPStatus

from kubectl_modelcar.errors import IntegrityFailure, NetworkGaveUp
from kubectl_modelcar.image import Document, ImageReference
from kubectl_modelcar.registry.access import RegistryAccess
from kubectl_modelcar.registry.credentials import find_credential
from kubectl_modelcar.registry.wire import COMMIT, Call, Sized, Wire

_BLOB_ATTEMPTS = 3
_OCTETS = {"Content-Type": "application/octet-stream"}

Chunks = Callable[[], Iterator[memoryview | bytes]]


class RegistryTarget:
    """A repository that images are pushed to. Safe for several threads."""

    def __init__(self, reference: ImageReference, access: RegistryAccess) -> None:
        self._reference = reference
        self._wire = Wire(reference, access, find_credential(reference, access.authfile))

    def prepare(self) -> None:
        """Prove that we may push, before anything is read: open an upload session and cancel it.

        Raises NotAuthorised, NotFoundOrRefused or NetworkGaveUp.
        """
        location = self._wire.location(self._wire.call(self._begin(f"push to {self._reference.name}")))
        with suppress(NetworkGaveUp):  # not every registry lets an upload be cancelled; it expires by itself
            self._wire.call_once(Call("DELETE", location, "cancel an upload", accept=_ANY_ANSWER))

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository holds the blob."""
        doing = f"look for {digest} in {self._reference.name}"
        call = Call("HEAD", self._wire.blob_url(digest), doing, accept=(200, 404))
        return self._wire.call(call).status == HTTPStatus.OK

    def upload(self, name: str, size: int, chunks: Chunks, digest: str | None = None) -> str:
        """Send a blob of `size` bytes and return its digest, which is computed on the way where it is not known.

        `chunks` gives the bytes from the start, anew for each attempt; `name` is for errors.
        """
        doing = f"send {name} to {self._reference.name}"
        return self._wire.persist(lambda: self._send(doing, size, chunks, digest), _BLOB_ATTEMPTS)

    def stop(self) -> None:
        """End every upload under way, at once; the target is of no use afterwards."""
        self._wire.stop()

    def put_manifest(self, manifest: Document) -> None:
        """Publish the manifest under the reference's tag.

        Raises IntegrityFailure if the registry took other bytes for it.
        """
        url = self._wire.manifest_url(self._reference.target)
        doing = f"publish {self._reference}"
        headers = {"Content-Type": manifest.media_type}
        response = self._wire.call(
            Call(
                "PUT",
                url,
                doing,
                headers,
                lambda: Sized(len(manifest.data), iter([manifest.data])),
                COMMIT,
                (200, 201, 202),
            )
        )
        answered = response.headers.get("Docker-Content-Digest", manifest.digest)
        if answered != manifest.digest:
            raise IntegrityFailure(
                f"cannot {doing}: the registry stored {answered} where {manifest.digest} was sent",
                "something between here and the registry changes manifests",
            )

    def _begin(self, doing: str) -> Call:
        return Call("POST", self._wire.uploads_url(), doing, accept=(202,))

    def _send(self, doing: str, size: int, chunks: Chunks, digest: str | None) -> str:
        location = self._wire.location(self._wire.call_once(self._begin(doing)))
        if digest:
            self._commit(doing, location, digest, lambda: Sized(size, chunks()))
            return digest
        seen = hashlib.sha256()  # made anew by each body: an attempt starts from the first byte

        def body() -> Sized:
            nonlocal seen
            seen = hashlib.sha256()
            return Sized(size, _watched(chunks(), seen.update))

        call = Call("PATCH", location, doing, _OCTETS, body, accept=(200, 201, 202, 204))
        response = self._wire.call_once(call)
        if "Location" in response.headers:
            location = self._wire.location(response)
        computed = f"sha256:{seen.hexdigest()}"
        self._commit(doing, location, computed, lambda: Sized(0, iter(())))
        return computed

    def _commit(self, doing: str, location: str, digest: str, body: Callable[[], Iterable[bytes]]) -> None:
        url = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        self._wire.call_once(Call("PUT", url, doing, _OCTETS, body, COMMIT, (200, 201, 204)))


_ANY_ANSWER = tuple(range(200, 600))


def _watched(
    chunks: Iterator[memoryview | bytes], watch: Callable[[memoryview | bytes], None]
) -> Iterator[memoryview | bytes]:
    for chunk in chunks:
        watch(chunk)
        yield chunk
