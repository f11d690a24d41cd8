"""The public keys of a token issuer: found by OpenID Connect Discovery 1.0, kept, and fetched anew when they change."""

import asyncio
import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fluxline.contracts.errors import ErrorCategory
from fluxline.runtime.logs import get_logger
from fluxline_gateway.errors import ApiError

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
"""Signatures with a public key only: with a shared secret or none, whoever can verify can sign."""
FRESH_S: Final = 600.0
"""How long keys are used before the issuer is asked again, so also for how long one that it took back still counts."""
PAUSE_S: Final = 30.0
"""Between two questions, however many tokens name keys that are not known."""
FIRST_PAUSE_S: Final = 5.0
"""The same as long as there are no keys at all."""
FETCH_TIMEOUT_S: Final = 5.0
MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
MIN_RSA_BITS: Final = 2048
_DISCOVERY: Final = "/.well-known/openid-configuration"
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "EdDSA"}

log = get_logger(__name__)


class IssuerUnavailable(ApiError):
    """The issuer does not answer, so nobody can say whether the token is good."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "Identity provider unavailable",
            category=ErrorCategory.SERVICE_ERROR,
            hint="The token may be good: send the request again in a moment.",
            headers={"Retry-After": str(int(FIRST_PAUSE_S))},
        )


class _Unusable(Exception):
    """The issuer's answer is not what it should be."""


class IssuerKeys:
    """The keys of one issuer. They outlive an outage of the issuer; a start of the gateway does not need it."""

    def __init__(self, issuer: str, http: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer, self._http, self._clock = issuer, http, clock
        self._keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._down = False
        self._asking = asyncio.Lock()

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key of that id for that algorithm; without an id, the only one for it. None: the issuer has none.

        Raises IssuerUnavailable when that cannot be known.
        """
        key = self._known(key_id, algorithm)
        if key is not None and (self._is_fresh() or (self._down and self._asking.locked())):
            return key  # in an outage one request waits for the issuer, not all
        async with self._asking:
            await self._refresh_for(key_id, algorithm)
        key = self._known(key_id, algorithm)
        if key is None and self._down:
            raise IssuerUnavailable
        return key

    def _known(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        if key_id is not None:
            return self._keys.get((key_id, algorithm))
        fitting = [key for (_, name), key in self._keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _is_fresh(self) -> bool:
        return self._clock() - self._fetched_at < FRESH_S

    async def _refresh_for(self, key_id: str | None, algorithm: str) -> None:
        """Ask the issuer, unless somebody just did while this one waited."""
        now = self._clock()
        if self._known(key_id, algorithm) is not None and self._is_fresh():
            return
        if now - self._tried_at < (PAUSE_S if self._keys else FIRST_PAUSE_S):
            return
        self._tried_at = now
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_S):
                self._keys = usable_keys(await self._key_set())
            self._fetched_at, self._down = now, False
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, _Unusable) as error:
            self._down = True
            log.warning("oidc.issuer_unavailable", issuer=self._issuer, error=type(error).__name__, reason=str(error))

    async def _key_set(self) -> Mapping[str, Any]:
        discovery = await self._document(self._issuer.rstrip("/") + _DISCOVERY)
        if discovery.get("issuer") != self._issuer:
            raise _Unusable("the discovery document is another issuer's")
        try:
            return await self._document(issuer_url(str(discovery.get("jwks_uri"))))
        except ValueError as error:
            raise _Unusable(f"jwks_uri {error}") from error

    async def _document(self, url: str) -> Mapping[str, Any]:
        body = bytearray()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}  # what is packed may be of any size
        async with self._http.stream("GET", url, headers=headers) as answer:
            if answer.status_code != 200:
                raise _Unusable(f"status {answer.status_code}")
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise _Unusable("the answer is too large")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise _Unusable("the answer is not JSON") from error
        if not isinstance(document, dict):
            raise _Unusable("the answer is not a JSON object")
        return document


def usable_keys(key_set: Mapping[str, Any]) -> dict[tuple[str | None, str], jwt.PyJWK]:
    """The keys of a JWK Set (RFC 7517) that may verify signatures, by id and algorithm; others are passed over."""
    members = key_set.get("keys")
    found: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for member in members[:MAX_KEYS] if isinstance(members, list) else []:
        for algorithm in _algorithms_of(member):
            try:
                key = jwt.PyJWK(member, algorithm)
            except (jwt.PyJWTError, UnsupportedAlgorithm, TypeError, ValueError, AttributeError):
                continue
            if not isinstance(key.key, RSAPublicKey) or key.key.key_size >= MIN_RSA_BITS:
                found[key.key_id, algorithm] = key
    return found


def _algorithms_of(member: object) -> Iterator[str]:
    """What a public key for signatures can be used with: what it says itself, or what its type allows."""
    if not isinstance(member, dict) or "d" in member or member.get("use", "sig") != "sig":
        return
    if not isinstance(member.get("kid"), str | None):
        return
    for algorithm in ALGORITHMS:
        if member.get("alg", algorithm) == algorithm and _fits(member, algorithm):
            yield algorithm


def _fits(member: Mapping[str, Any], algorithm: str) -> bool:
    if member.get("kty") == "RSA":
        return algorithm[:2] in ("RS", "PS")
    curve = member.get("crv")
    return isinstance(curve, str) and member.get("kty") in ("EC", "OKP") and _CURVES.get(curve) == algorithm


def issuer_url(url: str) -> str:
    """The URL as it came. Raises ValueError unless it is https, or http of this machine, and nothing but an address."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("is not a URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("must begin with https:// (http:// only for this machine)")
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("must have no user name, no query and no fragment")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
