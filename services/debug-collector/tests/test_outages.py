"""The collector, PostgreSQL and kill -9: nothing is missing, nothing is there twice, and nobody else is the worse.

`COLLECTOR_OUTAGE_EVENTS=4500` for the memory of a long outage.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import GATEWAY
from fluxline.postgres.pool import Database
from fluxline.runtime.provision import consumer_config
from fluxline_collector.rebuild import roll_up_again
from polling import poll_until
from processes import free_ports
from servers import NatsServer, PostgresServer
from streams import settled

from .collector_process import QUICK, CollectorProcess
from .messages import a_job, received
from .million import COLUMNS, history, rows

SUBJECT, HEADERS, BODY = (COLUMNS.index(name) for name in ("subject", "headers", "body"))
MB = 1024**2
AT_ONCE = 50
COUNT = int(os.environ.get("COLLECTOR_OUTAGE_EVENTS", "600"))
"""From 3,000 on, holding all of them would show."""
SIZE = 20_000


@pytest.fixture
async def collector(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str
) -> AsyncIterator[CollectorProcess]:
    """Not started yet."""
    await jetstream.add_consumer("EVENTS", config=consumer_config(QUICK))
    [port] = free_ports(1)
    process = CollectorProcess(nats.url, database_url, port)
    yield process
    await asyncio.to_thread(process.kill)


async def publish_history(jetstream: JetStreamContext, events: int, seed: int = 33) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    made = [(row[SUBJECT], row[BODY], json.loads(row[HEADERS])) for row in rows(history(events, seed), began, seed)]
    await asyncio.gather(*(jetstream.publish(subject, body, headers=headers) for subject, body, headers in made))


async def sequences(jetstream: JetStreamContext, database: Database) -> tuple[list[int], list[int]]:
    """Those of the stream, of which nothing was deleted, and those of the rows."""
    state = (await jetstream.stream_info("EVENTS")).state
    found = await database.pool.fetch("SELECT sequence FROM events ORDER BY sequence")
    return list(range(state.first_seq, state.last_seq + 1)), [row["sequence"] for row in found]


async def tables(database: Database) -> list[Any]:
    jobs = await database.pool.fetch("SELECT * FROM jobs ORDER BY training_id")
    attempts = await database.pool.fetch("SELECT * FROM attempts ORDER BY event_id")
    return [tuple(row) for row in (*jobs, *attempts)]


async def assert_complete(jetstream: JetStreamContext, database: Database) -> None:
    """Every message has one row, and the other tables are what these rows make."""
    await poll_until(lambda: settled(jetstream, QUICK), timeout_s=40)
    published, stored = await sequences(jetstream, database)
    assert stored == published
    as_rolled_up = await tables(database)
    await roll_up_again(database)
    assert await tables(database) == as_rolled_up


async def test_a_collector_that_was_down_for_a_whole_job_misses_nothing_of_it(
    collector: CollectorProcess, jetstream: JetStreamContext, database: Database
) -> None:
    for message in received(a_job()):
        await jetstream.publish(message.subject, message.body, headers={**message.headers})
    assert await database.pool.fetchval("SELECT count(*) FROM events") == 0
    await asyncio.to_thread(collector.start)
    await assert_complete(jetstream, database)
    assert await database.pool.fetchval("SELECT status FROM jobs") == "succeeded"


async def test_killed_in_the_middle_of_a_batch_it_loses_and_repeats_nothing(
    collector: CollectorProcess, jetstream: JetStreamContext, database: Database
) -> None:
    """The batch waits for a lock when its process dies: its statement may still be carried out, or not."""
    await asyncio.to_thread(collector.start)
    await poll_until(lambda: collector.is_ready, timeout_s=30)
    for round_number in range(2):
        async with database.transaction() as holder:
            await holder.execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
            await publish_history(jetstream, 300, seed=round_number)
            await poll_until(lambda: _waits_for_lock(database), timeout_s=60)
            await asyncio.to_thread(collector.kill)
            if round_number == 0:
                await database.pool.execute(_END_WAITING)
        await asyncio.to_thread(collector.start)
    await assert_complete(jetstream, database)


_WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_END_WAITING = f"SELECT pg_terminate_backend(pid) {_WAITING}"


async def _waits_for_lock(database: Database) -> bool:
    return bool(await database.pool.fetchval(f"SELECT count(*) {_WAITING}"))


async def test_without_postgresql_it_keeps_its_size_and_nobody_else_notices(
    collector: CollectorProcess, postgres: PostgresServer, jetstream: JetStreamContext, database: Database
) -> None:
    await asyncio.to_thread(collector.start)
    await poll_until(lambda: collector.is_ready, timeout_s=30)
    before = collector.rss_bytes
    await asyncio.to_thread(postgres.kill)
    try:
        largest, slowest = await _publish_large(jetstream, collector, count=COUNT, size=SIZE)
        assert await _consume_all(jetstream) == COUNT  # another service's consumer
        assert not collector.is_ready
    finally:
        await asyncio.to_thread(postgres.start)
    assert largest - before < 45 * MB  # two batches and the rows of one are 30 MB
    assert slowest < 2
    await assert_complete(jetstream, database)


async def _publish_large(
    jetstream: JetStreamContext, collector: CollectorProcess, *, count: int, size: int
) -> tuple[int, float]:
    """Publish; the most memory that the collector had meanwhile, and the longest that a message took."""
    largest, slowest = 0, 0.0
    for start in range(0, count, AT_ONCE):
        began = time.monotonic()
        bodies = [_large(number, size) for number in range(start, start + AT_ONCE)]
        await asyncio.gather(*(jetstream.publish("zip.progressed", body) for body in bodies))
        slowest = max(slowest, time.monotonic() - began)
        largest = max(largest, collector.rss_bytes)
    return largest, slowest


def _large(number: int, size: int) -> bytes:
    return json.dumps({"training_id": str(uuid4()), "number": number, "text": "x" * size}).encode()


async def _consume_all(jetstream: JetStreamContext) -> int:
    subscription = await jetstream.pull_subscribe_bind(GATEWAY.durable, stream="EVENTS")
    taken = 0
    while True:
        try:
            messages = await subscription.fetch(500, timeout=0.5)
        except TimeoutError:
            return taken
        for message in messages:
            await message.ack()
        taken += len(messages)
