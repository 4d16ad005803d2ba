"""An in-memory OCI registry on loopback (distribution-spec 1.1) that can be told to misbehave.

    with FakeRegistry(profile="2.8", auth="bearer") as registry:
        digest = registry.add_blob("org/model", b"...")
        registry.faults.append(Fault(path=r"/blobs/sha256:", cut_after=100))

It checks what it is sent as a real one does: digests, ranges, credentials, scopes, and that a manifest's blobs are
there. Registries differ; `registry_profiles` holds how, and tests/real/test_fairness.py holds "v3" and "2.8" to the
real ones. What is answered is in `registry_answers` and `registry_uploads`, the wire in `registry_wire`.
"""

import re
from dataclasses import replace

from tests.fakes.registry_answers import IDENTITY_TOKEN, PASSWORD, USER, answer_to
from tests.fakes.registry_faults import Fault, Request
from tests.fakes.registry_profiles import PROFILES, Rules
from tests.fakes.registry_state import Asked, State, digest_of
from tests.fakes.registry_wire import Origin

__all__ = ["IDENTITY_TOKEN", "PASSWORD", "PROFILES", "USER", "FakeRegistry", "Fault", "Request", "Rules", "digest_of"]


class FakeRegistry(State, Origin):
    """The registry; serves from `__enter__` to `__exit__`."""

    def __init__(self, auth=None, tls=None, *, profile="v3", token_lifetime=300, anonymous_pull=False, **rules):
        """`auth` is None, "basic" or "bearer"; `tls` is a `trustme.CA` that issues its certificate.

        `rules` are those of `Rules` that differ from the profile's; `registry.rules` may be changed later, too.
        """
        State.__init__(
            self,
            auth,
            replace(PROFILES[profile], **rules),
            token_lifetime=token_lifetime,
            anonymous_pull=anonymous_pull,
        )
        Origin.__init__(self, lambda asked: answer_to(asked, self), tls)
        self.scheme = self.url.partition(":")[0]
        self.realm = f"{self.url}/token"
        self.storage_url = lambda: self.storage.url
        self._tls = tls
        self._storage: Origin | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self._storage:
            self._storage.stop()
        self.stop()

    @property
    def storage(self) -> Origin:
        """The origin behind the registry that redirects lead to: the same blobs on another port, without a login.

        Its `log` and `faults` are its own.
        """
        with self.lock:
            if self._storage is None:
                self._storage = Origin(self._answer_at_storage, self._tls)
                self._storage.start()
            return self._storage

    def requests(self, method: str = ".*", path: str = "") -> list[Request]:
        """Return what was asked, by method and by a pattern in the path."""
        return [r for r in self.log if re.fullmatch(method, r.method) and re.search(path, r.path)]

    def received_of_blobs(self) -> int:
        """Return how many bytes of blobs came, those of attempts that failed included, at both origins."""
        log = [*self.log, *(self._storage.log if self._storage else [])]
        return sum(request.received for request in log if "/blobs/uploads/" in request.path)

    def leaks(self) -> list[Request]:
        """Return the requests that brought a credential to the storage's origin."""
        log = self._storage.log if self._storage else []
        return [request for request in log if {"authorization", "cookie"} & set(request.headers)]

    def _answer_at_storage(self, asked: Asked):
        with self.lock:
            return answer_to(replace(asked, at_storage=True), self)
