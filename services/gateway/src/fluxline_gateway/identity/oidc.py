"""JSON Web Tokens instead of API keys: a token of the trusted issuer speaks for one owner (RFC 7519, RFC 8725)."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import jwt
from pydantic import TypeAdapter, ValidationError

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.ids import OwnerName
from fluxline_gateway.errors import ApiError
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.identity.oidc_keys import ALGORITHMS, IssuerKeys
from fluxline_gateway.settings import GatewaySettings

LEEWAY_S: Final = 60
MAX_TOKEN_CHARS: Final = 8192
REQUIRED: Final = ("exp", "iat", "aud", "iss")
"""Of an access token (RFC 9068, section 2.2); `nbf`, which many issuers leave out, is checked where it is there."""
DERIVED: Final = "oidc-"
"""What the owner begins with whose claim is no OwnerName."""
_TYPES: Final = ("jwt", "at+jwt", "application/at+jwt")
"""`typ` of an access token (RFC 9068) or of a plain one; other kinds (logout, security event) open nothing."""
_LAST_DATE: Final = 253_402_300_799  # the end of the year 9999
_REASONS: Final = (
    (jwt.ExpiredSignatureError, "The token has expired."),
    (jwt.ImmatureSignatureError, "The token is not valid yet."),
    (jwt.InvalidAudienceError, "The token is for another audience."),
    (jwt.InvalidIssuerError, "The token is of another issuer."),
    (jwt.MissingRequiredClaimError, f"The token lacks one of {', '.join(REQUIRED)}."),
    (jwt.InvalidSignatureError, "The signature does not fit."),
)
_OWNER: TypeAdapter[str] = TypeAdapter(OwnerName)


def is_token(credentials: str) -> bool:
    """Whether it has the form of a JSON Web Token; a key has no dots."""
    return credentials.count(".") == 2


class Tokens:
    """Whom the tokens of the issuer in the settings speak for."""

    def __init__(self, settings: GatewaySettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._keys = IssuerKeys(settings.oidc_issuer, http) if settings.oidc_issuer else None

    def take(self, credentials: str) -> bool:
        """Whether these credentials are to be verified here: an issuer is trusted, and they look like a token."""
        return self._keys is not None and is_token(credentials)

    async def verify(self, token: str) -> Principal:
        """Whom the token speaks for, until it ends. Raises `ApiError` 401, or IssuerUnavailable (503)."""
        if self._keys is None:
            raise self._refused("No issuer is trusted here.")
        key_id, algorithm = self._header(token)
        key = await self._keys.find(key_id, algorithm)
        if key is None:
            raise self._refused("The token is signed with a key that the issuer does not have.")
        return self._principal(self._claims(token, key, algorithm))

    def _header(self, token: str) -> tuple[str | None, str]:
        """Id of the key and algorithm, before anything is believed."""
        if len(token) > MAX_TOKEN_CHARS:
            raise self._refused(f"The token is longer than {MAX_TOKEN_CHARS} characters.")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError) as error:
            raise self._refused("It is not a JSON Web Token.") from error
        algorithm, kind = header.get("alg"), header.get("typ", "JWT")
        if algorithm not in ALGORITHMS:
            raise self._refused(f"The token must be signed with one of {', '.join(ALGORITHMS)}.")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise self._refused("The token is not an access token.")
        return header.get("kid"), algorithm

    def _claims(self, token: str, key: jwt.PyJWK, algorithm: str) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": list(REQUIRED)},
            )
        except jwt.PyJWTError as error:
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "The token is malformed.")
            raise self._refused(reason) from error

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self._settings
        value = claims.get(settings.oidc_owner_claim)
        if not isinstance(value, str) or not value:
            raise self._refused(f"The token's claim {settings.oidc_owner_claim} must be a text.")
        scopes = scopes_of(claims.get(settings.oidc_scope_claim), settings.oidc_admin_scope)
        expires_at = datetime.fromtimestamp(min(int(claims["exp"]), _LAST_DATE), UTC)
        return Principal(owner_of(str(settings.oidc_issuer), value), None, scopes, expires_at)

    def _refused(self, reason: str) -> ApiError:
        """`reason` is ours: nothing of the token is repeated."""
        return ApiError(
            401,
            "Token not valid",
            category=ErrorCategory.AUTHENTICATION,
            hint=f"Get a new access token for this API from {self._settings.oidc_issuer}, or use an API key.",
            detail=reason,
            headers={"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{reason}"'},
        )


def owner_of(issuer: str, value: str) -> str:
    """The claim's value where it is an OwnerName; else `oidc-` and 32 hex digits of SHA-256 over issuer and value.

    A value that looks like such a derived name is derived as well, or one user could choose to be another.
    """
    try:
        if not value.startswith(DERIVED):
            return _OWNER.validate_python(value)
    except ValidationError:
        pass
    digest = hashlib.sha256(f"{issuer}|{value}".encode(errors="surrogatepass")).hexdigest()
    return DERIVED + digest[:32]


def scopes_of(claim: object, admin_scope: str | None) -> frozenset[str]:
    """Our scopes among the words of the claim, which is a text or a list of them.

    A claim with none of them may read and write; `admin` is had by the word `admin_scope` alone.
    """
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    found = {word for word in ("read", "write") if word in words}
    if admin_scope is not None and admin_scope in words:
        found.add("admin")
    return frozenset(found) or frozenset(("read", "write"))
