"""Files of the user's: safetensors, shard indexes, logins, OCI layouts."""

import json
import random
import struct
from pathlib import Path

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import ModelcarError
from kubectl_modelcar.image import ImageReference, LayoutReference
from kubectl_modelcar.registry import RegistryAccess, docker_config, find_credential, open_image
from kubectl_modelcar.source import check_shards
from kubectl_modelcar.source.safetensors import check_header
from tests.fuzz.documents import encoded, twisted
from tests.fuzz.scratch import scratch
from tests.fuzz.texts import encoded_login
from tests.fuzz.trial import Target
from tests.puller.images import INDEX, MANIFEST, put_layout


def safetensors(raw: bytes) -> None:
    """Check a header."""
    check_header("model.safetensors", len(raw), lambda start, length: raw[start : start + length])


def header(chance: random.Random) -> bytes:
    """Return a small safetensors file."""
    tensors: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for number in range(chance.randint(0, 3)):
        tensors[f"t{number}"] = {"dtype": "F32", "shape": [2, 4], "data_offsets": [end, end + 32]}
        end += 32
    text = encoded(twisted(chance, tensors))
    length = chance.choice((len(text), len(text), len(text), len(text) + 1, 0, 2**63, 2**64 - 1))
    return struct.pack("<Q", length) + text + bytes(end)


def mend_header(chance: random.Random, raw: bytes) -> bytes:
    """Write the length of the JSON again, most times."""
    text = raw[8:].rstrip(b"\0")
    return struct.pack("<Q", len(text)) + raw[8:] if chance.random() < 3 / 4 else raw


def shards(raw: bytes) -> None:
    """Check a shard index."""
    name = "model.safetensors.index.json"
    check_shards(
        [name, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"], lambda _: raw, where="it"
    )


def shard_index(chance: random.Random) -> bytes:
    """Return a shard index."""
    weights = {f"layer.{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    return encoded(twisted(chance, {"metadata": {"total_size": 1}, "weight_map": weights}))


_REFERENCES = (
    ImageReference("quay.io", "org/model"),
    ImageReference("docker.io", "m"),
    ImageReference("localhost:5000", "a/b"),
)


def credentials(raw: bytes) -> None:
    """Find logins in a docker config, by the command line and by the pod; each that is found can be used."""
    with scratch() as folder:
        path = folder / "config.json"
        path.write_bytes(raw)
        failure = None
        for reference in _REFERENCES:
            for find in (_by_command_line, _by_pod):
                try:
                    find(path, reference)
                except (ModelcarError, puller.PullError) as error:
                    failure = error
        if failure:
            raise failure


def _by_command_line(path: Path, reference: ImageReference) -> None:
    credential = find_credential(reference, path)
    if credential:
        assert json.loads(docker_config(reference, credential))["auths"]
        _use(credential)


def _by_pod(path: Path, reference: ImageReference) -> None:
    credential = puller._credential(path.parent, reference.registry, reference.repository)
    if credential:
        _use(credential)


def _use(credential: puller.Credential) -> None:
    assert puller._basic(credential).isascii()
    assert repr(credential) == repr(puller.Credential(credential.username, "other"))


def config(chance: random.Random) -> bytes:
    """Return a docker config."""
    keys = (
        "quay.io",
        "quay.io/org",
        "https://index.docker.io/v1/",
        "docker.io",
        "localhost:5000",
        "http://quay.io",
        "",
    )
    entries = [
        {"auth": encoded_login(chance)},
        {"username": "user", "password": "password"},
        {"identitytoken": "token"},
        {},
    ]
    document: dict[str, object] = {"auths": {chance.choice(keys): chance.choice(entries) for _ in range(3)}}
    if chance.random() < 1 / 20:  # each is looked for on the disk
        document["credHelpers"] = {chance.choice(keys): chance.choice(("no-such", "../x", "a b", "", 1, None))}
    if chance.random() < 1 / 50:
        document["credsStore"] = chance.choice(("no-such", "\0", "x" * 5000, [], True))
    return encoded(twisted(chance, document))


def layout(raw: bytes) -> None:
    """Read an OCI layout by its index.json, with a tag and without."""
    with scratch() as folder:
        put_layout(folder / "layout", ("v1", ()))
        (folder / "layout" / "index.json").write_bytes(raw)
        failure = None
        for tag in ("v1", None):
            try:
                open_image(LayoutReference(folder / "layout", tag), RegistryAccess())
            except ModelcarError as error:
                failure = error
        if failure:
            raise failure


def layout_index(chance: random.Random) -> bytes:
    """Return an index.json."""
    entries = []
    for tag in ("v1", "latest", None)[: chance.randint(0, 3)]:
        entry = {"mediaType": chance.choice((MANIFEST, MANIFEST, INDEX)), "digest": _THERE, "size": 200}
        entries.append(entry | ({"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}))
    return encoded(twisted(chance, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))


def _manifest_of_layout() -> str:
    with scratch() as folder:
        put_layout(folder / "layout", ("v1", ()))
        return json.loads((folder / "layout" / "index.json").read_bytes())["manifests"][0]["digest"]


_THERE = _manifest_of_layout()

_JSON = (
    b'"dtype":"F32"',
    b'"shape":[]',
    b'"data_offsets":[0,0]',
    b'"auth":"',
    b'"auths":',
    b'"credsStore":""',
    b'"weight_map":{}',
)
TARGETS = (
    Target("safetensors", safetensors, header, _JSON, mend=mend_header),
    Target("shard-index", shards, shard_index, _JSON),
    Target("docker-config", credentials, config, _JSON),
    Target("layout-index", layout, layout_index, _JSON),
)
