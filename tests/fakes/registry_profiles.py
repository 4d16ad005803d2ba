"""How registries differ: the rules that the fake one goes by, and a profile of rules for each kind."""

from dataclasses import dataclass, replace

MIB = 1 << 20
MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)


@dataclass(slots=True)
class Rules:
    """What one registry does differently from another; sizes in bytes. A test may change them at any time."""

    stale_location: int | None = None
    """Answer bytes that come for a Location which the upload has outgrown with this status; None is to take them."""
    status_needs_location: bool = False
    """Ask for the latest Location also of a GET that wants to know how far the upload is."""
    checks_range: bool = True
    """Refuse a PATCH whose Content-Range does not start where the upload ends (416)."""
    range_on_416: bool = True
    """Say in such a refusal how far the upload is."""
    keeps_cut: bool = False
    """Keep the bytes of a request whose connection broke."""
    keeps_refused: bool = False
    """Keep an upload whose digest was wrong."""
    single_post: bool = True
    """Take a blob with the POST; else open an upload, as the spec allows."""
    checks_accept: frozenset[str] = frozenset()
    """Media types of manifests that are shown only to those who say that they know them."""
    sorts_tags: bool = True
    """List tags in order and in pages."""
    breaks_416: bool = False
    """Announce a body with the refusal of a Range, and send none."""
    absolute_locations: bool = True
    """Write host and scheme into Location."""
    config_types: frozenset[str] | None = None
    """Media types of a manifest's config that are taken; None is all."""
    needs_repository: bool = False
    """Take nothing for a repository that `create_repository` did not make."""
    deletes: bool = False
    """Delete blobs and manifests when asked to."""
    min_chunk: int | None = None
    """Announce OCI-Chunk-Min-Length, and refuse what follows a smaller chunk (400)."""
    max_chunk: int | None = None
    """Refuse a larger body of PATCH or of a blob's PUT (413)."""
    max_put: int | None = None
    """Refuse a larger body of a blob's PUT (413)."""
    max_ranged_chunk: int | None = None
    """Refuse a larger PATCH that has a Content-Range (416)."""
    octets_only: bool = False
    """Refuse a PATCH of another Content-Type than application/octet-stream."""
    patch_status: int = 202
    location_on_patch: bool = True
    """Answer a PATCH with a Location; without one the last is good for all that follows."""
    expire_after: int | None = None
    """Forget an upload after this many requests to it."""
    mount_needs_scope: bool = False
    """Refuse a mount to a token that may not read the source; else open an upload."""
    token_uses: int | None = None
    """Forget a token after this many requests with it."""
    rewrites_manifests: str = ""
    """Store manifests pretty-printed, and say so in the answer ("openly") or not ("silently")."""
    redirects: frozenset[str] = frozenset()
    """Methods (GET, HEAD, PATCH, PUT) of blobs that are answered with a 307 to the storage's origin."""
    uploads_at_storage: bool = False
    """Let the Location of an upload lead to the storage's origin."""


# Seen on the real ones, and held to them by tests/real/test_fairness.py.
_DISTRIBUTION = Rules(
    keeps_cut=True,
    keeps_refused=True,
    single_post=False,
    checks_accept=frozenset({MANIFEST}),
    octets_only=True,
    mount_needs_scope=True,
)

PROFILES = {
    "v3": replace(_DISTRIBUTION, stale_location=416, range_on_416=False),
    "2.8": replace(
        _DISTRIBUTION,
        stale_location=404,
        status_needs_location=True,
        checks_range=False,
        checks_accept=frozenset({MANIFEST, INDEX}),
        sorts_tags=False,
        breaks_416=True,
    ),
    # As reported: quay refuses unknown config types (oras#738) and large single PUTs (oras-py#137; `max_put`).
    "quay": Rules(config_types=IMAGE_CONFIGS),
    # As reported: 4 MiB a PATCH, else 416 (rust-oci-client#35).
    "ghcr": Rules(max_ranged_chunk=4 * MIB, absolute_locations=False),
    # As reported: PATCH answers 201, parts of 5 MiB and more but the last one (regclient), no repository by itself.
    "ecr": Rules(patch_status=201, min_chunk=5 * MIB, needs_repository=True),
}
