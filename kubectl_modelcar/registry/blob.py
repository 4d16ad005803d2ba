"""One blob on its way to a registry (distribution-spec 1.1 "Pushing blobs"): what arrived there is not sent again.

    begin ─POST─▶ send ─PATCH … PATCH─▶ close ─PUT─▶ there
                   │ ▲                   │
              broken│ └──GET says where──┘ broken: HEAD, it may be there
                   └──GET says 404: begin anew

A blob whose digest is known goes with the PUT. Registries differ in what they keep of a broken request: distribution 3
and zot keep what arrived, distribution 2.8 drops the whole session. So nothing is ever sent again without asking first.
"""

import re
from collections.abc import Callable
from contextlib import closing

from kubectl_modelcar.errors import IntegrityFailure, LocalFailure, ModelcarError, NetworkGaveUp, NotFoundOrRefused
from kubectl_modelcar.image import Content, RunningDigest
from kubectl_modelcar.patience import MayPass, Tries
from kubectl_modelcar.registry.feed import Feed
from kubectl_modelcar.registry.pieces import Pieces
from kubectl_modelcar.registry.refusals import Answer
from kubectl_modelcar.registry.wire import COMMIT, IDLE, Call, Sized, Wire

MOST_SESSIONS = 5  # begun, or told that they are somewhere else than we, in a row without progress
_OCTETS = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes[ =])?0-(\d{1,19})")
_TAKEN = (200, 201, 202, 204)  # ECR and Artifactory answer a PATCH otherwise than the spec, which has 202 alone
_GONE = (404, 410)
_PASSED_ON = 32 * 2**20  # bytes a second at which a proxy that takes a whole body first passes it on, at least
_ASKABLE = (*_TAKEN, 400, 404, 405, 410, 416, 501)
_BROKEN = {"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "RANGE_INVALID"}


class BlobUpload:
    """The upload of one content, by one thread. `digest` is None when it is not known before the bytes were read."""

    def __init__(self, wire: Wire, pieces: Pieces, content: Content, digest: str | None) -> None:
        self._wire, self._pieces, self._content, self._known = wire, pieces, content, digest
        self._doing = f"send {content.name} to {wire.reference.name}"
        self._seen = RunningDigest()
        self._feed = Feed(content, None if digest else self._seen)
        self.session = ""
        """Where the upload goes on, while it is open; what a stop takes back."""
        self._arrived = 0  # bytes that the session has
        self._reach = 0  # bytes that it may have
        self._best = self._gained = 0  # bytes that any session had; of those, since the last refill
        self._fruitless = 0
        self._unsure = False  # whether the session may be somewhere else than `_arrived`
        self._disputed = (-1, 0)  # the place and the bytes of a piece that the registry called out of place
        self._closing = self._redone = self._there = False
        self._tries: dict[str, Tries] = {}

    def run(self) -> str:
        """Send it, and return its digest.

        Raises what the content raises; MayPass after as many failures as are borne; IntegrityFailure when the bytes
        arrive damaged again and again; NotFoundOrRefused.
        """
        with closing(self._feed):
            while not self._there:
                step = self._next()
                try:
                    step()
                except MayPass as error:
                    if error is self._feed.error:  # the source's own, which has been patient already
                        raise
                    # A budget for each kind of request: one that is refused twice may be followed by another.
                    self._tries.setdefault(step.__name__, Tries(self._wire.patience)).failed(error)
        self.session = ""
        return self._digest

    @property
    def failed_by_content(self) -> bool:
        """Whether the content is what went wrong, and not the registry."""
        return self._feed.error is not None

    @property
    def _digest(self) -> str:
        return self._known or self._seen.digest

    def _next(self) -> Callable[[], None]:
        """Return the one request that brings the blob on."""
        rest = self._content.size - self._arrived
        if self._closing:
            return self._look
        if not self.session:
            return self._begin
        if self._unsure:
            return self._ask
        whole = self._known and not self._arrived and self._pieces.of(0, rest) == rest
        return self._close if whole or not rest or rest < self._pieces.least else self._send

    def _begin(self) -> None:
        self._check_fruitless()
        call = Call("POST", self._wire.uploads_url(), self._doing, accept=(202,))
        answer = self._wire.call_once(call)
        self._fruitless += 1
        self._pieces.hear(answer.headers)
        self.session = self._wire.location(answer)
        self._arrived = self._reach = 0
        self._unsure, self._disputed = False, (-1, 0)

    def _send(self) -> None:
        """Send the next piece, or all the rest."""
        start, size = self._arrived, self._content.size
        end = start + self._pieces.of(start, size)
        # A range is for pieces alone: some registries take less at a time where they see one.
        answer = self._with_body("PATCH", self.session, start, end, pieces=(start, end) != (0, size))
        if answer is None:
            return
        if "Location" in answer.headers:
            self.session = self._wire.location(answer)
        taken = _range_end(answer)
        if taken is None or taken > end or (taken == 1 and end > 1):  # "0-0" is how some say nothing
            taken = end
        if taken > start:
            self._progress(taken)
        else:
            self._check_fruitless()
            self._fruitless += 1
            self._unsure = True

    def _close(self) -> None:
        """Send what is left, if anything, and have the registry hold the whole against the digest."""
        start, size = self._arrived, self._content.size
        if not self._known and start < size:  # few bytes, read twice: the digest comes before them
            for _ in self._feed.take(start, size):
                pass
        self._feed.finish()
        url = f"{self.session}{'&' if '?' in self.session else '?'}digest={self._digest}"
        self._closing = True
        self._there = self._with_body("PUT", url, start, size, pieces=0 < start < size) is not None
        self._closing = False

    def _with_body(self, method: str, url: str, start: int, end: int, *, pieces: bool) -> Answer | None:
        """Send the bytes from `start` to `end`; return the answer if they were taken, else None with the state set."""
        call = Call(
            method,
            url,
            self._doing,
            {**_OCTETS, **({"Content-Range": f"{start}-{end - 1}"} if pieces else {})},
            lambda: Sized(end - start, self._feed.take(start, end)),
            COMMIT if method == "PUT" else min(COMMIT, IDLE + (end - start) / _PASSED_ON),
            (*_TAKEN, 400, *_GONE, 413, 416),
        )
        self._unsure, self._reach = True, max(self._reach, end)
        answer = self._wire.call_once(call)
        if answer.status in _TAKEN:
            self._unsure = False
            return answer
        self._heed(call, answer, start, end - start)
        return None

    def _heed(self, call: Call, answer: Answer, start: int, size: int) -> None:
        """Do what an answer asks for that is no consent; raise its error when nothing can be done."""
        match answer.status:
            case status if status in _GONE:
                self.session = ""
            case 416:
                self._check_fruitless()
                self._fruitless += 1
                self._disputed = start, size
                if _range_end(answer) is not None:  # else it is asked next
                    self._resume(answer)
            case 413:
                self._shrink(call, answer, size)
            case _ if any("DIGEST" in code for code in answer.codes):
                self._digest_anew(self._wire.refused(call, answer))
            case _ if answer.codes & _BROKEN:
                self.session = ""
            case _:
                raise self._wire.refused(call, answer)

    def _shrink(self, call: Call, answer: Answer, size: int) -> None:
        if self._pieces.refuse(size):
            return  # the session may have lost something: it is asked next
        error = self._wire.refused(call, answer)
        had = f"after {self._arrived} bytes" if self._arrived else "from the first byte on"
        least = f", and wants at least {self._pieces.least} at a time" if self._pieces.least else ""
        raise NotFoundOrRefused(f"{error.message} ({had}, {size} bytes at a time{least})", error.hint)

    def _ask(self) -> None:
        """Ask the session how far it got."""
        call = Call("GET", self.session, f"ask how far {self._content.name} got", accept=_ASKABLE)
        self._resume(self._wire.call_once(call))

    def _resume(self, answer: Answer) -> None:
        """Go on from where an answer says that the session is; without a place that can be, begin anew."""
        arrived = _range_end(answer) if answer.status in (*_TAKEN, 416) else None
        if arrived == 1:  # "0-0" is how distribution says that there is nothing; of one byte it may be all
            arrived = None if self._content.size == 1 and self._reach else 0
        place, size = self._disputed
        # It was in place: so says GHCR to pieces that are too large (oci-client 35).
        stuck = arrived == place and not self._pieces.refuse(size)
        if arrived is None or stuck or arrived > self._reach:
            self.session = ""
            return
        if "Location" in answer.headers:
            self.session = self._wire.location(answer)
        self._disputed = (-1, 0)
        self._progress(arrived)
        self._unsure = False

    def _look(self) -> None:
        """Look for the blob after a PUT whose answer was lost: the registry may have done what it was asked."""
        self._there = has_blob(self._wire, self._digest)
        self._closing = False

    def _digest_anew(self, error: ModelcarError) -> None:
        """Find out who changed the bytes, the way or the source; the way gets one more chance."""
        if self._redone:
            raise error
        again = RunningDigest()
        with closing(Feed(self._content, again)) as feed:
            for _ in feed.take(0, self._content.size):
                pass
        actual = again.digest
        if actual != self._digest and self._known:
            raise IntegrityFailure(
                f"{self._content.name} has the digest {actual} where {self._known} was promised",
                "push again; report it to whoever promised it if it stays so",
            )
        if actual != self._digest:
            raise LocalFailure(
                f"{self._content.name} changed while it was sent", "let whoever writes it finish, then push again"
            )
        self._redone, self.session = True, ""

    def _progress(self, arrived: int) -> None:
        self._arrived = arrived
        if (more := arrived - self._best) > 0:
            self._best = arrived
            for tries in self._tries.values():
                tries.progressed(more)
            self._gained += more
            if self._gained >= self._wire.patience.refill:
                self._gained = self._fruitless = 0

    def _check_fruitless(self) -> None:
        if self._fruitless >= MOST_SESSIONS:
            raise NetworkGaveUp(
                f"cannot {self._doing}: {self._wire.hostname} lost the upload {MOST_SESSIONS} times"
                f" after at most {self._best} of {self._content.size} bytes",
                "a proxy or a balancer may send each request to another registry that does not know it",
            )


def has_blob(wire: Wire, digest: str) -> bool:
    """Tell whether the repository holds the blob. Raises MayPass: nothing is repeated."""
    call = Call("HEAD", wire.blob_url(digest), f"look for {digest} in {wire.reference.name}", accept=(200, 404))
    return wire.call_once(call).status == 200  # noqa: PLR2004  HTTP's OK


def _range_end(answer: Answer) -> int | None:
    """Return how many bytes the Range of an answer says are there, None when it does not say."""
    match = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
    return int(match[1]) + 1 if match else None
