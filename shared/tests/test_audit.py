"""The audit of the outbox: what a stream loses comes back from the database, with the same ids."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import asyncpg
import pytest
from nats.js import JetStreamContext

from fluxline.contracts.event import Event
from fluxline.postgres import outbox
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.provision import provision
from fluxline.runtime.telemetry import make_tracer_provider
from polling import poll_until
from servers import NatsServer, nats_server
from streams import messages_of, requested


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "public")
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE alembic_version (version_num text)")
    await connection.execute(outbox.TABLE_SQL)
    await connection.execute(outbox.ADD_SEQUENCE_SQL)
    await connection.close()
    await database.open()
    yield database
    await database.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Bus]:
    bus = Bus("gateway", url, make_tracer_provider("gateway", None))
    await bus.broker.connect()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    async with connected(nats.url) as bus:
        yield bus


@pytest.fixture
def own_nats() -> Iterator[NatsServer]:
    """A server that the test may empty."""
    with nats_server() as server:
        yield server


async def published(database: Database, bus: Bus, count: int) -> list[Event]:
    """That many events, stored and published."""
    events: list[Event] = [requested() for _ in range(count)]
    async with database.transaction() as connection:
        await outbox.enqueue(connection, "gateway", *events)
    relay = outbox.Relay(database, bus)
    while await relay.publish_batch():
        pass
    return events


async def ids_of(jetstream: JetStreamContext) -> list[str]:
    return sorted((message.headers or {})["Nats-Msg-Id"] for message in await messages_of(jetstream))


async def test_a_stream_that_has_everything_is_left_alone(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    await published(database, bus, 120)
    relay = outbox.Relay(database, bus)
    assert [await relay.audit(), await relay.audit(), await relay.publish_batch()] == [0, 0, 0]
    assert len(await messages_of(jetstream)) == 120


async def test_a_stream_that_was_lost_and_made_again_gets_everything_back_under_the_same_ids(
    own_nats: NatsServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WATCH_S", 0.2)
    await provision(own_nats.url)
    async with connected(own_nats.url) as bus:
        events = await published(database, bus, 150)
        relay = asyncio.create_task(outbox.Relay(database, bus).run())
        await asyncio.to_thread(own_nats.kill)
        shutil.rmtree(own_nats.store)
        await asyncio.to_thread(own_nats.start)
        await provision(own_nats.url)
        expected = sorted(str(event.event_id) for event in events)
        await poll_until(lambda: are_there(bus.jetstream, expected), timeout_s=20, interval_s=0.2)
        assert not relay.done()
        relay.cancel()
        with suppress(asyncio.CancelledError):
            await relay
        assert await outbox.Relay(database, bus).audit() == 0


async def are_there(jetstream: JetStreamContext, expected: list[str]) -> bool:
    return await ids_of(jetstream) == expected


async def test_an_audit_that_ran_before_notices_a_stream_that_was_made_anew(
    nats: NatsServer, database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    relay = outbox.Relay(database, bus)
    await published(database, bus, 3)
    await database.pool.execute("UPDATE outbox SET published_at = now() - interval '2 days'")
    assert await relay.audit() == 0
    await jetstream.delete_stream("EVENTS")
    await provision(nats.url)
    assert await relay.audit() == 3


async def test_rows_of_before_the_sequence_was_remembered_come_back_with_a_stream_made_anew(
    nats: NatsServer, database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    events = await published(database, bus, 3)
    await database.pool.execute("UPDATE outbox SET stream_sequence = NULL")
    assert await outbox.Relay(database, bus).audit() == 0
    await jetstream.delete_stream("EVENTS")
    await provision(nats.url)
    relay = outbox.Relay(database, bus)
    assert await relay.audit() == 3
    await relay.publish_batch()
    assert await ids_of(jetstream) == sorted(str(event.event_id) for event in events)


async def test_single_messages_that_are_gone_come_back_although_the_stream_remembers_their_ids(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    events = await published(database, bus, 5)
    messages = await messages_of(jetstream)
    for message in messages[1:3]:
        await jetstream.delete_msg("EVENTS", message.seq or 0)
    relay = outbox.Relay(database, bus)
    assert await relay.audit() == 2
    assert await relay.publish_batch() == 2
    found = await ids_of(jetstream)
    assert sorted(message_id.partition(":")[0] for message_id in found) == sorted(str(e.event_id) for e in events)
    assert await outbox.Relay(database, bus).audit() == 0


async def test_a_sequence_that_holds_another_message_counts_as_lost(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    await published(database, bus, 2)
    await database.pool.execute("UPDATE outbox SET stream_sequence = (SELECT min(stream_sequence) FROM outbox)")
    assert await outbox.Relay(database, bus).audit() == 1


async def test_a_sequence_beyond_the_end_of_the_stream_counts_as_lost(database: Database, bus: Bus) -> None:
    await published(database, bus, 1)
    await database.pool.execute("UPDATE outbox SET stream_sequence = stream_sequence + 1000")
    assert await outbox.Relay(database, bus).audit() == 1


async def test_two_audits_at_once_bring_a_message_back_once(
    nats: NatsServer, database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    events = await published(database, bus, 40)
    await jetstream.delete_stream("EVENTS")
    await provision(nats.url)

    async def audit_and_publish() -> None:
        relay = outbox.Relay(database, bus)
        await relay.audit()
        while await relay.publish_batch():
            pass

    await asyncio.gather(*(audit_and_publish() for _ in range(4)))
    assert await ids_of(jetstream) == sorted(str(event.event_id) for event in events)


async def test_what_is_not_needed_any_more_stays_lost(
    nats: NatsServer, database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    events = await published(database, bus, 3)
    await database.pool.execute("CREATE TABLE ended (id uuid)")
    await database.pool.execute("INSERT INTO ended VALUES ($1)", events[0].training_id)
    await jetstream.delete_stream("EVENTS")
    await provision(nats.url)
    running = "NOT EXISTS (SELECT FROM ended WHERE ended.id = (headers ->> 'ce-subject')::uuid)"
    relay = outbox.Relay(database, bus, needed=running)
    assert await relay.audit() == 2
    await relay.publish_batch()
    assert await ids_of(jetstream) == sorted(str(event.event_id) for event in events[1:])


async def test_what_is_older_than_the_window_is_not_looked_at(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    await published(database, bus, 2)
    await database.pool.execute("UPDATE outbox SET published_at = now() - interval '8 days'")
    await jetstream.purge_stream("EVENTS")
    assert await outbox.Relay(database, bus).audit() == 0
    with pytest.raises(ValueError, match="shorter"):
        outbox.Relay(database, bus, window=timedelta(days=30))


async def test_while_the_stream_cannot_be_read_nothing_is_taken_for_lost(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    await published(database, bus, 2)
    await jetstream.delete_stream("EVENTS")
    with pytest.raises(BrokerUnavailable):
        await outbox.Relay(database, bus).audit()
    assert await database.pool.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0


async def test_a_condition_that_postgresql_refuses_does_not_stop_the_relay(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    await published(database, bus, 1)
    await jetstream.purge_stream("EVENTS")
    relay = outbox.Relay(database, bus, needed="no_such_column", audit_s=0.05)
    running = asyncio.create_task(relay.run())
    async with database.transaction() as connection:
        await outbox.enqueue(connection, "gateway", requested())
    await poll_until(lambda: messages_of(jetstream))
    assert not running.done()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
