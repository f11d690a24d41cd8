"""The outbox on a real PostgreSQL and a real NATS: what is committed is published, once."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import asyncpg
import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from opentelemetry import trace
from prometheus_client import CollectorRegistry

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.contracts.event import Event
from fluxline.postgres import inbox, outbox
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.provision import provision, stream_config
from fluxline.runtime.telemetry import make_tracer_provider
from polling import poll_until
from servers import NatsServer, nats_server
from streams import messages_of, requested


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, "public")
    async with asyncio.timeout(10):
        connection = await asyncpg.connect(database_url)
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        await connection.execute(outbox.TABLE_SQL)
        await connection.execute(outbox.ADD_SEQUENCE_SQL)
        await connection.execute(inbox.TABLE_SQL)
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
    """A server that the test may stop, kill and empty."""
    with nats_server() as server:
        yield server


@asynccontextmanager
async def relaying(relay: outbox.Relay) -> AsyncIterator[None]:
    running = asyncio.create_task(relay.run())
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def enqueue(database: Database, *events: Event) -> None:
    async with database.transaction() as connection:
        await outbox.enqueue(connection, "gateway", *events)


async def all_out(database: Database) -> bool:
    return await unpublished(database) == 0


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


@pytest.mark.parametrize("raised", [None, ConnectionError()], ids=["silently", "as an error"])
async def test_a_relay_ends_also_when_the_client_keeps_its_cancelation_to_itself(
    database: Database, bus: Bus, jetstream: JetStreamContext, monkeypatch: pytest.MonkeyPatch, raised: Exception | None
) -> None:
    asked = asyncio.Event()
    stream_info = bus.jetstream.stream_info

    async def deaf(name: str) -> StreamInfo:
        asked.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        if raised:
            raise raised
        return await stream_info(name)

    monkeypatch.setattr(bus.jetstream, "stream_info", deaf)
    relay = asyncio.create_task(outbox.Relay(database, bus).run())
    await asked.wait()
    relay.cancel()
    await asyncio.wait([relay], timeout=5)
    assert relay.done()


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


_CRASHING = """
import asyncio, sys
from fluxline.postgres import outbox
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.telemetry import make_tracer_provider

async def between(*_):
    print("confirmed", flush=True)
    await asyncio.Event().wait()

