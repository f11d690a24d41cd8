"""Lag and loss: what the gauges say, and what is counted as lost for certain."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from prometheus_client import CollectorRegistry, generate_latest

from fluxline.contracts.catalog import COLLECTOR
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import received_from
from fluxline.runtime.provision import provision
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_collector.lag import Lag
from fluxline_collector.metrics import LagMetrics
from fluxline_collector.store import EventStore
from servers import NatsServer


class World:
    """A stream, a collector that takes a step when told to, and its metrics."""

    def __init__(self, nats: NatsServer, jetstream: JetStreamContext, bus: Bus, store: EventStore) -> None:
        self.nats, self.jetstream, self.store = nats, jetstream, store
        self.registry = CollectorRegistry()
        self.lag = Lag(bus, store.database, LagMetrics(self.registry))

    async def publish(self, count: int) -> None:
        for number in range(count):
            await self.jetstream.publish("zip.created", b"%d" % number)

    async def take(self, count: int, *, acknowledge: bool = True) -> None:
        """What the collector does with a batch."""
        subscription = await self.jetstream.pull_subscribe_bind(COLLECTOR.durable, stream="EVENTS")
        messages = await subscription.fetch(count, timeout=2)
        await self.store.add([received_from(message) for message in messages])
        for message in messages if acknowledge else ():
            await message.ack_sync()
        await subscription.unsubscribe()

    async def lost(self) -> int:
        """After both looks that it takes to be certain."""
        await self.lag.count_lost()
        return await self.lag.count_lost()

    def gauge(self, name: str) -> float:
        value = self.registry.get_sample_value(f"fluxline_collector_{name}")
        assert value is not None
        return value


@pytest.fixture
async def world(nats: NatsServer, jetstream: JetStreamContext, store: EventStore) -> AsyncIterator[World]:
    bus = Bus("test", nats.url, make_tracer_provider("test", None))
    await bus.broker.connect()
    await bus.broker.start()
    yield World(nats, jetstream, bus, store)
    bus.stopping = True
    await bus.broker.stop()


async def test_lag_is_what_is_not_stored_yet_and_how_old_it_is(world: World) -> None:
    await world.lag.observe()
    assert (world.gauge("lag_messages"), world.gauge("lag_seconds")) == (0, 0)
    await world.publish(7)
    await world.take(3)
    await world.take(1, acknowledge=False)
    look = await world.lag.observe()
    assert (world.gauge("lag_messages"), look.last - look.floor) == (4, 4)
    assert 0 < world.gauge("lag_seconds") < 60


async def test_nothing_is_lost_while_everything_is_stored(world: World) -> None:
    assert await world.lost() == 0
    await world.publish(20)
    await world.take(20)
    assert await world.lost() == 0
    await world.jetstream.purge_stream("EVENTS")  # what is stored may go
    await world.publish(2)
    await world.take(2)
    assert await world.lost() == await world.lost() == 0


async def test_what_left_the_stream_before_it_was_stored_is_counted_once(world: World) -> None:
    await world.lost()
    await world.publish(10)
    await world.take(4)
    await world.jetstream.purge_stream("EVENTS", keep=3)
    assert [await world.lost(), await world.lost()] == [3, 3]
    await world.take(3)
    assert await world.lost() == 3
    assert b"fluxline_collector_lost_events_total 3.0" in generate_latest(world.registry)


async def test_two_replicas_count_a_loss_once_and_both_show_it(world: World, store: EventStore) -> None:
    other = Lag(world.lag._bus, store.database, LagMetrics(CollectorRegistry()))
    await world.lost()
    await world.publish(5)
    await world.jetstream.purge_stream("EVENTS")
    for _ in range(3):
        await asyncio.gather(world.lag.count_lost(), other.count_lost())
    assert (await world.lag.count_lost(), await other.count_lost()) == (5, 5)


async def test_a_batch_on_its_way_is_no_loss(world: World) -> None:
    await world.lost()
    await world.publish(4)
    subscription = await world.jetstream.pull_subscribe_bind(COLLECTOR.durable, stream="EVENTS")
    messages = await subscription.fetch(4, timeout=2)
    await world.jetstream.purge_stream("EVENTS")
    assert await world.lag.count_lost() == 0
    await world.store.add([received_from(message) for message in messages])
    assert await world.lost() == 0


async def test_a_stream_that_is_made_anew_begins_without_a_loss(world: World) -> None:
    await world.publish(3)
    await world.take(3)
    await world.lost()
    await world.jetstream.delete_stream("EVENTS")
    await provision(world.nats.url)
    await world.publish(3)
    await world.take(2)
    assert [await world.lost(), await world.lost()] == [0, 0]


async def test_what_a_lost_stream_still_had_is_counted(world: World) -> None:
    await world.publish(5)
    await world.take(2)
    await world.lost()
    await world.jetstream.delete_stream("EVENTS")
    await provision(world.nats.url)
    assert await world.lost() == 3


async def test_a_stream_numbered_from_one_is_counted_too(world: World) -> None:
    """Whoever made the stream by hand."""
    config = (await world.jetstream.stream_info("EVENTS")).config
    await world.jetstream.delete_stream("EVENTS")
    await world.jetstream.add_stream(StreamConfig(name="EVENTS", subjects=config.subjects))
    await provision(world.nats.url)
    await world.lost()
    await world.publish(3)
    await world.jetstream.purge_stream("EVENTS", keep=1)
    assert await world.lost() == 2


async def test_rows_of_any_age_are_found_before_a_loss_is_claimed(world: World, database: Database) -> None:
    """A broker whose clock went back by hours."""
    await world.lost()
    await world.publish(4)
    await world.take(4)
    await world.lag.count_lost()
    await database.pool.execute("UPDATE events SET stored_at = stored_at - interval '5 hours'")
    assert await world.lost() == 0
