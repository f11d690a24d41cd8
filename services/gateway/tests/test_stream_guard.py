"""A stream ends with the key that opened it, wherever that was revoked; nobody else's does."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from nats.js import JetStreamContext

from fluxline.postgres.pool import Database
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.identity.oidc import LEEWAY_S
from fluxline_gateway.live import stream_guard
from fluxline_gateway.live.stream_guard import end_streams_of_ended_keys
from polling import poll_until
from servers import NatsServer

from .jobs import order_of
from .serving import Served, served_gateway, watch


@pytest.fixture
async def served(
    nats: NatsServer,
    jetstream: JetStreamContext,
    database_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Served]:
    """A gateway that looks after its streams several times a second, or as often as the test says."""
    monkeypatch.setattr(stream_guard, "CHECK_S", getattr(request, "param", 0.05))
    async with served_gateway(nats.url, database_url, tmp_path) as served:
        yield served


async def new_training(served: Served) -> str:
    answer = await served.client.post("/v1/trainings", json=await order_of(served.gateway.database))
    return str(answer.raise_for_status().json()["id"])


async def names_of(served: Served, key: str, training_id: str) -> list[str]:
    """What the stream says until it ends."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=served.client.base_url, headers=headers, trust_env=False) as client:
        return [message.name async for message in watch(client, training_id)]


async def opened(served: Served, training_id: str, **facts: Any) -> tuple[UUID, "asyncio.Task[list[str]]"]:
    """A stream that is open with a key of its own."""
    before = served.gateway.live.open_streams
    key, key_id = await keys.create(served.gateway.database.pool, "ada", **facts)
    reading = asyncio.create_task(names_of(served, key, training_id))
    await poll_until(lambda: served.gateway.live.open_streams > before)
    return key_id, reading


async def test_a_key_revoked_anywhere_ends_its_streams_and_no_others(served: Served) -> None:
    training_id = await new_training(served)
    async with aclosing(watch(served.client, training_id)) as messages:
        await anext(messages)
        key_id, reading = await opened(served, training_id)
        await keys.revoke(served.gateway.database.pool, key_id)  # as another gateway does it
        async with asyncio.timeout(5):
            assert "end" not in await reading
        assert served.gateway.live.open_streams == 1


@pytest.mark.parametrize("served", [3600.0], indirect=True)
async def test_a_key_revoked_here_ends_its_streams_at_once(served: Served) -> None:
    training_id = await new_training(served)
    key_id, reading = await opened(served, training_id)
    assert (await served.client.delete(f"/v1/keys/{key_id}")).status_code == 204
    async with asyncio.timeout(5):
        assert "end" not in await reading


async def test_a_key_that_expires_ends_its_streams(served: Served) -> None:
    training_id = await new_training(served)
    _, reading = await opened(served, training_id, expires_at=datetime.now(UTC) + timedelta(seconds=1))
    async with asyncio.timeout(5):
        assert "end" not in await reading


async def test_a_stream_of_a_ticket_hangs_on_no_key(served: Served) -> None:
    training_id = await new_training(served)
    url = (await served.client.post(f"/v1/trainings/{training_id}/events/ticket")).json()["url"]
    async with (
        httpx.AsyncClient(base_url=served.client.base_url, trust_env=False) as browser,
        browser.stream("GET", url) as answer,
    ):
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("id: ")
        await served.gateway.database.pool.execute("UPDATE api_keys SET revoked_at = now()")
        await end_streams_of_ended_keys(served.gateway.database, served.gateway.live)
        assert served.gateway.live.open_streams == 1


async def test_all_streams_are_one_question(
    gateway: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Collection[UUID]] = []
    living = keys.living

    async def counted(connection: Any, key_ids: Collection[UUID]) -> set[UUID]:
        asked.append(key_ids)
        return await living(connection, key_ids)

    monkeypatch.setattr(keys, "living", counted)
    _, good = await keys.create(database.pool, "ada")
    _, bad = await keys.create(database.pool, "ada")
    await keys.revoke(database.pool, bad)
    with ExitStack() as stack:
        pages = [
            stack.enter_context(gateway.live.subscribe(uuid4(), Principal("ada", key_id, frozenset())))
            for key_id in (good, bad, uuid4()) * 20
        ]
        await end_streams_of_ended_keys(database, gateway.live)
        assert [page.lagging for page in pages] == [False, True, True] * 20
    assert len(asked) == 1
    await end_streams_of_ended_keys(database, gateway.live)
    assert len(asked) == 1  # with no stream open, nothing is asked


async def test_a_token_that_has_expired_ends_its_streams_without_a_question(gateway: Gateway) -> None:
    now, grace = datetime.now(UTC), timedelta(seconds=LEEWAY_S)
    ends = [now + timedelta(hours=1), now - grace / 2, now - 2 * grace, datetime(9999, 12, 31, tzinfo=UTC), None]
    with ExitStack() as stack:
        pages = [
            stack.enter_context(gateway.live.subscribe(uuid4(), Principal("ada", None, frozenset(), end)))
            for end in ends
        ]
        await end_streams_of_ended_keys(Database("postgresql://127.0.0.1:1/none", "none"), gateway.live)
    assert [page.lagging for page in pages] == [False, False, True, False, False]
