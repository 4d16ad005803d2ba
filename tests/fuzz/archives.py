"""Images whose layers are tars as nobody should write them.

An input is one line of JSON, the list of the layers' descriptors ("length" bytes each, "size" where that is a lie),
and then the bytes of the layers, one after the other.
"""

import gzip
import json
import random
import tarfile

from tests.fakes.registry import digest_of
from tests.fuzz.documents import encoded, twisted
from tests.puller.images import FILES, GZIP, RAW, TAR, TITLE

BLOCK = 512
_CHECKSUM = slice(148, 156)
_NAMES = (
    "models/a", "models/b.safetensors", "models/d/c", "models/", "models", "a", "./models/a", "/models/a", "models//a",
    "models/../a", "../a", "/etc/passwd", "models/.wh.a", "models/.wh..wh..opq", ".wh.models", "models/d/.wh.c",
    "models/.wh.",
    "models/.complete", "models/\x1b[2J", "models/é", "models/" + "n" * 90, "models/a/b", "models/.partial-x",
    "models/.layers/0",
    "models/..", "models/.", "models/\udcff", "models/.wh.../..", "models/.wh..", "",
)  # fmt: skip
_LONG_NAMES = ("models/" + "n" * 255, "models/" + "n" * 256, "models/" + "d/" * 100 + "a", "models/" + "é" * 120)
_TYPES = (*[tarfile.REGTYPE] * 30, *[tarfile.DIRTYPE] * 4, *b"0123456789KLSVxgXAMD\0 \xff")
_SIZES = (0, 1, 511, 512, 513, 1300, 70_000)
_PAX = (
    "path", "size", "linkpath", "GNU.sparse.map", "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.size",
    "GNU.sparse.name",
    "GNU.sparse.realsize", "GNU.sparse.numblocks", "hdrcharset", "mtime", "uid", "", "SCHILY.xattr.user.x",
    "GNU.sparse.offset",
)  # fmt: skip
_PAX_VALUES = (
    "models/p",
    "../p",
    "/p",
    "0",
    "1",
    "5",
    "-5",
    "1e9",
    "nan",
    "9" * 30,
    "9" * 5000,
    "BINARY",
    "",
    "\n",
    "0,1,2",
    "1,a",
)


def image(chance: random.Random) -> bytes:
    """Return an image of one to three layers."""
    descriptors, blobs = [], []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        listed: list[dict[str, object]] = []
        data = tar(chance, listed)
        zipped = chance.random() < 1 / 4
        if zipped:
            data = gzip.compress(data, 1, mtime=0)
            if chance.random() < 1 / 5:
                data = data[: chance.randint(0, len(data))]
        descriptor = {"mediaType": GZIP if zipped else TAR, "annotations": {}, "length": len(data)}
        if chance.random() < 1 / 4:
            descriptor["annotations"][FILES] = encoded(twisted(chance, listed, 1)).decode()
        if chance.random() < 1 / 8:
            descriptor["annotations"][TITLE] = chance.choice(_NAMES[:20])
            descriptor["mediaType"] = chance.choice((TAR, RAW, "application/vnd.cncf.model.weight.v1.tar"))
        if chance.random() < 1 / 10:
            descriptor["size"] = chance.choice((0, 1, len(data) - 1, len(data) + 1, 10**30, 10**400))
        descriptors.append(descriptor)
        blobs.append(data)
    return joined(descriptors, blobs)


def joined(descriptors: list[dict[str, object]], blobs: list[bytes]) -> bytes:
    """Return the input's bytes."""
    return json.dumps(descriptors).encode() + b"\n" + b"".join(blobs)


def split(raw: bytes) -> tuple[bytes, list[bytes]]:
    """Return an image's manifest and the layers' bytes; what is no such input is one tar layer."""
    line, _, rest = raw.partition(b"\n")
    try:
        descriptors = [dict(entry) for entry in json.loads(line)]
        lengths = [max(0, int(entry.pop("length", len(rest)))) for entry in descriptors]
    except (ValueError, TypeError, RecursionError, OverflowError):
        descriptors, lengths, rest = [{"mediaType": TAR}], [len(raw)], raw
    blobs = []
    for length in lengths:
        blobs.append(rest[:length])
        rest = rest[length:]
    layers = [
        {"digest": digest_of(data), "size": len(data), **descriptor}
        for descriptor, data in zip(descriptors, blobs, strict=True)
    ]
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode(), blobs


