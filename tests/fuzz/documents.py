"""JSON documents that say something else than they should."""

import copy
import json
import random
import re

_DEEP = re.compile(rb'"@deep ([0-9]+)@"')
_SCALARS = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 10**4299, 0.0, -0.5, 1e308, float("inf"), float("nan"),
    "", " ", "\0", "\n", "\x1b[2J", "\ud800", "\u202e", "é", "..", "../../x", "/etc/passwd", "a/b", "models/x",
    "x" * 300,
    "x" * 5000, "9" * 5000, "1", "sha256:" + "0" * 64, "sha256:" + "0" * 63, "sha512:" + "0" * 128,
)  # fmt: skip
_NESTED: tuple[object, ...] = ([], {}, [[]], [{}], [None], {"": {}}, {"a": []}, ["a", 1], [[1, 2], [3]])


def hostile(chance: random.Random) -> object:
    """Return a value that hardly any field expects."""
    if chance.random() < 1 / 12:
        # Near the interpreter's limit of 1,000 what parses may not print, or the other way round.
        return f"@deep {chance.choice((100, 500, chance.randint(850, 1000), chance.randint(900, 990), 20_000))}@"
    value = chance.choice(_NESTED if chance.random() < 1 / 4 else _SCALARS)
    return copy.deepcopy(value)


def twisted(chance: random.Random, document: object, most: int = 3) -> object:
    """Return the document with up to `most` of its values replaced, dropped, doubled or given to another key."""
    document = copy.deepcopy(document)
    for _ in range(chance.randint(0, most)):
        places = list(_places(document))
        if not places:
            return hostile(chance)
        _twist(chance, *chance.choice(places))
    return document


def _places(value: object):
    """Yield each container with a key or an index of it."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(entries):
        yield value, key
        yield from _places(inner)


def _twist(chance: random.Random, container, key) -> None:
    match chance.randrange(6):
        case 0:
            del container[key]
        case 1 if isinstance(container, list):
            container.extend([copy.deepcopy(container[key])] * chance.choice((1, 2, 50)))
        case 2:
            others = list(container.values() if isinstance(container, dict) else container)
            container[key] = copy.deepcopy(chance.choice(others))
        case 3 if isinstance(container, dict):
            container[chance.choice(("", "\ud800", "\0", "..", "x" * 300, "/"))] = container[key]
        case _:
            container[key] = hostile(chance)


def encoded(document: object) -> bytes:
    """Return the JSON text; Infinity and NaN are written as Python reads them."""
    text = json.dumps(document).encode()
    return _DEEP.sub(lambda match: b"[" * int(match[1]) + b"]" * int(match[1]), text)
