"""Texts that look like image references, challenges and other header lines."""

import base64
import random

from tests.fuzz.canned import response

_HOSTS = (
    "quay.io", "localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "[::1]", "[fe80::1%25eth0]", "[:::]",
    "[.]",
    "docker.io", "index.docker.io", "a.b:0", "a.b:65535", "a.b:65536", "a.b:99999", "a.b:", "-a.b", "a_b.c", "A.B",
    "é.fr",
    "xn--9ca.fr", "a..b", ".", ":", "host", "a.b:5000:1", "u:p@a.b", "",
)  # fmt: skip
_NAMES = (
    "org/model",
    "m",
    "a/b/c/d",
    "a__b",
    "a___b",
    "a--b",
    "a.-b",
    "Org/m",
    "a//b",
    "/a",
    "a/",
    "",
    "é",
    "a" * 300,
    "-",
)
_TAGS = ("latest", "v1.0", "_", "-", "", "a" * 128, "a" * 129, "é", "a b", "1:2", "\n")
_DIGESTS = ("sha256:" + "a" * 64, "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha512:" + "a" * 128, "sha256:", "")
_FOLDERS = ("./x", "/x/y", "x", ".", "..", "/", "", "a:b/c", "a:b", "a@b", "~/x", "x/.", "a\0b", "é", "//x", "C:\\x")


def reference(chance: random.Random) -> bytes:
    """Return an image as it may be typed."""
    if chance.random() < 1 / 4:
        name = "oci:" + chance.choice(_FOLDERS)
    else:
        name = (
            chance.choice(("", "", "", "", "https://", "docker://"))
            + f"{chance.choice(_HOSTS)}/{chance.choice(_NAMES)}"
        )
    tag = ":" + chance.choice(_TAGS) if chance.random() < 1 / 2 else ""
    digest = "@" + chance.choice(_DIGESTS) if chance.random() < 1 / 3 else ""
    return (name + tag + digest).encode()


REALMS = (
    "https://auth.example/token", "https://registry.example/token", "https://auth.example/token?a=b",
    "http://auth.example/t",
    "http://registry.example/token", "https://127.0.0.1/token", "https://127.1/token", "https://0x7f000001/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/", "https://localhost/", "https://localhost./", "https://10.0.0.1/",
    "https://169.254.169.254/",
    "https://u:p@auth.example/", "https://registry.example@auth.example/", "https://auth.example:0/",
    "https://a:99999/",
    "https://[::1/", "https://[fe80::1%25eth0]/", "https://[v1.x]/", "https://a\0b/", "https://a b/", "https://a\tb/",
    "https://\xe9.fr/", "https://" + "a" * 70 + ".example/", "https://a..b/", "ftp://a/", "//a/", "/token", "",
    "https://", "?",
    "https://auth.example/\x7f", "https://auth.example/a b", "https://auth.example/#f", "HTTPS://AUTH.EXAMPLE",
    "https://2130706433/", "https://017700000001/", "https://\uff11.example/",
)  # fmt: skip
_SCHEMES = ("Bearer", "bearer", "Basic", "BASIC", "Digest", "Negotiate", "", "Bearer,", "Bearer  ")
_PARAMETERS = ("service", "scope", "error", "charset", "realm", "REALM", "x", "")
_VALUES = (
    "registry.example", "repository:org/model:pull", "repository:org/model:pull,push", "a b c", ":", "::",
    "insufficient_scope",
    "invalid_token", "\\", '\\"', "", "\xe9", "a:b:c:d e:f", "\x00", "%0d%0aX: y", "&a=b", ",", " ", "\t",
)  # fmt: skip


def challenge(chance: random.Random) -> bytes:
    """Return a WWW-Authenticate value, and after a line break the token server's answer to whoever goes there."""
    parts = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        realm = chance.choice(REALMS[:3] if chance.random() < 1 / 3 else REALMS)
        given = [("realm", realm)] if chance.random() < 9 / 10 else []
        given += [(chance.choice(_PARAMETERS), chance.choice(_VALUES)) for _ in range(chance.randint(0, 3))]
        form = chance.choice(('{}="{}"', '{}="{}"', '{}="{}"', "{}={}", '{} = "{}"', '{}="{}', "{}"))
        listed = chance.choice((",", ", ", " ", ",,")).join(form.format(*pair) for pair in given)
        parts.append(f"{chance.choice(_SCHEMES[:3] if chance.random() < 3 / 4 else _SCHEMES)} {listed}")
    head = ", ".join(parts).encode("latin-1", "replace").replace(b"\n", b"")
    return head + b"\n" + chance.choice(TOKENS)


