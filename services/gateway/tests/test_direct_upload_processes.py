"""Direct uploads to gateway processes of their own: what the largest one costs in memory, and one that is killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from nats.js import JetStreamContext

from fluxline.contracts.limits import MAX_IMAGES
from fluxline_gateway.migrations import SCHEMA
from polling import poll_until
from servers import NatsServer

from .test_app import START_TIMEOUT_S, new_key, running_gateway, status_of
from .test_upload_memory import COMMENT, MAX_GROWTH_BYTES, large_photo, memory_bytes

__all__ = ["large_photo"]

PATH = "/v1/images/uploads"
_SETTLED = "SELECT count(*) FROM image_upload_files WHERE image_id IS NOT NULL"


@asynccontextmanager
async def client_of(url: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that is ready."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=120) as client:

        async def ready() -> bool:
            return await status_of(client, "/readyz") == 200

        await poll_until(ready, START_TIMEOUT_S)
        yield client


async def body_of(photo: bytes, number: int) -> AsyncIterator[bytes]:
    """A photo that differs from the others in a comment."""
    for piece in (photo[:2], COMMENT % number, photo[2:]):
        for start in range(0, len(piece), 1 << 18):
            yield piece[start : start + (1 << 18)]


async def sent(client: httpx.AsyncClient, photo: bytes, count: int) -> dict[str, Any]:
    """An upload whose files have all arrived, four at a time."""
    size_bytes = len(photo) + len(COMMENT % 0)
    body = {"files": [{"filename": f"{n}.jpg", "size_bytes": size_bytes} for n in range(count)]}
    upload: dict[str, Any] = (await client.post(PATH, json=body)).json()
    places = asyncio.Semaphore(4)
    async with httpx.AsyncClient(trust_env=False, timeout=120) as sender:

        async def send(file: dict[str, Any]) -> int:
            async with places:
                content = body_of(photo, file["number"])
                return (await sender.put(file["url"], content=content, headers=file["headers"])).status_code

        assert set(await asyncio.gather(*map(send, upload["files"]))) == {200}
    return upload


@pytest.mark.timeout(180)
async def test_twenty_of_the_largest_photos_by_links_raise_the_gateway_by_less_than_64_mib(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path, large_photo: bytes
) -> None:
    with running_gateway(nats, database_url, tmp_path) as (process, url):
        async with client_of(url, await new_key(database_url)) as client:
            before = memory_bytes(process.pid, "VmRSS")
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak starts anew (proc(5))
            upload = await sent(client, large_photo, MAX_IMAGES)
            sending = memory_bytes(process.pid, "VmHWM") - before
            verdicts = (await client.post(f"{PATH}/{upload['id']}/complete")).json()
            growth = memory_bytes(process.pid, "VmHWM") - before
    print(f"the gateway grew by {sending / 2**20:.1f} MiB while files came in, {growth / 2**20:.1f} MiB in all")
    assert len({image["id"] for image in verdicts["accepted"]}) == MAX_IMAGES
    assert growth < MAX_GROWTH_BYTES


@pytest.mark.timeout(180)
async def test_another_gateway_finishes_what_one_that_was_killed_has_begun(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path, large_photo: bytes
) -> None:
    key = await new_key(database_url)
    database = await asyncpg.connect(database_url, server_settings={"search_path": SCHEMA})
    with (
        running_gateway(nats, database_url, tmp_path) as (first, first_url),
        running_gateway(nats, database_url, tmp_path) as (_, second_url),
    ):
        async with client_of(first_url, key) as one, client_of(second_url, key) as other:
            upload = await sent(one, large_photo, 6)
            path = f"{PATH}/{upload['id']}/complete"
            completing = asyncio.create_task(one.post(path))
            await poll_until(lambda: database.fetchval(_SETTLED), 60)
            first.kill()
            assert isinstance((await asyncio.gather(completing, return_exceptions=True))[0], httpx.TransportError)
            judged = await database.fetchval(_SETTLED)

            async def completed() -> dict[str, Any] | None:
                answer = await other.post(path)
                assert answer.status_code in (200, 409)
                return answer.json() if answer.status_code == 200 else None

            verdicts = await poll_until(completed, 60, 0.5)
            images = (await other.get("/v1/images")).json()["items"]
    await database.close()
    assert 1 <= judged < 6
    assert verdicts is not None
    assert (len(verdicts["accepted"]), verdicts["rejected"]) == (6, [])
    assert {image["id"] for image in verdicts["accepted"]} == {image["id"] for image in images}
    assert len(images) == 6
    assert [path for path in (tmp_path / "storage" / "incoming").rglob("*") if path.is_file()] == []
