"""What `push` prints: a plan, a push, a copy."""

from typing import Any

from kubectl_modelcar.cli.output import human_bytes, table
from kubectl_modelcar.copying import CopyResult
from kubectl_modelcar.push import PushPlan, PushResult
from kubectl_modelcar.source import Origin
from kubectl_modelcar.text import one_line


def plan_text(plan: PushPlan) -> str:
    """Return the layers as a table, and where they would go."""
    rows = [(layer.name, human_bytes(layer.size), layer.media_type) for layer in plan.layers]
    facts = {
        "Source": plan.listing.origin.text,
        "Image": plan.location.name,
        "Tags": ", ".join(plan.tags),
        "Files": str(len(plan.listing.files)),
        "Layers": f"{len(plan.layers)}, {human_bytes(plan.size)}",
    }
    lines = [f"{name + ':':<11} {one_line(value)}" for name, value in facts.items()]
    return "\n".join([*lines, "", table(("LAYER", "SIZE", "MEDIA TYPE"), rows)])


def plan_json(plan: PushPlan) -> dict[str, Any]:
    """Return the same as `push_json`, without what only a push can tell."""
    return {
        "image": str(plan.location),
        "tags": list(plan.tags),
        "source": _origin(plan.listing.origin),
        "layers": [
            {
                "mediaType": layer.media_type,
                "bytes": layer.size,
                "files": [{"path": file.path, "bytes": file.size} for file in layer.files],
            }
            for layer in plan.layers
        ],
        "leftOut": list(plan.listing.left_out),
        "bytes": plan.size,
    }


def push_json(result: PushResult) -> dict[str, Any]:
    """Return the whole result; `outcome` is "sent", "exists" or "mounted"."""
    return {
        "reference": result.reference,
        "digest": result.digest,
        "image": str(result.location),
        "tags": list(result.tags),
        "source": _origin(result.listing.origin),
        "layers": [
            {
                "digest": layer.descriptor.digest,
                "mediaType": layer.descriptor.media_type,
                "bytes": layer.descriptor.size,
                "files": [{"path": file.path, "bytes": file.size} for file in layer.files],
                "outcome": layer.outcome,
            }
            for layer in result.layers
        ],
        "leftOut": list(result.listing.left_out),
        "bytes": sum(layer.descriptor.size for layer in result.layers),
        "bytesSent": result.sent_bytes,
        "seconds": round(result.seconds, 3),
    }


def copy_json(result: CopyResult) -> dict[str, Any]:
    """Return the whole result: blobs are configs and layers."""
    return {
        "reference": result.reference,
        "digest": result.digest,
        "image": str(result.location),
        "manifests": list(result.manifests),
        "blobs": [
            {
                "digest": blob.descriptor.digest,
                "mediaType": blob.descriptor.media_type,
                "bytes": blob.descriptor.size,
                "outcome": "sent" if blob.sent else "exists",
            }
            for blob in result.blobs
        ],
        "bytes": sum(blob.descriptor.size for blob in result.blobs),
        "bytesSent": result.sent_bytes,
        "seconds": round(result.seconds, 3),
    }


def _origin(origin: Origin) -> dict[str, str | None]:
    return {"repository": origin.repository, "commit": origin.revision, "text": origin.text}