_GRANTS = (
    b'{"token":"t"}',
    b'{"access_token":"t","expires_in":300}',
    b'{"token":"t","expires_in":1e999}',
    b'{"token":"t","expires_in":-5}',
    b'{"token":"t","expires_in":NaN}',
    b'{"token":"t","expires_in":1' + b"0" * 400 + b"}",
    b'{"token":"t","expires_in":true,"issued_at":"2026-99-99T00:00:00Z"}',
    b'{"token":"a\\r\\nX: y"}',
    b'{"token":["t"]}',
    b'{"token":"\\ud800"}',
    b"[]",
    b"<html>",
    b"",
)
TOKENS = (
    *(response("200 OK", f"Content-Length: {len(body)}", body=body) for body in _GRANTS),
    response("401 Unauthorized", "Content-Length: 0"),
    response("429 Too Many Requests", "Retry-After: 9"),
    response("302 Found", "Location: https://evil.example/", "Content-Length: 0"),
    b"nonsense",
    b"",
)

_DAYS = ("Thu, 26 Nov 2026 00:00:00 GMT", "Thursday, 26-Nov-26 00:00:00 GMT", "Thu Nov 26 00:00:00 2026")
_DATES = (
    *_DAYS, "Thu, 26 Nov 2026 00:00:00 -0000", "Mon, 01 Jan 0001 00:00:00 -0000", "Mon, 01 Jan 0001 00:00:00 +0100",
    "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 31 Dec 99999 23:59:59 GMT",
    "0 Jan 0 0:0:0 0",
    "Thu, 26 Nov 2026 24:00:00 GMT", "Thu, 26 Nov 2026 00:00:00 +99999999", "Thu, 31 Feb 2026 00:00:00 GMT", "Nov",
    "Thu, 26 Nov 2026", "1 Jan 1 1:1:1 -9999999999999999", "Thu, 26 Nov -2026 00:00:00 GMT", "2026-11-26T00:00:00Z",
)  # fmt: skip
_SECONDS = (
    "0",
    "1",
    "120",
    "-1",
    "1.5",
    "1e3",
    "9" * 30,
    "9" * 400,
    "9" * 5000,
    "+5",
    " 7 ",
    "\xb2",
    "",
    "inf",
    "nan",
    "0x10",
)


def waiting(chance: random.Random) -> bytes:
    """Return header lines with a Retry-After."""
    lines = [f"Retry-After: {chance.choice(_SECONDS + _DATES)}"]
    if chance.random() < 1 / 2:
        lines.append(f"Date: {chance.choice(_DATES)}")
    if chance.random() < 1 / 10:
        lines.append(f"Retry-After: {chance.choice(_SECONDS)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


LOCATIONS = (
    "/v2/org/model/blobs/uploads/1?_state=x", "https://registry.example/v2/u", "https://storage.example/u?sig=1", "u",
    "?a", "#",
    "http://registry.example/u", "//evil.example/u", "https://[::1/u", "https://a:99999/u", "https://a:b/u",
    "https://a b/u",
    "https://a\0b/u", "/\0", "/a b", "/\xe9", "https://\xe9.example/", "https://" + "a" * 70 + "/", "https:///u",
    "https:", ":",
    "file:///etc/passwd", "javascript:1", "https://u:p@registry.example/u", "https://registry.example\\@evil/u",
    "\\\\evil\\u",
    "https://[v1.x]/", "https://[fe80::1%25e]/", "https://registry.example:443/u", "https://registry.example:/u", "",
    " ",
    "https://\u2100.example/", "https://a.example?", "https://a..b/", "https://*/u", "https://./u", "/../..", "%", "//",
)  # fmt: skip


def encoded_login(chance: random.Random) -> str:
    """Return an `auth` field of a docker config."""
    text = chance.choice(
        (b"user:password", b"user:", b":", b"", b"user", b"\xff:\xff", b"u:p\0\0", b"u:p:q", b"<token>:x")
    )
    return base64.b64encode(text).decode() + chance.choice(("", "", "", "=", "\n", " ", "é", "!"))
