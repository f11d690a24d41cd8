"""A gateway on a real socket with a debug-collector behind it, and much in it that a caller may find."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import nats

from fluxline.contracts.events import ModelPublished, TrainingRequested
from fluxline.postgres.migrate import migrate
from fluxline.runtime.envelope import read_event
from fluxline_gateway.identity import keys
from photos import jpeg_bytes, scene
from polling import poll_until
from processes import free_ports

from ..example_world import EXAMPLES, history, make_world, other_names
from ..serving import TOKEN, Served, served_gateway

REPLICATE_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STATUSES: Final = ("completed", "completed", "failed", "requested")
"""Of the trainings: of the first ones in turn, of those that are asked for later by their id."""


@dataclass(frozen=True)
class Api:
    """Where it is; a key that may do everything, with its id; the images that an order can be of."""

    url: str
    key: str
    key_id: str
    image_ids: str


@asynccontextmanager
async def served_api(nats_url: str, database_url: str, folder: Path, things: int) -> AsyncIterator[Api]:
    """The API, while the block runs, with so many things of every kind."""
    async with _collector(nats_url, database_url, folder) as collector_url:
        settings = {"replicate_webhook_secret": REPLICATE_SECRET, "requests_per_minute": 1_000_000}
        async with served_gateway(nats_url, database_url, folder, collector_url=collector_url, **settings) as served:
            pool = served.gateway.database.pool
            await keys.create(pool, "bob")
            key, key_id = await keys.create(pool, "ada", scopes=("read", "write", "admin"))
            await _fill(served, things)
            images = await _upload(served.client)
            await served.client.get("/openapi.json", timeout=60)  # made now: schemathesis waits for ten seconds only
            async with _worked(nats_url, served):
                yield Api(str(served.client.base_url).rstrip("/"), key, str(key_id), images)


@asynccontextmanager
async def _worked(nats_url: str, served: Served) -> AsyncIterator[None]:
    """Meanwhile, trainings that are asked for come to their end, or get nowhere."""
    connection = await nats.connect(nats_url)

    async def work(message: nats.aio.msg.Msg) -> None:
        requested = read_event(message.subject, message.data)
        assert isinstance(requested, TrainingRequested)
        status = STATUSES[requested.training_id.int % len(STATUSES)]
        for event in history(status, requested):
            if isinstance(event, ModelPublished):
                storage = served.gateway.storage
                await storage.put(event.weights_key, b"weights", content_type="application/octet-stream")
            await served.gateway.bus.publish(event)

    await connection.subscribe(TrainingRequested.subject, cb=work)
    try:
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def _collector(nats_url: str, database_url: str, folder: Path) -> AsyncIterator[str]:
    """The URL of a collector that stores what the gateway publishes, in the same database."""
    await migrate(database_url, "fluxline_collector")
    [port] = free_ports(1)
    told = {"NATS_URL": nats_url, "DATABASE_URL": database_url, "COLLECTOR_TOKEN": TOKEN}
    with (folder / "collector.log").open("wb") as log:
        collector = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fluxline_collector"),
            env=os.environ | told | {"COLLECTOR_HTTP_PORT": str(port)},
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            await poll_until(lambda: _is_ready(client), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        collector.terminate()
        await collector.wait()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


async def _fill(served: Served, things: int) -> None:
    """What the examples speak of, and more of the same: some of it will be deleted by whoever tries the API."""
    for number in range(things):
        names = other_names(number) if number else EXAMPLES
        for event in await make_world(served.app, training=STATUSES[number % len(STATUSES)], names=names):
            await served.gateway.bus.publish(event)


async def _upload(client: httpx.AsyncClient) -> str:
    """Upload five photos; their ids, with spaces between."""
    files = [("files", (f"{n}.jpg", jpeg_bytes(scene((600, 600), n)))) for n in range(5)]
    accepted = (await client.post("/v1/images", files=files, timeout=30)).raise_for_status().json()["accepted"]
    return " ".join(image["id"] for image in accepted)
