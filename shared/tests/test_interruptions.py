"""What the runtime does when work is interrupted: outages, crashes, cancelations, replays; on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar
from uuid import uuid4

from nats.js import JetStreamContext

from fluxline.contracts.catalog import EVENTS_STREAM, ZIPPER
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import StageFailed, StageRetried, StageStarted, StageSucceeded, TrainingFailed
from fluxline.contracts.events import TrainingRequested as Requested
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import MSG_ID, REPLAY, body_of, headers_of
from fluxline.runtime.handlers import Delivery, Handlers, IsOver, JobOver
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from polling import poll_until
from servers import NatsServer
from streams import events_of, messages_of, requested, settled

Handle = Callable[[Requested, Delivery], Awaitable[Event | None]]


class DatabaseAway(FluxlineError):
    """Our own database is away."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    outage: ClassVar[bool] = True


class Refused(FluxlineError):
    """It was refused."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION


@asynccontextmanager
async def zipper(nats: NatsServer, handle: Handle, is_over: IsOver | None = None) -> AsyncIterator[Bus]:
    """A service that runs `handle` for training.requested, tried twice at most."""
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None), graceful_timeout_s=0.1)
    handlers = Handlers(ZIPPER, policy=RetryPolicy(attempts=2, base_s=0.05), is_over=is_over)
    handlers.on(Requested, stage=Stage.ZIP_CREATION)(handle)
    Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


async def test_an_outage_of_our_own_is_waited_out_and_counts_as_no_attempt(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    calls = 0

    async def handle(event: Requested, delivery: Delivery) -> None:
        nonlocal calls
        calls += 1
        if calls <= 3:  # more often than there are attempts
            raise DatabaseAway
        assert delivery.attempt == 1

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    assert calls == 4
    assert await events_of(jetstream, StageRetried) == []
    assert len(await events_of(jetstream, StageStarted)) == 1


async def test_what_is_over_is_dropped_without_a_word(nats: NatsServer, jetstream: JetStreamContext) -> None:
    handled: list[Event] = []

    async def handle(event: Requested, _delivery: Delivery) -> None:
        handled.append(event)

    async def is_over(_event: Event) -> JobOver:
        return JobOver()

    async with zipper(nats, handle, is_over) as bus:
        await bus.publish(requested())
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert handled == []
    assert [message.subject for message in await messages_of(jetstream)] == ["training.requested"]


async def test_a_job_that_ends_under_the_handler_is_done_and_fails_nothing(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(_event: Requested, _delivery: Delivery) -> None:
        raise JobOver

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, StageStarted))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert [message.subject for message in await messages_of(jetstream)] == ["training.requested", "stage.started"]
    assert await messages_of(jetstream, "DLQ") == []


async def test_a_stage_whose_last_word_was_lost_is_told_to_have_ended_well(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    hanging = asyncio.Event()

    async def handle(_event: Requested, _delivery: Delivery) -> None:
        hanging.set()
        await asyncio.sleep(3600)

    async def is_over(_event: Event) -> JobOver | None:
        return JobOver(done=True) if hanging.is_set() else None

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await hanging.wait()
    async with zipper(nats, handle, is_over):
        (succeeded,) = await poll_until(lambda: events_of(jetstream, StageSucceeded))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert succeeded.attempt == 1
    assert [started.attempt for started in await events_of(jetstream, StageStarted)] == [1]
    assert await events_of(jetstream, StageRetried) == []


async def test_a_handler_that_finds_its_work_done_ends_its_attempt_well(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(_event: Requested, _delivery: Delivery) -> None:
        raise JobOver(done=True)

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    assert await events_of(jetstream, TrainingFailed) == []


async def test_an_attempt_that_was_cut_off_is_ended_by_the_next_one(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    hanging = asyncio.Event()

    async def handle(_event: Requested, delivery: Delivery) -> None:
        if delivery.attempt == 1:
            hanging.set()
            await asyncio.sleep(3600)

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await hanging.wait()
    async with zipper(nats, handle):
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    (retried,) = await events_of(jetstream, StageRetried)
    assert (retried.attempt, retried.message) == (1, "The attempt was cut off: its process ended or was stopped.")
    assert [started.attempt for started in await events_of(jetstream, StageStarted)] == [1, 2]


async def test_a_replayed_message_fails_under_ids_of_its_own(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async def handle(_event: Requested, _delivery: Delivery) -> None:
        raise Refused

    event = requested(uuid4())
    async with zipper(nats, handle) as bus:
        await bus.publish(event)
        await poll_until(lambda: messages_of(jetstream, "DLQ"))
        headers = headers_of(event, "gateway") | {MSG_ID: f"{event.event_id}:r7", REPLAY: "7"}
        await jetstream.publish(event.subject, body_of(event), stream=EVENTS_STREAM.name, headers=headers)

        async def failed_twice() -> bool:
            return len(await events_of(jetstream, TrainingFailed)) == 2

        await poll_until(failed_twice)
    assert [started.replay for started in await events_of(jetstream, StageStarted)] == [None, 7]
    assert len(await events_of(jetstream, StageFailed)) == 2
