"""The whole collector on a real NATS and a real PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from nats.js import JetStreamContext

from fluxline.contracts.events import ZipProgressed
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import Received, body_of, headers_of
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.store import EventStore
from polling import poll_until
from servers import NatsServer
from streams import requested


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    bus = Bus("test", nats.url, make_tracer_provider("test", None))
    await bus.broker.connect()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


async def rows(database: Database) -> list[Any]:
    found: list[Any] = await database.pool.fetch("SELECT * FROM events ORDER BY sequence")
    return found


def store_of(database: Database) -> EventStore:
    return EventStore(database, CollectorMetrics(Metrics().registry))


async def test_every_message_is_stored_once_whatever_it_holds(app: FastAPI, bus: Bus, database: Database) -> None:
    bodies = [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"training_id": "no", "attempt": "x"}', b'{"a": "\\u0000"}']
    for number, body in enumerate(bodies):
        await bus.publish_raw("zip.created" if number % 2 else "training.unheard_of", body, {"x": "y"})
    await bus.publish(requested())
    stored = await poll_until(lambda: _at_least(database, len(bodies) + 1))
    assert [bytes(row["body"]) for row in stored][: len(bodies)] == bodies
    assert [row["readable"] for row in stored] == [False] * len(bodies) + [True]
    first = stored[0]["sequence"]
    assert [row["sequence"] for row in stored] == list(range(first, first + len(stored)))


async def _at_least(database: Database, count: int) -> list[Any] | None:
    stored = await rows(database)
    return stored if len(stored) >= count else None


async def test_a_batch_that_is_delivered_again_is_stored_once(database: Database, jetstream: JetStreamContext) -> None:
    event = requested()
    info = await jetstream.stream_info("EVENTS")
    batch = [
        Received(event.subject, body_of(event), headers_of(event, "gateway"), n, 1, info.created) for n in range(1, 50)
    ]
    store = store_of(database)
    await asyncio.gather(store.store(batch), store.store(list(reversed(batch))), store.store(batch[:10]))
    assert len(await rows(database)) == 49


async def test_events_summary_and_export_tell_the_same_story(
    client: httpx.AsyncClient, bus: Bus, database: Database
) -> None:
    event = requested()
    path = f"/v1/trainings/{event.training_id}"
    await bus.publish(event)
    for done in range(1, 6):
        progressed = ZipProgressed.caused_by(
            event, discriminator=str(done), done=done, total=5, current=f"image_{done:03}.jpg", size_bytes=done
        )
        await bus.publish(progressed)
    await poll_until(lambda: _at_least(database, 6))
    page = (await client.get(f"{path}/events", params={"limit": 4})).json()
    rest = (await client.get(f"{path}/events", params={"after": page["next_cursor"]})).json()
    types = [item["type"] for item in page["items"] + rest["items"]]
    assert types == ["training.requested"] + ["zip.progressed"] * 5
    summary = (await client.get(f"{path}/summary")).json()
    assert summary["events"] == 6
    assert summary["log"][-1]["message"] == "Processed image 5/5"
    lines = (await client.get(f"{path}/export")).text.splitlines()
    assert [json.loads(line)["type"] for line in lines] == types
    assert json.loads(lines[0])["headers"]["Nats-Msg-Id"] == str(event.event_id)


async def test_a_secret_that_slipped_into_an_event_is_not_stored(bus: Bus, database: Database, app: FastAPI) -> None:
    body = json.dumps({"training_id": str(uuid4()), "hf_token": "hf_abcdefghijklmnop"}).encode()
    await bus.publish_raw("training.requested", body, {})
    (row,) = await poll_until(lambda: _at_least(database, 1))
    assert b"hf_abcdefghijklmnop" not in bytes(row["body"])
    assert row["redacted"]


async def test_nobody_reads_without_the_token(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/v1/trainings/{uuid4()}/summary", headers={"Authorization": "Bearer wrong"})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


async def test_an_unknown_training_is_a_problem_with_a_reason(client: httpx.AsyncClient, app: FastAPI) -> None:
    await poll_until(lambda: _ready(client))
    answer = await client.get(f"/v1/trainings/{uuid4()}/summary")
    assert answer.status_code == 404
    assert "has been stored" in answer.json()["detail"]


async def _ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def test_health_needs_no_token(client: httpx.AsyncClient) -> None:
    bare = {"Authorization": ""}
    assert (await client.get("/healthz", headers=bare)).status_code == 200
    assert "fluxline_collector_events_stored_total" in (await client.get("/metrics", headers=bare)).text
