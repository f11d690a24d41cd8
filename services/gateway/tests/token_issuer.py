"""A token issuer on loopback: publishes its keys as OpenID Connect Discovery says, and signs what a test wants."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "https://api.example.com"
PRIVATE = {
    "RS": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""By algorithm, or its first two letters; PS has RS's."""


def private_key(algorithm: str) -> Any:
    """The key that signs with it."""
    return PRIVATE.get(algorithm) or PRIVATE["RS"]


def public_pem(algorithm: str) -> bytes:
    """The public key as everybody can have it."""
    pem: bytes = private_key(algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def jwk_of(key_id: str, algorithm: str = "RS256", key: Any = None, **facts: Any) -> dict[str, Any]:
    """A public key as a key set holds it."""
    made = jwt.get_algorithm_by_name(algorithm).to_jwk((key or private_key(algorithm)).public_key(), as_dict=True)
    return {**made, "kid": key_id, "use": "sig"} | facts


class Issuer:
    """What the issuer publishes, which a test may change, and how often it was asked for its keys."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys: list[Any] = [jwk_of("one")]
        self.discovery: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.status = 200
        self.asked = 0
        self.body: bytes | None = None

    def answer(self, path: str) -> bytes:
        """The document at that path."""
        if path == "/keys":
            self.asked += 1
            return json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        assert path == "/.well-known/openid-configuration"
        return json.dumps(self.discovery).encode()

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims, with these changes; None takes one away."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "nbf": now, "exp": now + 300}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, key_id: str | None = "one", algorithm: str = "RS256", key: Any = None, **changes: Any) -> str:
        """A signed token with good claims, and these changes."""
        headers = {"kid": key_id} if key_id else None
        return jwt.encode(self.claims(**changes), key or private_key(algorithm), algorithm, headers)


@contextmanager
def token_issuer() -> Iterator[Issuer]:
    """An issuer that answers, from here to the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = issuer.answer(self.path)
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(server.server_port)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
