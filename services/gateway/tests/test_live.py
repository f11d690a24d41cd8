"""Live events on a real NATS: nothing between the past and the present is missed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from fluxline.contracts.events import ZipProgressed
from fluxline.runtime.bus import Bus
from fluxline.runtime.provision import provision
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_gateway.live.hub import LiveHub
from polling import poll_until
from servers import NatsServer
from streams import requested


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    bus = Bus("gateway", nats.url, make_tracer_provider("gateway", None))
    await bus.broker.connect()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


@pytest.fixture
async def hub(bus: Bus) -> AsyncIterator[LiveHub]:
    hub = LiveHub(bus)
    task = asyncio.create_task(hub.run())
    yield hub
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def publish_progress(bus: Bus, training_id: object, count: int, start: int = 1) -> None:
    cause = requested(training_id)  # type: ignore[arg-type]
    for done in range(start, start + count):
        facts = {"done": done, "total": 100, "current": "x", "size_bytes": 1}
        await bus.publish(ZipProgressed.caused_by(cause, discriminator=str(done), **facts))


async def test_an_open_page_gets_its_own_trainings_events_in_order(bus: Bus, hub: LiveHub) -> None:
    mine, other = uuid4(), uuid4()
    with hub.subscribe(mine) as subscriber:
        await publish_progress(bus, other, 3)
        await publish_progress(bus, mine, 3)
        await poll_until(lambda: subscriber.queue.qsize() == 3)
        messages = [subscriber.queue.get_nowait().message.decode() for _ in range(3)]
    assert [json.loads(m.split("data: ")[1])["data"]["done"] for m in messages] == [1, 2, 3]
    assert all(m.startswith("id: ") and "event: zip.progressed\n" in m for m in messages)


async def test_a_page_that_opens_late_gets_the_recent_past_too(bus: Bus, hub: LiveHub) -> None:
    training = uuid4()
    await publish_progress(bus, training, 5)

    def past() -> int:
        with hub.subscribe(training) as subscriber:
            return len(subscriber.recent)

    await poll_until(lambda: past() == 5)


async def test_a_hub_that_starts_late_reads_the_recent_past_first(bus: Bus) -> None:
    training = uuid4()
    await publish_progress(bus, training, 4)
    hub = LiveHub(bus)
    task = asyncio.create_task(hub.run())
    with hub.subscribe(training) as subscriber:
        await poll_until(lambda: subscriber.queue.qsize() == 4)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_hub_goes_on_after_the_stream_was_made_anew(
    bus: Bus, hub: LiveHub, nats: NatsServer, jetstream: JetStreamContext
) -> None:
    training = uuid4()
    with hub.subscribe(training) as subscriber:
        await publish_progress(bus, training, 2)
        await poll_until(lambda: subscriber.queue.qsize() == 2)
        await jetstream.delete_stream("EVENTS")
        await provision(nats.url)
        await publish_progress(bus, training, 2, start=10)
        await poll_until(lambda: subscriber.queue.qsize() >= 4, timeout_s=20)


class Lossy(LiveHub):
    """A hub whose connection breaks under one delivery: the server has counted it, and nobody has it."""

    losing = True

    async def _read_from(self, subscription: Any) -> None:
        fetch = subscription.fetch

        async def lossy(*arguments: Any, **options: Any) -> list[Msg]:
            messages: list[Msg] = await fetch(*arguments, **options)
            self.losing, lost = False, self.losing
            return messages[lost:]

        subscription.fetch = lossy
        await super()._read_from(subscription)


@pytest.mark.parametrize("after", [0, 3])
async def test_what_a_broken_connection_has_lost_is_read_again(bus: Bus, after: int) -> None:
    training, hub = uuid4(), Lossy(bus)
    task = asyncio.create_task(hub.run())
    await hub.wait_until_reading()
    with hub.subscribe(training) as subscriber:
        await publish_progress(bus, training, 1)
        await poll_until(lambda: not hub.losing)
        await publish_progress(bus, training, after, start=2)
        await poll_until(lambda: subscriber.queue.qsize() == 1 + after)
        events = [subscriber.queue.get_nowait() for _ in range(1 + after)]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    sequences = [event.sequence for event in events if event]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == 1 + after


async def test_a_page_that_does_not_read_is_let_go(bus: Bus, hub: LiveHub) -> None:
    hub.queue_size = 2
    training = uuid4()
    with hub.subscribe(training) as subscriber:
        await publish_progress(bus, training, 4)
        await poll_until(lambda: subscriber.lagging)


async def test_closing_a_page_leaves_nothing_behind(hub: LiveHub) -> None:
    with hub.subscribe(uuid4()):
        assert hub.open_streams == 1
    assert hub.open_streams == 0
    assert not hub._subscribers
