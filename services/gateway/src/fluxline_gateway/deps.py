"""What the handlers of a request are given: the gateway's parts, and whose API key it came with."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

import httpx
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.storage import Storage
from fluxline_gateway.errors import ApiError
from fluxline_gateway.identity import scopes
from fluxline_gateway.identity.audit import Audit
from fluxline_gateway.identity.key_cache import KeyCache
from fluxline_gateway.identity.key_use import KeyUse
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.identity.oidc import Tokens
from fluxline_gateway.identity.rate_limits import RateLimits, TooManyRequests
from fluxline_gateway.images.inspections import Inspections
from fluxline_gateway.images.upload_metrics import UploadMetrics
from fluxline_gateway.live.hub import LiveHub
from fluxline_gateway.live.stream_tickets import StreamTickets
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.trainings.track_record import TrackRecord

HTTP_TIMEOUT_S = 10.0
_HINT = "Send the header 'Authorization: Bearer fl_...'; make a key with `fluxline keys create --owner NAME`."

bearer = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key: `fl_` and 40 characters")


def _http_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, trust_env=False)


@dataclass(frozen=True)
class Gateway:
    """The parts that requests are served with; one per process, at `app.state.gateway`."""

    settings: GatewaySettings
    database: Database
    bus: Bus
    storage: Storage
    live: LiveHub
    keys: KeyCache = field(default_factory=KeyCache)
    key_use: KeyUse = field(default_factory=KeyUse)
    audit: Audit = field(default_factory=Audit)
    tickets: StreamTickets = field(default_factory=StreamTickets)
    http: httpx.AsyncClient = field(default_factory=_http_client)
    inspections: Inspections = field(default_factory=Inspections)
    uploaded: UploadMetrics = field(default_factory=UploadMetrics)
    track_record: TrackRecord = field(default_factory=TrackRecord)

    @cached_property
    def tokens(self) -> Tokens:
        """What verifies JSON Web Tokens of the issuer in the settings."""
        return Tokens(self.settings, self.http)

    @cached_property
    def rates(self) -> RateLimits:
        """What counts the requests of each owner."""
        return RateLimits(self.settings.requests_per_minute)


def gateway_of(request: Request) -> Gateway:
    """The process's gateway."""
    gateway: Gateway = request.app.state.gateway
    return gateway


Deps = Annotated[Gateway, Depends(gateway_of)]


async def current_owner(
    request: Request, gateway: Deps, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Whose key or token the request carries; a missing, malformed, unknown or revoked one is answered with 401.

    One that lacks the scope of the call is answered with 403: see `scopes`; an owner that sends too many with 429.
    """
    if credentials is None:
        raise unauthorized("API key missing", "Bearer")
    principal = await _verified(gateway, credentials.credentials)
    request.state.principal = principal
    gateway.key_use.note(principal.key_id)
    await count(request, gateway, principal.owner)
    route: str = request.scope["route"].path
    if not scopes.gives_itself_up(principal, request.method, route, request.path_params):
        scopes.require(principal, scopes.needed(request.method, route))
    return principal


Owner = Annotated[Principal, Depends(current_owner)]


async def count(request: Request, gateway: Gateway, owner: str) -> None:
    """Count the request as the owner's. Raises TooManyRequests; the answer tells how the owner stands either way."""
    quota = await gateway.rates.count(gateway.database, owner)
    request.state.quota = quota
    if quota.exceeded:
        raise TooManyRequests(quota)


async def _verified(gateway: Gateway, credentials: str) -> Principal:
    """Whose token or key it is. Raises `ApiError` 401, or 503 when the token's issuer must be asked and is away."""
    if gateway.tokens.take(credentials):
        return await gateway.tokens.verify(credentials)
    principal = await gateway.keys.verify(gateway.database, credentials)
    if principal is None:
        raise unauthorized("API key not valid")
    return principal


def unauthorized(title: str, challenge: str = 'Bearer error="invalid_token"') -> ApiError:
    """`challenge` is the WWW-Authenticate header of RFC 6750."""
    return ApiError(
        401,
        title,
        category=ErrorCategory.AUTHENTICATION,
        hint=_HINT,
        headers={"WWW-Authenticate": challenge},
    )
