"""What the handlers of a request are given: the gateway's parts, and whose API key it came with."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

import httpx
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.storage import Storage
from fluxline_gateway.errors import ApiError
from fluxline_gateway.key_cache import KeyCache
from fluxline_gateway.keys import Principal
from fluxline_gateway.live import LiveHub
from fluxline_gateway.settings import GatewaySettings

HTTP_TIMEOUT_S = 10.0
INSPECTIONS = 2
"""How many images one process decodes at a time: each may take up to 400 MB of pixels."""
_HINT = "Send the header 'Authorization: Bearer fl_...'; make a key with `fluxline keys create --owner NAME`."

bearer = HTTPBearer(auto_error=False, scheme_name="api_key", description="An API key: `fl_` and 40 characters")


def _inspections() -> asyncio.Semaphore:
    return asyncio.Semaphore(INSPECTIONS)


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
    http: httpx.AsyncClient = field(default_factory=_http_client)
    inspections: asyncio.Semaphore = field(default_factory=_inspections)


def gateway_of(request: Request) -> Gateway:
    """The process's gateway."""
    gateway: Gateway = request.app.state.gateway
    return gateway


Deps = Annotated[Gateway, Depends(gateway_of)]


async def current_owner(
    gateway: Deps, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> Principal:
    """Whose key the request carries; a missing, malformed, unknown or revoked one is answered with 401."""
    if credentials is None:
        raise _unauthorized("API key missing", "Bearer")
    principal = await gateway.keys.verify(gateway.database, credentials.credentials)
    if principal is None:
        raise _unauthorized("API key not valid", 'Bearer error="invalid_token"')
    return principal


Owner = Annotated[Principal, Depends(current_owner)]


def _unauthorized(title: str, challenge: str) -> ApiError:
    """`challenge` is the WWW-Authenticate header of RFC 6750."""
    return ApiError(
        401,
        title,
        category=ErrorCategory.AUTHENTICATION,
        hint=_HINT,
        headers={"WWW-Authenticate": challenge},
    )
