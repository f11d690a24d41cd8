"""The command that makes the tables right again."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from nats.js import JetStreamContext

from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received
from fluxline_collector import rebuild as module
from fluxline_collector.rebuild import Rebuilt, rebuild, stream_from_first
from fluxline_collector.store import EventStore
from servers import NatsServer

from .messages import a_job, received


async def publish(jetstream: JetStreamContext, *jobs: list[Received]) -> None:
    for job in jobs:
        for message in job:
            await jetstream.publish(message.subject, message.body, headers={**message.headers})


async def test_what_is_missing_is_stored_and_the_rest_is_there_already(
    nats: NatsServer, jetstream: JetStreamContext, database: Database, store: EventStore
) -> None:
    await publish(jetstream, received(a_job()), received(a_job()))
    messages = [message async for batch in stream_from_first(jetstream) for message in batch]
    await store.add(messages[3:9])
    assert await rebuild(nats.url, database.url) == Rebuilt(read=26, stored=20, jobs=2)
    assert await rebuild(nats.url, database.url) == Rebuilt(read=26, stored=0, jobs=2)
    rows = await database.pool.fetch("SELECT DISTINCT status, events, retries, errors FROM jobs")
    assert [tuple(row) for row in rows] == [("succeeded", 13, 1, 2)]


async def test_it_is_one_command_that_says_what_it_did(
    nats: NatsServer, jetstream: JetStreamContext, database: Database
) -> None:
    await publish(jetstream, received(a_job()))
    environment = os.environ | {"NATS_URL": nats.url, "DATABASE_URL": database.url}
    command = [sys.executable, "-m", "fluxline_collector.rebuild"]
    done = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == (
        "13 messages read: 13 stored, 0 already there.\n1 jobs worked out anew, with their attempts.\n"
    )
    assert done.returncode == 0


async def test_a_delivery_that_did_not_arrive_is_asked_for_again(
    jetstream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(jetstream, received(a_job()))
    monkeypatch.setattr(module, "BATCH", 4)
    fetch, fetched = JetStreamContext.PullSubscription.fetch, 0

    async def losing_one(self: object, *args: object) -> object:
        nonlocal fetched
        messages = await fetch(self, *args)  # type: ignore[arg-type]
        fetched += 1
        return messages[:1] + messages[2:] if fetched == 2 else messages

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", losing_one)
    messages = [message async for batch in stream_from_first(jetstream) for message in batch]
    first = messages[0].sequence
    assert [message.sequence for message in messages] == list(range(first, first + 13))


async def test_an_empty_stream_and_holes_are_no_reason_to_wait(jetstream: JetStreamContext) -> None:
    assert [batch async for batch in stream_from_first(jetstream)] == []
    await publish(jetstream, received(a_job()))
    last = (await jetstream.stream_info("EVENTS")).state.last_seq
    for sequence in (last, last - 1, last - 5):
        await jetstream.delete_msg("EVENTS", sequence)
    async with asyncio.timeout(4):
        assert len([message async for batch in stream_from_first(jetstream) for message in batch]) == 10


async def test_jobs_whose_events_were_dropped_keep_what_is_known(
    nats: NatsServer, jetstream: JetStreamContext, database: Database, store: EventStore
) -> None:
    now = datetime.now(UTC)
    await store.add(received(a_job(), began=now - timedelta(days=200)))
    await store.weeks.drop_over(timedelta(days=90))
    assert await rebuild(nats.url, database.url) == Rebuilt(read=0, stored=0, jobs=0)
    rows = await database.pool.fetch("SELECT status, events, (SELECT count(*) FROM attempts) FROM jobs")
    assert [tuple(row) for row in rows] == [("succeeded", 13, 3)]


async def test_a_rebuild_beside_running_collectors_changes_nothing(
    nats: NatsServer, jetstream: JetStreamContext, database: Database, store: EventStore
) -> None:
    jobs = [a_job() for _ in range(30)]
    await publish(jetstream, *map(received, jobs))
    messages = [message async for batch in stream_from_first(jetstream) for message in batch]

    async def collect() -> None:
        for start in range(0, len(messages), 7):
            await store.add(messages[start : start + 7])

    await asyncio.gather(collect(), *(rebuild(nats.url, database.url) for _ in range(3)))
    rows = await database.pool.fetch("SELECT DISTINCT status, events, retries, errors, cost_usd::float FROM jobs")
    assert [tuple(row) for row in rows] == [("succeeded", 13, 1, 2, 1.75)]
    assert await database.pool.fetchval("SELECT count(*) FROM attempts") == 90