def tar(chance: random.Random, listed: list[dict[str, object]]) -> bytes:
    """Return a tar and put what it holds below models/ into `listed`."""
    raw = bytearray()
    for _ in range(chance.choice((0, 1, 2, 3, 4, 8))):
        raw += _extensions(chance)
        info = tarfile.TarInfo(chance.choice(_LONG_NAMES if chance.random() < 1 / 12 else _NAMES))
        if chance.random() < 1 / 1000:
            info.name = "models/" + "d/" * chance.choice((1000, 1900)) + "a"
        kind = chance.choice(_TYPES)
        info.type = kind if isinstance(kind, bytes) else bytes([kind])
        info.linkname = chance.choice(("", "", "a", "../a", "/etc/passwd"))
        body = chance.randbytes(chance.choice(_SIZES))
        info.size = len(body) if info.isreg() or info.type not in tarfile.SUPPORTED_TYPES else 0
        if chance.random() < 1 / 12:
            info.size = chance.choice((0, 1, len(body) + 1, 2**33, 2**63, 2**80))
        style = chance.choice((tarfile.GNU_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
        raw += info.tobuf(style, "utf-8", "surrogateescape") + body + bytes(-len(body) % BLOCK)
        if info.isreg() and info.name.startswith("models/"):
            listed.append({"path": info.name[7:], "size": len(body)})
    raw += bytes(chance.choice((0, 512, 1024, 1024, 1024, 1024, 10240)))
    if chance.random() < 1 / 3:
        raw = _dented(chance, raw)
    return bytes(raw)


def _extensions(chance: random.Random) -> bytes:
    """Return what may come before a member: PAX records, long names, chains of them."""
    match chance.randrange(12):
        case 0:
            records = {chance.choice(_PAX): chance.choice(_PAX_VALUES) for _ in range(chance.randint(1, 4))}
            return _special(chance.choice((b"x", b"x", b"g", b"X")), _records(chance, records))
        case 1:
            return _special(
                chance.choice((b"L", b"K")), chance.choice((b"models/l", b"l" * 5000, b"", b"\0", b"../l\0"))
            )
        case 2 if chance.random() < 1 / 8:
            return _special(chance.choice((b"L", b"x", b"K", b"g")), b"") * chance.choice((3, 3, 50, 50, 400, 1200))
        case 3 if chance.random() < 1 / 4:
            return _sparse(chance)
    return b""


def _records(chance: random.Random, pairs: dict[str, str]) -> bytes:
    raw = b""
    for key, value in pairs.items():
        record = f" {key}={value}\n".encode()
        length = len(record) + len(str(len(record) + 2))
        raw += str(chance.choice((length, length, length, 0, -1, 10**6))).encode() + record
    return raw


def _special(kind: bytes, body: bytes) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, len(body)
    return info.tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % BLOCK)


def _sparse(chance: random.Random) -> bytes:
    """Return an old GNU sparse header and its extension blocks."""
    info = tarfile.TarInfo("models/s")
    info.type = tarfile.GNUTYPE_SPARSE
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[386:483] = chance.choice((b"00000000001\0", b"\x80\xff\xff", b"zzz")).ljust(97, b"0")
    raw[482] = 1
    extension = bytearray(b"00000000001\0" * 42 + bytes(8))
    extension[504] = 1
    return bytes(repaired(raw)) + bytes(extension) * chance.choice((0, 1, 30)) + bytes(BLOCK)


def _dented(chance: random.Random, raw: bytearray) -> bytearray:
    """Change bytes of headers, and most times make their checksums right again: else a reader sees nothing else."""
    for _ in range(chance.randint(1, 3)):
        if raw:
            at = chance.randrange(0, max(1, len(raw) // BLOCK)) * BLOCK + chance.choice(
                (0, 100, 124, 125, 135, 156, 257, 345, 482)
            )
            raw[at : at + 1] = chance.choice((b"\0", b"\xff", b"\x80", b"/", b"9", b"S", b"x", b"L", b"g"))
    return repaired(raw) if chance.random() < 4 / 5 else raw


def repaired(raw: bytearray) -> bytearray:
    """Write the right checksum into every block that looks like a header (POSIX.1-2017 pax, "ustar")."""
    for start in range(0, len(raw) - BLOCK + 1, BLOCK):
        block = raw[start : start + BLOCK]
        if block[257:262] == b"ustar":
            block[_CHECKSUM] = b" " * 8
            raw[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return raw


def mended(chance: random.Random, raw: bytes) -> bytes:
    """Return a mutated input whose length and checksums fit again, most times."""
    line, newline, rest = raw.partition(b"\n")
    if not newline or chance.random() < 1 / 4:
        return raw
    return line + newline + bytes(repaired(bytearray(rest)))


def seed(*layers: tuple[str, bytes]) -> bytes:
    """Return an input of layers, each with its media type."""
    return joined([{"mediaType": kind, "length": len(data)} for kind, data in layers], [data for _, data in layers])
