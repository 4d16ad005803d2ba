"""Bytes broken by chance, the same for the same seed."""

import random

LONGEST = 1 << 18
"""Bytes of an input. More only takes longer: what is quadratic shows in a tenth of that."""
LONG_RUN = 60_000
"""Bytes of one repeated piece: what http.client lets pass as one header line (65,536)."""
RARELY = 0.004
"""How often a piece is repeated until it is long; most inputs should be quick."""

WORDS = (
    b"", b"\0", b"\n", b"\r\n", b" ", b"\t", b",", b";", b":", b"=", b'"', b"\\", b"/", b"//", b"@", b"?", b"#", b"%00",
    b"..", b"-", b"_", b"{", b"}", b"[", b"]", b"[]", b"{}", b"null", b"true", b"NaN", b"1e999", b"-1", b"0", b"00",
    b"9" * 20, b"9" * 400, b"9" * 4300, b"18446744073709551616", b'"\\ud800"', b"\xff", b"\xc3\xa9", b"\xb2",
    b"\xd9\xa3",
    b"\xe2\x80\xae", b"\x1b]52;c;cm0=\x07", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"a" * 300, b"sha256:" + b"0" * 64,
    b"application/vnd.oci.image.index.v1+json", b"application/vnd.oci.image.layer.v1.tar+gzip",
)  # fmt: skip
_RUNS = (
    b" ",
    b"\t",
    b",",
    b'"',
    b"\\",
    b"\\a",
    b"=",
    b"a",
    b"a ",
    b"a=",
    b"-",
    b".",
    b"/",
    b"0",
    b"[",
    b'{"a":',
    b"a:b ",
)


def chance_of(parser: str, number: int) -> random.Random:
    """Return the source of all chance of one input: by its name alone a failure can be repeated."""
    return random.Random(f"{parser} {number}")  # noqa: S311  no secret


def mutated(chance: random.Random, raw: bytes, words: tuple[bytes, ...] = ()) -> bytes:
    """Return `raw` with a few places changed, dropped, repeated, cut, or filled with these and other words."""
    broken = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randint(0, len(broken))
        match chance.randrange(8):
            case 0 if at < len(broken):
                broken[at] = chance.randrange(256)
            case 1 if at < len(broken):
                broken[at] ^= 1 << chance.randrange(8)
            case 2:
                del broken[at : at + chance.choice((1, 2, 8, 40, 512))]
            case 3:
                piece = broken[at : at + chance.choice((1, 2, 8, 40, 512))]
                broken[at:at] = piece * chance.choice((1, 1, 2, 9))
            case 4 if chance.random() < RARELY * 8:
                here = bytes(broken[at : at + chance.choice((1, 1, 2, 3))]) or b" "
                piece = chance.choice((here, *_RUNS))
                broken[at:at] = piece * (LONG_RUN // len(piece))
            case 5 if chance.random() < 1 / 4:
                del broken[at:]
            case _:
                broken[at:at] = chance.choice(words if words and chance.random() < 1 / 2 else WORDS)
    return bytes(broken[:LONGEST])