async def main(nats_url, database_url):
    database, bus = Database(database_url, "public"), Bus("gateway", nats_url, make_tracer_provider("gateway", None))
    await database.open()
    await bus.broker.connect()
    outbox._settle = between
    await outbox.Relay(database, bus).publish_batch()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_relay_killed_after_the_confirmation_leaves_one_message(
    nats: NatsServer, database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    await enqueue(database, requested())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CRASHING, nats.url, database.url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"confirmed\n"
    process.kill()
    await process.wait()
    assert (len(await messages_of(jetstream)), await unpublished(database)) == (1, 1)
    async with relaying(outbox.Relay(database, bus)):
        await poll_until(lambda: all_out(database))
    assert len(await messages_of(jetstream)) == 1


async def test_a_server_that_pauses_gets_the_event_once(own_nats: NatsServer, database: Database) -> None:
    await provision(own_nats.url)
    async with connected(own_nats.url) as bus, relaying(outbox.Relay(database, bus)):
        await enqueue(database, requested())
        await poll_until(lambda: all_out(database))
        os.kill(own_nats.pid, signal.SIGSTOP)
        try:
            await enqueue(database, requested())
            await asyncio.sleep(3)  # the fault itself
            assert await unpublished(database) == 1
        finally:
            os.kill(own_nats.pid, signal.SIGCONT)
        await poll_until(lambda: all_out(database), timeout_s=20)
        assert len(await messages_of(bus.jetstream)) == 2


async def test_what_was_stored_during_an_outage_is_out_within_ten_seconds_of_its_end(
    own_nats: NatsServer, database: Database
) -> None:
    await provision(own_nats.url)
    events = [requested() for _ in range(250)]
    async with connected(own_nats.url) as bus, relaying(outbox.Relay(database, bus)):
        await asyncio.to_thread(own_nats.kill)
        for start in range(0, 250, 50):
            await enqueue(database, *events[start : start + 50])
        assert await unpublished(database) == 250
        await asyncio.to_thread(own_nats.start)
        await poll_until(lambda: all_out(database), timeout_s=10)
        ids = [(message.headers or {})["Nats-Msg-Id"] for message in await messages_of(bus.jetstream)]
    assert sorted(ids) == sorted(str(event.event_id) for event in events)


async def test_a_full_stream_backs_the_outbox_up_and_it_drains_once_there_is_room(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    roomy = stream_config(EVENTS_STREAM, 1)
    await jetstream.update_stream(roomy.evolve(max_bytes=20_000))
    await enqueue(database, *(requested() for _ in range(60)))
    registry = CollectorRegistry()
    relay = outbox.Relay(database, bus, audit_s=0.05)
    relay.observe(registry)
    async with relaying(relay):
        await poll_until(lambda: is_partly_out(database))
        await poll_until(lambda: (registry.get_sample_value("fluxline_outbox_oldest_seconds") or 0) > 0)
        await jetstream.update_stream(roomy)
        await poll_until(lambda: all_out(database))
    assert len(await messages_of(jetstream)) == 60


async def is_partly_out(database: Database) -> bool:
    return 0 < await unpublished(database) < 60


async def test_an_event_that_nats_can_never_take_is_set_aside_and_the_others_pass(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    too_large = requested(images=20, name="x" * 50).model_copy(update={"name": "x" * 2_000_000})
    behind = requested()
    await enqueue(database, too_large, behind)
    registry = CollectorRegistry()
    relay = outbox.Relay(database, bus, audit_s=0.05)
    relay.observe(registry)
    async with relaying(relay):
        (message,) = await poll_until(lambda: messages_of(jetstream))
        await poll_until(lambda: registry.get_sample_value("fluxline_outbox_refused"))
        await poll_until(lambda: is_idle(relay))
    assert (message.headers or {})["Nats-Msg-Id"] == str(behind.event_id)
    refusal = await database.pool.fetchval("SELECT refusal FROM outbox WHERE event_id = $1", too_large.event_id)
    assert "more than NATS takes" in refusal


async def is_idle(relay: outbox.Relay) -> bool:
    return await relay.oldest_age_s() == 0


async def test_a_refused_event_goes_out_once_its_refusal_is_taken_back(
    database: Database, bus: Bus, jetstream: JetStreamContext
) -> None:
    config = stream_config(EVENTS_STREAM, 1)
    await jetstream.update_stream(config.evolve(max_msg_size=500))
    await enqueue(database, requested())
    relay = outbox.Relay(database, bus)
    assert await relay.publish_batch() == 1
    assert (await messages_of(jetstream), await relay.publish_batch()) == ([], 0)
    await jetstream.update_stream(config)
    await database.pool.execute("UPDATE outbox SET refusal = NULL")
    await relay.publish_batch()
    assert len(await messages_of(jetstream)) == 1


async def test_the_inbox_tells_the_first_delivery_from_the_others(database: Database) -> None:
    event = requested()
    async with database.transaction() as connection:
        first = await inbox.first_time(connection, "trainer", event.event_id)
        again = await inbox.first_time(connection, "trainer", event.event_id)
        other = await inbox.first_time(connection, "gateway", event.event_id)
    assert (first, again, other) == (True, False, True)


async def test_what_nothing_can_deliver_again_is_forgotten(database: Database, bus: Bus) -> None:
    old, young = uuid4(), uuid4()
    await database.pool.execute(
        "INSERT INTO inbox VALUES ('trainer', $1, now() - interval '101 days'), ('trainer', $2, now())", old, young
    )
    await outbox.Relay(database, bus, with_inbox=True).purge()
    assert await database.pool.fetch("SELECT event_id FROM inbox") == [(young,)]
