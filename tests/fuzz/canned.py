"""Answers from memory behind the puller's own HTTP code: everything but the socket is real."""

import io
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field

from kubectl_modelcar.chart import puller
from tests.fakes.registry import digest_of

ORIGIN = "https://registry.example"
REPOSITORY = "org/model"
HURRIED = puller.Patience(attempts=2, base=0.0, cap=0.0, longest=0.0)
"""Two attempts and no wait, whatever the server asks for."""
MOST_REQUESTS = 200
TLS = ssl.create_default_context()


@dataclass
class Asked:
    """A request as it left: where to, and its bytes."""

    scheme: str
    host: str
    port: int
    sent: bytearray = field(default_factory=bytearray)


class CannedSocket:
    """A socket that has been answered already."""

    def __init__(self, answer: bytes, sent: bytearray) -> None:
        self._answer, self._sent = answer, sent

    def sendall(self, data: bytes) -> None:
        self._sent += data

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._answer))

    def settimeout(self, seconds: float) -> None:
        """Never wait."""

    def shutdown(self, how: int) -> None:
        """Nobody is on the other side."""

    def close(self) -> None:
        """Nothing is open."""


class Answers:
    """Answers in order, and then the last one again and again."""

    def __init__(self, *answers: bytes) -> None:
        self._answers, self._given = list(answers), 0

    def next(self) -> bytes:
        """Return the next one; nobody has a reason to ask for so many."""
        self._given += 1
        assert self._given <= MOST_REQUESTS, f"{self._given} requests, and no end"
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class CannedHttp(puller._Http):
    """The puller's client, whose connections give the answers."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(TLS, 60.0)
        self._answers = answers
        self.asked: list[Asked] = []

    def _connection(self, scheme, host, port):
        connection = super()._connection(scheme, host, port)
        asked = Asked(scheme, host, port)

        def connect() -> None:
            host.encode("idna")  # as the look-up of a name does
            connection.sock = CannedSocket(self._answers.next(), asked.sent)
            self.asked.append(asked)

        connection.connect = connect
        return connection


def registry(*answers: bytes, credential: puller.Credential | None = None) -> puller.Registry:
    """Return a registry whose origin, storage and token server all give these answers."""
    source = puller.Registry(ORIGIN, REPOSITORY, credential, context=TLS, patience=HURRIED)
    source._http = source.authenticator._http = CannedHttp(Answers(*answers))
    return source


def response(status: str, *headers: str | bytes, body: bytes = b"") -> bytes:
    """Return the bytes of an HTTP/1.1 response; headers are whole lines."""
    lines = [
        f"HTTP/1.1 {status}".encode(),
        *(h.encode("latin-1", "replace") if isinstance(h, str) else h for h in headers),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class MemorySource:
    """An image's documents and blobs in memory; the first document is what every tag names."""

    def __init__(self, documents: Iterable[bytes], blobs: Iterable[bytes] = (), media_type: str = "") -> None:
        self._documents = list(documents)
        self._media_type = media_type
        self._blobs = {digest_of(data): data for data in (*blobs, *self._documents)}

    def __str__(self) -> str:
        return "registry.example/org/model"

    def manifest(self, reference: str) -> tuple[bytes, str]:
        """Return the document."""
        if reference.startswith("sha256:"):
            return self._blobs.get(reference, self._documents[0]), ""
        return self._documents[0], self._media_type

    def open(self, descriptor: puller.Descriptor, offset: int = 0) -> io.BytesIO:
        """Return a blob, which may have another size than the descriptor says."""
        if descriptor.digest not in self._blobs:
            raise puller.PullError(puller.REFUSED, f"there is no {descriptor.digest}")
        return io.BytesIO(self._blobs[descriptor.digest][offset:])

    def stop(self) -> None:
        """Nothing waits."""
