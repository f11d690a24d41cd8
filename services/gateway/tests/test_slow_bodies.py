"""Bodies that never end, and what a client is told that asks what it may do."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from fluxline.postgres.pool import Database
from fluxline_gateway import api

from .jobs import order_of


async def test_a_body_that_comes_in_drop_by_drop_is_ended(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BODY_TIMEOUT_S", 0.3)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.02)
            yield b" "

    answer = await client.post("/v1/trainings", content=drip(), headers={"content-type": "application/json"})
    assert answer.status_code == 408, answer.text
    assert answer.json()["hint"]


async def test_a_wrong_method_is_answered_with_all_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.options("/v1/images")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@pytest.mark.parametrize(
    "url", ["https://0x7f.1/", "https://10.0.0.1/x", "http://example.com/", "https://a:b@example.com/"]
)
async def test_a_webhook_to_a_private_address_is_refused(
    client: httpx.AsyncClient, database: Database, url: str
) -> None:
    answer = await client.post("/v1/trainings", json=await order_of(database, webhook_url=url))
    assert answer.status_code == 422
    assert any(error["field"] == "webhook_url" for error in answer.json()["errors"]), answer.text
