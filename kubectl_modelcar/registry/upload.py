"""Sending an image to a registry (distribution-spec 1.1 "Push")."""

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import (
    IntegrityFailure,
    InvalidInput,
    ModelcarError,
    NetworkGaveUp,
    NotAuthorised,
    NotFoundOrRefused,
)
from kubectl_modelcar.image import (
    INDEX_TYPE,
    MANIFEST_TYPE,
    MOST_MANIFEST,
    Content,
    Document,
    ImageReference,
    digest_of,
    parse_tag,
)
from kubectl_modelcar.patience import MayPass
from kubectl_modelcar.registry.access import RegistryAccess
from kubectl_modelcar.registry.blob import BlobUpload, has_blob
from kubectl_modelcar.registry.credentials import find_credential
from kubectl_modelcar.registry.limits import limits_of
from kubectl_modelcar.registry.pieces import Pieces
from kubectl_modelcar.registry.wire import COMMIT, Call, Sized, Wire

_ANY_ANSWER = tuple(range(200, 600))
_UNKNOWN = 404
_MOST_TAGS = 500


class RegistryTarget:
    """A repository that images are pushed to. Safe for several threads."""

    def __init__(self, reference: ImageReference, access: RegistryAccess) -> None:
        self._reference = reference
        self._wire = Wire(reference, access, find_credential(reference, access.authfile))
        limits = limits_of(reference.registry)
        self._pieces = Pieces(limits.chunk if limits else None)
        self._uploads: set[BlobUpload] = set()
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Prove that we may push, before anything is read: open an upload session and cancel it.

        Raises NotAuthorised, NotFoundOrRefused or NetworkGaveUp.
        """
        call = Call("POST", self._wire.uploads_url(), f"push to {self._reference.name}", accept=(202,))
        answer = self._wire.call(call)
        self._pieces.hear(answer.headers)
        self._cancel(self._wire.location(answer))

    def has_blob(self, digest: str) -> bool:
        """Tell whether the repository holds the blob."""
        return self._wire.patience.persist(lambda: has_blob(self._wire, digest))

    def mount(self, digest: str, repository: str) -> bool:
        """Take the blob from another repository of the same registry; tell whether that worked.

        A registry that does not do it, or not for us, opens an upload session or refuses, in whatever way; one that is
        busy is not asked again: sending the blob is worth the attempts, a shortcut is not.
        """
        call = Call(
            "POST",
            f"{self._wire.uploads_url()}?mount={digest}&from={repository}",
            f"take {digest} from {self._reference.registry}/{repository}",
            accept=(201, 202),
            scope=self._wire.scope_with(repository),
        )
        try:
            answer = self._wire.call_once(call)
        except (NotAuthorised, NotFoundOrRefused, MayPass):
            return False
        if answer.status == HTTPStatus.ACCEPTED:
            self._cancel(self._wire.location(answer))
        return answer.status == HTTPStatus.CREATED

    def upload(self, content: Content, digest: str | None = None) -> str:
        """Send a blob and return its digest, which is computed on the way where it is not known.

        Raises what the content raises, NotAuthorised, NotFoundOrRefused, NetworkGaveUp or IntegrityFailure.
        """
        upload = BlobUpload(self._wire, self._pieces, content, digest)
        with self._lock:
            self._uploads.add(upload)
        try:
            sent = upload.run()
        except ModelcarError:
            if upload.failed_by_content and not self._wire.patience.stopped:
                self._take_back([upload])
            raise
        with self._lock:
            self._uploads.discard(upload)
        return sent

    def stop(self) -> None:
        """End every upload under way, at once, and take open ones back; the target is of no use afterwards."""
        self._wire.stop()
        with self._lock:
            uploads = list(self._uploads)
        self._take_back(uploads)

    def put_manifest(self, document: Document, tag: str | None) -> str:
        """Publish a manifest under a tag, or by its digest alone; return the digest that is read there afterwards.

        That is another one when somebody else pushed to the tag at the same time; ours is there by its digest then.
        Raises BlobsMissing when the registry does not hold what the manifest names, IntegrityFailure if it took other
        bytes for it, NotAuthorised, NotFoundOrRefused or NetworkGaveUp.
        """
        url = self._wire.manifest_url(tag or document.digest)
        doing = f"publish {self._named(tag or document.digest)}"
        data = document.data
        headers = {"Content-Type": document.media_type}
        call = Call("PUT", url, doing, headers, lambda: Sized(len(data), iter([data])), COMMIT, (200, 201, 202))
        answered = self._wire.call(call).headers.get("Docker-Content-Digest", document.digest)
        if answered != document.digest:
            raise IntegrityFailure(
                f"cannot {doing}: the registry stored {answered} where {document.digest} was sent", _CHANGES
            )
        if tag is None:
            return document.digest
        try:
            return self._read_back(document, tag)
        except NotAuthorised:
            return document.digest  # one who may push need not be allowed to pull

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return the bytes and the media type of the manifest that a tag or a digest names.

        Raises NotFoundOrRefused, NotAuthorised or NetworkGaveUp.
        """
        headers = {"Accept": ", ".join((*puller.MANIFEST_TYPES, *puller.INDEX_TYPES))}
        url, doing = self._wire.manifest_url(reference), f"read {self._named(reference)}"
        answer = self._wire.call(Call("GET", url, doing, headers, limit=MOST_MANIFEST + 1))
        return answer.body, answer.headers.get("Content-Type", "")

    def tags(self) -> tuple[str, ...]:
        """Return the repository's tags, at most some hundred; none when the registry does not tell."""
        call = Call("GET", self._wire.tags_url(), f"list the tags of {self._reference.name}", limit=MOST_MANIFEST)
        try:
            listed = json.loads(self._wire.call(call).body)["tags"]
        except (NotAuthorised, NotFoundOrRefused, NetworkGaveUp, ValueError, KeyError, TypeError, RecursionError):
            return ()
        tags = listed if isinstance(listed, list) else []
        return tuple(tag for tag in tags if isinstance(tag, str) and _is_tag(tag))[:_MOST_TAGS]

    def _read_back(self, document: Document, tag: str) -> str:
        """Return the digest that the tag names now; ours, or that of another push if ours is there as it was sent."""
        found = self._wire.patience.persist(lambda: self._digest_of(tag, document))
        if found != document.digest and self._read(document.digest, document) != document.data:
            raise IntegrityFailure(
                f"{self._named(tag)} reads back as {found}, and {document.digest}, which was sent, is not there",
                _CHANGES,
            )
        return found

    def _digest_of(self, tag: str, document: Document) -> str:
        call = replace(self._reading(tag, document), method="HEAD")
        answer = self._wire.call_once(call)
        if answer.status == _UNKNOWN:  # one with copies of itself may take a moment to tell the others
            raise MayPass(
                f"{self._named(tag)} was published and is not there", "check the tag; push again if it is not"
            )
        digest = answer.headers.get("Docker-Content-Digest")
        return digest or digest_of(self._read(tag, document) or b"")

    def _read(self, reference: str, document: Document) -> bytes | None:
        answer = self._wire.call(self._reading(reference, document))
        return answer.body if answer.status == HTTPStatus.OK else None

    def _reading(self, reference: str, document: Document) -> Call:
        accept = ", ".join(dict.fromkeys((document.media_type, MANIFEST_TYPE, INDEX_TYPE)))
        doing = f"read {self._named(reference)} back"
        url = self._wire.manifest_url(reference)
        return Call("GET", url, doing, {"Accept": accept}, accept=(200, _UNKNOWN), limit=MOST_MANIFEST)

    def _named(self, reference: str) -> str:
        return f"{self._reference.name}{'@' if ':' in reference else ':'}{reference}"

    def _cancel(self, session: str) -> None:
        """Close an upload session that is not needed; not every registry lets one, and it expires by itself."""
        with suppress(NetworkGaveUp):
            self._wire.call_once(Call("DELETE", session, "cancel an upload", accept=_ANY_ANSWER))

    def _take_back(self, uploads: Sequence[BlobUpload]) -> None:
        self._wire.take_back([upload.session for upload in uploads if upload.session])
        with self._lock:
            self._uploads.difference_update(uploads)


def _is_tag(text: str) -> bool:
    with suppress(InvalidInput):
        return bool(parse_tag(text))
    return False


_CHANGES = "something between here and the registry changes manifests"
