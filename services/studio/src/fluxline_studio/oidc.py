"""Signing in with an OpenID issuer: the code flow with PKCE (RFC 6749, 7636, 9207; OpenID Connect Core 1.0).

What comes out is an access token for the gateway. Whom it speaks for is the gateway's to verify, as on every call; the
studio believes no token by itself, and keeps none but in the browser's encrypted cookie.
"""

import base64
import hashlib
import hmac
import secrets
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
from pydantic import BaseModel

from fluxline_studio.settings import StudioSettings

TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
MAX_TOKEN_CHARS: Final = 2700
"""What fits, encrypted, into the 4 KB of a cookie."""
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class OidcProblem(Exception):
    """Signing in did not work; its text is for the person, and holds nothing of what the issuer sent."""


class Flow(BaseModel):
    """What is kept, encrypted, in the browser between leaving and coming back."""

    state: str
    verifier: str
    next: str


class Oidc:
    """One issuer, and this studio as its client. Methods raise OidcProblem."""

    def __init__(self, settings: StudioSettings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(timeout=TIMEOUT, transport=transport, trust_env=False)
        self._found: dict[str, str] = {}

    async def begin(self, next_path: str) -> tuple[str, Flow]:
        """Where to send the browser, and what to keep for when it comes back."""
        flow = Flow(state=secrets.token_urlsafe(24), verifier=secrets.token_urlsafe(48), next=next_path)
        digest = hashlib.sha256(flow.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._settings.oidc_client_id,
            "redirect_uri": self._settings.callback_url,
            "scope": self._settings.oidc_scope,
            "state": flow.state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if self._settings.oidc_audience:
            asked["audience"] = self._settings.oidc_audience
        address = (await self._endpoints())["authorization_endpoint"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}", flow

    async def finish(self, flow: Flow, *, state: str, code: str, issuer: str) -> str:
        """The access token for the code that the browser came back with."""
        if not code or not hmac.compare_digest(state.encode(), flow.state.encode()):
            raise OidcProblem("This sign-in was not begun here. Begin again.")
        if issuer and issuer != self._settings.oidc_issuer:
            raise OidcProblem("Another issuer answered than the one that was asked.")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.callback_url,
            "client_id": self._settings.oidc_client_id,
            "code_verifier": flow.verifier,
        }
        secret = self._settings.oidc_client_secret
        credentials = (self._settings.oidc_client_id or "", secret.get_secret_value()) if secret else None
        facts = await self._json("POST", (await self._endpoints())["token_endpoint"], data=form, auth=credentials)
        return _token_of(facts)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _endpoints(self) -> dict[str, str]:
        """What the issuer says of itself; asked for once."""
        if not self._found:
            issuer = self._settings.oidc_issuer or ""
            facts = await self._json("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if facts.get("issuer") != issuer:
                raise OidcProblem("The issuer calls itself by another name than the one in STUDIO_OIDC_ISSUER.")
            names = ("authorization_endpoint", "token_endpoint")
            self._found = {name: _trusted(facts.get(name)) for name in names}
        return self._found

    async def _json(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, url, headers={"Accept": "application/json"}, **request)
            facts = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise OidcProblem("The issuer does not answer. Try again in a moment.") from error
        if answer.status_code != 200 or not isinstance(facts, dict):
            raise OidcProblem("The issuer has refused. Begin again; if it lasts, tell your operator.")
        return facts


def _token_of(facts: dict[str, Any]) -> str:
    token = facts.get("access_token")
    if str(facts.get("token_type")).lower() != "bearer" or not isinstance(token, str) or not token.isascii():
        raise OidcProblem("The issuer has sent no token that the gateway takes.")
    if len(token) > MAX_TOKEN_CHARS:
        raise OidcProblem(
            f"The issuer's token is longer than {MAX_TOKEN_CHARS} characters: ask for fewer claims in it."
        )
    return token


def _trusted(url: object) -> str:
    """The address, if codes and secrets may be sent to it."""
    parts = urlsplit(url if isinstance(url, str) else "")
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return str(url)
    raise OidcProblem("The issuer has no address that begins with https.")
