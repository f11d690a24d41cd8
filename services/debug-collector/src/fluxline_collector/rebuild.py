"""`python -m fluxline_collector.rebuild`: the tables made right again, from the stream and from what is stored.

Reads the whole stream from its first message and stores what is missing; then works out `jobs` and `attempts` anew
from `events`. Safe at any time, while collectors run as well, and as often as one likes. Jobs of which events were
dropped with their week keep the rows they have.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from uuid import UUID

import asyncpg
import nats
import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import CollectorRegistry

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.contracts.permissions import inbox_of_pulls, inbox_prefix
from fluxline.postgres.pool import Connection, Database
from fluxline.runtime.envelope import Received, received_from
from fluxline.runtime.nats_tls import client_tls_of_environment
from fluxline.runtime.settings import required_value_of
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.rollup import COLUMNS_READ, STATEMENT_TIMEOUT_S, rollup_sql
from fluxline_collector.store import EventStore

BATCH = 500
JOBS_AT_ONCE = 200
FETCH_TIMEOUT_S = 5.0
UNUSED_S = 60.0
TRIES = 5
_FIRST = UUID(int=0)
_OLDEST_KEPT = """
SELECT coalesce(min(to_date(right(relname, 7), 'IYYY"w"IW')), '-infinity')::timestamp AT TIME ZONE 'UTC'
FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'events'::regclass
"""
_ADD_JOBS = """
INSERT INTO jobs (training_id, first_at, last_at, last_sequence)
SELECT training_id, min(stored_at), max(stored_at), 0 FROM events
WHERE training_id IS NOT NULL AND generation_id IS NULL
    AND NOT EXISTS (SELECT FROM jobs WHERE jobs.training_id = events.training_id)
GROUP BY training_id ORDER BY training_id ON CONFLICT DO NOTHING
"""
_CLAIM = """
SELECT training_id FROM jobs WHERE training_id > $1 AND first_at >= $2 ORDER BY training_id LIMIT $3 FOR UPDATE
"""
_FORGET = (
    "DELETE FROM attempts WHERE training_id = ANY ($1)",
    "DELETE FROM jobs WHERE training_id = ANY ($1)",
)
_AGAIN = rollup_sql(f"SELECT {COLUMNS_READ} FROM events WHERE training_id = ANY ($1)")  # noqa: S608
_OTHERS = rollup_sql(f"SELECT {COLUMNS_READ} FROM events WHERE training_id IS NULL")  # noqa: S608


@dataclass(frozen=True)
class Rebuilt:
    """How many messages were read and how many of them were missing, and how many jobs were worked out anew."""

    read: int
    stored: int
    jobs: int

    def __str__(self) -> str:
        return (
            f"{self.read} messages read: {self.stored} stored, {self.read - self.stored} already there.\n"
            f"{self.jobs} jobs worked out anew, with their attempts."
        )


async def rebuild(nats_url: str, database_url: str) -> Rebuilt:
    """Do both. Raises what nats-py and asyncpg raise when a server is away; then run it again."""
    database = Database(database_url, "collector")
    await database.open()
    client = await nats.connect(
        [url.strip() for url in nats_url.split(",")],
        tls=client_tls_of_environment(),
        max_reconnect_attempts=10,
        inbox_prefix=inbox_prefix("collector"),
    )
    try:
        store = EventStore(database, CollectorMetrics(CollectorRegistry()))
        read = stored = 0
        async for batch in stream_from_first(client.jetstream()):
            read, stored = read + len(batch), stored + await store.add(batch)
        return Rebuilt(read, stored, await roll_up_again(database))
    finally:
        await client.close()
        await database.close()


async def stream_from_first(jetstream: JetStreamContext) -> AsyncIterator[list[Received]]:
    """Every message that is in the stream now, in its order, in batches.

    Nothing is acknowledged: a delivery that did not arrive shows as a gap in the consumer's own sequence, and is asked
    for again by a new consumer.
    """
    state = (await jetstream.stream_info(EVENTS_STREAM.name)).state
    position, left = 0, state.messages
    while left and position < state.last_seq:
        config = _reading_from(position + 1)
        subscription = await jetstream.pull_subscribe(
            "", stream=EVENTS_STREAM.name, config=config, inbox_prefix=inbox_of_pulls("collector")
        )
        try:
            expected = 1
            while left and position < state.last_seq:
                messages = await subscription.fetch(BATCH, FETCH_TIMEOUT_S)
                arrived = _without_gap(messages, expected)
                if not arrived:
                    break
                yield [received_from(message) for message in arrived]
                position, left = arrived[-1].metadata.sequence.stream, arrived[-1].metadata.num_pending
                expected += len(arrived)
        except TimeoutError:  # or what was left has gone meanwhile
            left = (await jetstream.stream_info(EVENTS_STREAM.name)).state.messages
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()


def _without_gap(messages: list[Msg], expected: int) -> list[Msg]:
    """The messages from the front that follow each other, the first being the consumer's `expected`."""
    numbered = enumerate(messages, start=expected)
    return [message for _, message in takewhile(lambda pair: pair[0] == pair[1].metadata.sequence.consumer, numbered)]


def _reading_from(sequence: int) -> ConsumerConfig:
    return ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=sequence,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=UNUSED_S,
    )


async def roll_up_again(database: Database) -> int:
    """Work out `jobs` and `attempts` from the events that are stored; returns how many jobs that are.

    A slice of jobs at a time is locked: a batch that holds one of them waits, and adds to what is here afterwards.
    """
    oldest: datetime = await database.pool.fetchval(_OLDEST_KEPT)
    await database.pool.execute(_ADD_JOBS, timeout=STATEMENT_TIMEOUT_S)
    await database.pool.execute(_OTHERS, timeout=STATEMENT_TIMEOUT_S)
    jobs, last = 0, _FIRST
    while claimed := await _slice(database, last, oldest):
        jobs, last = jobs + len(claimed), claimed[-1]
    return jobs


async def _slice(database: Database, after: UUID, oldest: datetime) -> list[UUID]:
    for attempt in range(1, TRIES + 1):
        try:
            async with database.transaction() as connection:
                return await _roll_up_slice(connection, after, oldest)
        except asyncpg.DeadlockDetectedError:  # with a batch that repeats an event under a new sequence
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


async def _roll_up_slice(connection: Connection, after: UUID, oldest: datetime) -> list[UUID]:
    ids = [row["training_id"] for row in await connection.fetch(_CLAIM, after, oldest, JOBS_AT_ONCE)]
    if ids:
        for statement in (*_FORGET, _AGAIN):
            await connection.execute(statement, ids)
    return ids


def main() -> None:
    """Rebuild from the servers that the environment names."""
    print(asyncio.run(rebuild(required_value_of("NATS_URL"), required_value_of("DATABASE_URL"))))


if __name__ == "__main__":
    main()
