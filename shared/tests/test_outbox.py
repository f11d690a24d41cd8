"""The outbox on a real PostgreSQL and a real NATS: what is committed is published, once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from nats.js import JetStreamContext
from opentelemetry import trace

from fluxline.postgres import inbox, outbox
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.telemetry import make_tracer_provider
from polling import poll_until
from servers import NatsServer
from streams import messages_of, requested


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "public")
    async with asyncio.timeout(10):
        connection = await asyncpg.connect(database_url)
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        await connection.execute(outbox.TABLE_SQL)
        await connection.execute(inbox.TABLE_SQL)
        await connection.close()
        await database.open()
    yield database
    await database.close()


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    bus = Bus("gateway", nats.url, make_tracer_provider("gateway", None))
    await bus.broker.connect()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


async def unpublished(database: Database) -> int:
    return int(await database.pool.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL"))


async def test_a_committed_event_is_published_with_its_id_and_trace(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    event = requested()
    tracer = make_tracer_provider("test", None).get_tracer("test")
    with tracer.start_as_current_span("POST") as span:
        trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        async with database.transaction() as connection:
            await outbox.enqueue(connection, "gateway", event)
    relay = asyncio.create_task(outbox.Relay(database, bus).run())
    (message,) = await poll_until(lambda: messages_of(jetstream))
    assert message.headers
    assert message.headers["Nats-Msg-Id"] == str(event.event_id)
    assert message.headers["traceparent"].split("-")[1] == trace_id
    assert message.headers["ce-type"] == "training.requested"
    relay.cancel()
    with suppress(asyncio.CancelledError):
        await relay


async def test_an_event_of_a_rolled_back_change_is_never_published(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    async def change_and_fail() -> None:
        async with database.transaction() as connection:
            await outbox.enqueue(connection, "gateway", requested())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await change_and_fail()
    assert await outbox.Relay(database, bus).publish_batch() == 0


async def test_two_relays_at_once_publish_each_event_once(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    async with database.transaction() as connection:
        await outbox.enqueue(connection, "gateway", *(requested() for _ in range(150)))
    relays = [outbox.Relay(database, bus) for _ in range(2)]
    while await unpublished(database):
        await asyncio.gather(*(relay.publish_batch() for relay in relays))
    assert len(await messages_of(jetstream)) == 150


async def test_a_crash_between_confirmation_and_mark_leads_to_no_second_message(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    async with database.transaction() as connection:
        await outbox.enqueue(connection, "gateway", requested())
    relay = outbox.Relay(database, bus)
    await relay.publish_batch()
    await database.pool.execute("UPDATE outbox SET published_at = NULL")
    await relay.publish_batch()
    assert len(await messages_of(jetstream)) == 1


async def test_events_wait_in_the_outbox_while_nats_confirms_nothing(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    async with database.transaction() as connection:
        await outbox.enqueue(connection, "gateway", requested())
    relay = outbox.Relay(database, bus)
    await jetstream.delete_stream("EVENTS")
    with pytest.raises(BrokerUnavailable):
        await relay.publish_batch()
    assert await unpublished(database) == 1
    assert await relay.oldest_age_s() > 0


async def test_the_inbox_tells_the_first_delivery_from_the_others(database: Database) -> None:
    event = requested()
    async with database.transaction() as connection:
        first = await inbox.first_time(connection, "trainer", event.event_id)
        again = await inbox.first_time(connection, "trainer", event.event_id)
        other = await inbox.first_time(connection, "gateway", event.event_id)
    assert (first, again, other) == (True, False, True)
