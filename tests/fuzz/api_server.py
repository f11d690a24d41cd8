"""A whole gateway on a real socket, with what a caller may meet in it: images, a training, and a debug-collector."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from fluxline.postgres.migrate import migrate
from fluxline.storage.local import LocalStorage
from fluxline_gateway.app import build
from fluxline_gateway.debug.views import EXAMPLE
from fluxline_gateway.identity import keys
from fluxline_gateway.settings import GatewaySettings
from photos import jpeg_bytes, scene
from polling import poll_until
from processes import free_ports


@dataclass(frozen=True)
class Api:
    """Where it is, and a key for it that may do everything, with its id."""

    url: str
    key: str
    key_id: str


@asynccontextmanager
async def served_api(nats_url: str, database_url: str, folder: Path) -> AsyncIterator[Api]:
    """The API, while the block runs."""
    port, collector_port = free_ports(2)
    await migrate(database_url, "fluxline_gateway")
    url = f"http://127.0.0.1:{port}"
    settings = GatewaySettings(
        nats_url=nats_url,
        database_url=database_url,
        collector_url=f"http://127.0.0.1:{collector_port}",
        collector_token="the collector's token",
        replicate_webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        requests_per_minute=1_000_000,
        _env_file=None,
    )
    service, app = build(settings, LocalStorage(folder / "storage", url, b"s" * 32))
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)
    )
    collector = await asyncio.start_server(_answer_as_collector, "127.0.0.1", collector_port)
    serving = asyncio.create_task(server.serve())
    try:
        await poll_until(service.started.is_set, 30)
        scopes = ("read", "write", "admin")
        key, key_id = await keys.create(app.state.gateway.database.pool, "ada", scopes=scopes)
        yield Api(url, key, str(key_id))
    finally:
        server.should_exit = True
        collector.close()
        await serving


async def order(api: Api) -> str:
    """Upload five photos and ask for a training with them; the ids of the photos, with spaces between."""
    headers = {"Authorization": f"Bearer {api.key}"}
    async with httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False, timeout=30) as client:
        files = [("files", (f"{n}.jpg", jpeg_bytes(scene((600, 600), n)))) for n in range(5)]
        images = (await client.post("/v1/images", files=files)).json()["accepted"]
        ids = [image["id"] for image in images]
        answer = await client.post("/v1/trainings", json={"name": "Ada", "trigger_word": "ADATOK", "image_ids": ids})
        answer.raise_for_status()
        return " ".join(ids)


async def _answer_as_collector(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The summary of the document's example to whatever is asked."""
    await reader.readuntil(b"\r\n\r\n")
    body = json.dumps(EXAMPLE).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
