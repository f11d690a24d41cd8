"""Clients of the application in this process, each with a key that is made for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys

from .conftest import URL


@asynccontextmanager
async def bearer_of(app: FastAPI, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that sends this key."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
        yield client


@asynccontextmanager
async def caller(app: FastAPI, owner: str, *scopes: str, **facts: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a new key of these scopes."""
    gateway: Gateway = app.state.gateway
    key, _ = await keys.create(gateway.database.pool, owner, scopes=scopes, **facts)
    async with bearer_of(app, key) as client:
        yield client
