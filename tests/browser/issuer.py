"""An OpenID issuer on loopback with a page to sign in: the code flow with PKCE (RFC 6749, 7636), tokens as RFC 9068."""

import base64
import hashlib
import html
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE: Final = "https://api.fluxline.test"
CLIENT: Final = "studio"
FORM: Final = """<!doctype html><html lang="en"><title>Example Organisation</title><h1>Example Organisation</h1>
<form method="post" action="/authorize?{query}"><label>Name <input name="sub"></label>
<button>Continue</button></form>"""


class Issuer:
    """Who has signed in waits here with their code until the client comes for the token."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = rsa.generate_private_key(65537, 2048)
        self.waiting: dict[str, tuple[str, dict[str, str]]] = {}

    def document(self, path: str) -> dict[str, Any]:
        """What is published: discovery and keys."""
        if path == "/keys":
            public = jwt.get_algorithm_by_name("RS256").to_jwk(self.key.public_key(), as_dict=True)
            return {"keys": [{**public, "kid": "one", "use": "sig"}]}
        endpoints = {"authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token"}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **endpoints}

    def let_in(self, asked: dict[str, str], person: str) -> str:
        """Where the browser of this person is sent back to."""
        code = secrets.token_urlsafe(16)
        self.waiting[code] = person, asked
        answer = {"code": code, "state": asked["state"], "iss": self.url}
        return f"{asked['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        """The token for a code, once, for who has its verifier."""
        person, asked = self.waiting.pop(form["code"], ("", {}))
        digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if digest != asked.get("code_challenge") or form["redirect_uri"] != asked["redirect_uri"]:
            return None
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": person, "iat": now, "exp": now + 600, "scope": "read write"}
        token = jwt.encode(claims, self.key, "RS256", {"kid": "one"})
        return {"access_token": token, "token_type": "Bearer", "expires_in": 600}


def _fields(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """The issuer, from here to the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/authorize":
                self._send(200, "text/html", FORM.format(query=html.escape(address.query)).encode())
            else:
                self._send(200, "application/json", json.dumps(issuer.document(address.path)).encode())

        def do_POST(self) -> None:
            address = urlsplit(self.path)
            form = _fields(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if address.path == "/authorize":
                self.send_response(303)
                self.send_header("Location", issuer.let_in(_fields(address.query), form["sub"]))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            facts = issuer.token(form)
            self._send(200 if facts else 400, "application/json", json.dumps(facts or {"error": "invalid"}).encode())

        def _send(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
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
