"""What the runtime promises around a handler, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import ClassVar
from uuid import uuid4

import pytest
from nats.js import JetStreamContext
from opentelemetry import trace

from fluxline.contracts.catalog import ZIPPER
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    StageFailed,
    StageRetried,
    StageStarted,
    StageSucceeded,
    TrainingFailed,
    TrainingRequested,
    ZipCreated,
    ZipProgressed,
)
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import body_of, headers_of
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, current_trace_id, make_tracer_provider
from polling import poll_until
from servers import NatsServer
from streams import events_of, messages_of, requested, settled

FAST = RetryPolicy(attempts=3, base_s=0.05, jitter=0)
Handle = Callable[[TrainingRequested, Delivery], Awaitable[Event | None]]


class ServiceDown(FluxlineError):
    """The service is down."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR


class WrongKey(FluxlineError):
    """The key was refused."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Set a key that works."


class TooFewImages(FluxlineError):
    """Fewer than 5 images are usable."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Upload more photos."


def zip_created(event: TrainingRequested) -> ZipCreated:
    return ZipCreated.caused_by(
        event, **event.job_facts(), zip_key="zips/x.zip", size_bytes=1, sha256="0" * 64, image_count=5
    )


@asynccontextmanager
async def zipper(nats: NatsServer, handle: Handle, *, deadline_s: float = 5) -> AsyncIterator[Bus]:
    """A service that consumes training.requested as the zipper does, running `handle`."""
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    handlers = Handlers(ZIPPER, policy=FAST, deadline_s=deadline_s)
    handlers.on(TrainingRequested, stage=Stage.ZIP_CREATION)(handle)
    Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


async def test_what_a_handler_returns_is_published_between_its_stage_events(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> Event:
        await delivery.emit(ZipProgressed.caused_by(event, done=1, total=5, current="a", size_bytes=1))
        return zip_created(event)

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    subjects = [message.subject for message in await messages_of(jetstream)]
    assert subjects == ["training.requested", "stage.started", "zip.progressed", "zip.created", "stage.succeeded"]
    (succeeded,) = await events_of(jetstream, StageSucceeded)
    assert (succeeded.stage, succeeded.attempt, succeeded.service) == (Stage.ZIP_CREATION, 1, "zipper")


async def test_a_failure_that_passes_is_tried_again_and_says_when(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> Event:
        if delivery.attempt < 3:
            raise ServiceDown
        return zip_created(event)

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, ZipCreated))
    retried = await events_of(jetstream, StageRetried)
    started = await events_of(jetstream, StageStarted)
    assert [event.attempt for event in retried] == [1, 2]
    assert all(after.occurred_at >= event.next_attempt_at for event, after in zip(retried, started[1:], strict=True))


async def test_a_failure_that_stays_ends_the_job_after_its_budget_and_keeps_the_message(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> None:
        raise ServiceDown

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: messages_of(jetstream, "DLQ"))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    (failed,) = await events_of(jetstream, TrainingFailed)
    assert (failed.stage, failed.category, failed.attempts) == (Stage.ZIP_CREATION, ErrorCategory.SERVICE_ERROR, 3)
    (dead,) = await messages_of(jetstream, "DLQ")
    assert dead.subject == "dlq.zipper"
    assert dead.headers
    assert dead.headers["dlq-attempts"] == "3"


async def test_a_wrong_key_fails_at_once_with_a_hint(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> None:
        raise WrongKey

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: messages_of(jetstream, "DLQ"))
    (failed,) = await events_of(jetstream, TrainingFailed)
    assert (failed.retryable, failed.attempts, failed.hint) == (False, 1, "Set a key that works.")


async def test_what_the_user_has_to_mend_is_no_dead_letter(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> None:
        raise TooFewImages

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, TrainingFailed))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert await messages_of(jetstream, "DLQ") == []


async def test_a_bug_becomes_an_internal_error_without_its_details(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> None:
        raise KeyError("hf_abcdefghijklmnop")

    async with zipper(nats, handle) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, StageFailed))
    (failed,) = await events_of(jetstream, StageFailed)
    assert failed.category is ErrorCategory.INTERNAL
    assert "hf_" not in failed.message


async def test_a_message_that_nobody_can_read_is_buried_and_its_neighbours_go_on(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> Event:
        return zip_created(event)

    good = requested()
    async with zipper(nats, handle) as bus:
        for body in (b"", b"{", b'{"training_id": 1}', b"\xff\xfe", b"x" * 500_000):
            await bus.publish_raw("training.requested", body, {})
        await bus.publish(good)
        await poll_until(lambda: events_of(jetstream, ZipCreated))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert len(await messages_of(jetstream, "DLQ")) == 5


async def test_a_repeated_message_leads_to_the_same_events_once(nats: NatsServer, jetstream: JetStreamContext) -> None:
    runs = []

    async def handle(event: TrainingRequested, delivery: Delivery) -> Event:
        runs.append(event.event_id)
        return zip_created(event)

    event = requested()
    async with zipper(nats, handle) as bus:
        for copy in range(3):
            await bus.publish_raw(
                event.subject, body_of(event), headers_of(event, "test") | {"Nats-Msg-Id": f"copy-{copy}"}
            )
        await poll_until(lambda: len(runs) == 3)
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert len(await events_of(jetstream, ZipCreated)) == 1


async def test_work_past_its_deadline_is_a_timeout(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async def handle(event: TrainingRequested, delivery: Delivery) -> None:
        await asyncio.Event().wait()

    async with zipper(nats, handle, deadline_s=0.05) as bus:
        await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, TrainingFailed))
    (failed,) = await events_of(jetstream, TrainingFailed)
    assert failed.category is ErrorCategory.TIMEOUT


async def test_a_service_that_stops_hands_its_message_to_the_next_one_at_once(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    running = asyncio.Event()

    async def hang(event: TrainingRequested, delivery: Delivery) -> None:
        running.set()
        await asyncio.Event().wait()

    async def finish(event: TrainingRequested, delivery: Delivery) -> Event:
        return zip_created(event)

    async with zipper(nats, hang) as bus:
        bus.broker.config.broker_config.graceful_timeout = 0.1
        await bus.publish(requested())
        await running.wait()
    async with zipper(nats, finish):
        await poll_until(lambda: events_of(jetstream, ZipCreated), timeout_s=5)


async def test_one_trace_runs_from_the_request_through_the_handler_to_what_it_emits(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    seen: list[str | None] = []

    async def handle(event: TrainingRequested, delivery: Delivery) -> Event:
        seen.append(current_trace_id())
        return zip_created(event)

    tracer = make_tracer_provider("test", None).get_tracer("test")
    async with zipper(nats, handle) as bus:
        with tracer.start_as_current_span("POST /v1/trainings") as span:
            trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            await bus.publish(requested())
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    traces = {(m.headers or {})["traceparent"].split("-")[1] for m in await messages_of(jetstream)}
    assert traces == {trace_id} == set(seen)


async def test_publishing_without_a_stream_behind_it_is_an_error(nats: NatsServer, jetstream: JetStreamContext) -> None:
    bus = Bus("test", nats.url, make_tracer_provider("test", None))
    await bus.broker.connect()
    try:
        with pytest.raises(BrokerUnavailable):
            await bus.publish_raw("nowhere.at.all", b"{}", {"Nats-Msg-Id": str(uuid4())})
    finally:
        bus.stopping = True
        await bus.broker.stop()
