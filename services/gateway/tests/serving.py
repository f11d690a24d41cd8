"""A whole gateway in this process: its service, its consumers, its relay, and its HTTP API on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn
from fastapi import FastAPI
from httpx_sse import aconnect_sse

from fluxline.runtime.service import Service
from fluxline.storage.local import LocalStorage
from fluxline_gateway.app import build
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.settings import GatewaySettings
from polling import poll_until
from processes import free_ports

TOKEN = "the collector's token"


@dataclass(eq=False)
class Served:
    """A running gateway and a client with Ada's key."""

    service: Service
    app: FastAPI
    gateway: Gateway
    client: httpx.AsyncClient


class Message(NamedTuple):
    """One server-sent event."""

    id: int
    name: str
    data: dict[str, Any]


@asynccontextmanager
async def served_gateway(nats_url: str, database_url: str, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """A gateway that has joined NATS; stopped at the end as on SIGTERM."""
    [port] = free_ports(1)
    storage = LocalStorage(folder / "storage", f"http://127.0.0.1:{port}", b"s" * 32)
    facts = {"nats_url": nats_url, "database_url": database_url, "collector_token": TOKEN, "_env_file": None}
    service, app = build(GatewaySettings(**facts | settings), storage)
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve())
    try:
        await poll_until(service.started.is_set, 30)
        gateway: Gateway = app.state.gateway
        key, _ = await keys.create(gateway.database.pool, "ada")
        headers = {"Authorization": f"Bearer {key}"}
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
            yield Served(service, app, gateway, client)
    finally:
        server.should_exit = True
        await serving


async def watch(client: httpx.AsyncClient, training_id: str, last: int | None = None) -> AsyncIterator[Message]:
    """The messages of a training's live stream."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with aconnect_sse(client, "GET", f"/v1/trainings/{training_id}/events", headers=headers) as source:
        source.response.raise_for_status()
        async for event in source.aiter_sse():
            yield Message(int(event.id or 0), event.event, json.loads(event.data))
