"""A token server as distribution wants it: docs/spec/auth/token.md, scopes, lives as short as a test needs them.

Tokens are JSON web tokens by RS256, and bring the certificate of their key, which an authority of ours issued.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509 import load_pem_x509_certificate

from tests.real.registry import PASSWORD, USER

SERVICE, ISSUER = "registry-of-the-tests", "token-server-of-the-tests"
_LEEWAY = 60.0  # seconds past its end in which distribution still takes a token (registry/auth/token/token.go)


@dataclass
class TokenServer:
    """The server; its registry knows it by `config`."""

    authority: trustme.CA
    lifetime: float = 300.0
    """Seconds that a token is taken by the registry."""
    said: float | None = None
    """Seconds that it claims to live, where that is not the truth."""
    scopes: list[str] = field(default_factory=list)
    """What was asked for, in order."""
    url: str = ""

    def __post_init__(self) -> None:
        self._leaf = self.authority.issue_cert("tokens.test", key_type=trustme.KeyType.RSA)
        self._key = serialization.load_pem_private_key(self._leaf.private_key_pem.bytes(), None)

    def config(self, folder: Path) -> dict[str, object]:
        """Return the registry's `auth` section."""
        self.authority.cert_pem.write_to_path(folder / "tokens.pem")
        realm = f"{self.url}/token"
        bundle = str(folder / "tokens.pem")
        return {"token": {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": bundle}}

    def token(self, scopes: list[str]) -> str:
        """Return a token for scopes TYPE:NAME:ACTION,ACTION."""
        access = [dict(zip(("type", "name", "actions"), scope.rsplit(":", 2), strict=True)) for scope in scopes]
        for entry in access:
            entry["actions"] = entry["actions"].split(",")
        ends = time.time() + self.lifetime - _LEEWAY
        claims = {"iss": ISSUER, "aud": SERVICE, "sub": USER, "exp": round(ends), "nbf": 0, "access": access}
        certificate = load_pem_x509_certificate(self._leaf.cert_chain_pems[0].bytes())
        chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]
        text = ".".join(
            _encoded(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "RS256", "x5c": chain}, claims)
        )
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encoded(signature)}"

    def answer(self, query: str, authorization: str) -> tuple[int, dict[str, object]]:
        """Grant what is asked for, to USER alone."""
        asked = " ".join(parse_qs(query).get("scope", [])).split()
        self.scopes.append(" ".join(asked))
        known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if authorization != f"Basic {known}":
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "wrong user name or password"}]}
        lives = self.lifetime if self.said is None else self.said
        return 200, {"token": self.token(asked), "expires_in": round(lives)}


@contextmanager
def serve_tokens(authority: trustme.CA, lifetime: float = 300.0, said: float | None = None) -> Iterator[TokenServer]:
    """Serve tokens that live so many seconds, on loopback."""
    tokens = TokenServer(authority, lifetime, said)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, reply = tokens.answer(urlsplit(self.path).query, self.headers.get("Authorization", ""))
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tokens.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
