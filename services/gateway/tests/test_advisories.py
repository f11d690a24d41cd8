"""A service that dies on every delivery of a message: on a real server, up to the dead letter and the failed job."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import nats as nats_py
import nats.errors
import pytest
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from fluxline.contracts import events as e
from fluxline.contracts.catalog import GATEWAY_ADVISORIES, GENERATOR, TRAINER, ZIPPER, ZIPPER_CLEANUP, Consumer
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Event
from fluxline.runtime.batches import consume_batches
from fluxline.runtime.bus import Bus
from fluxline.runtime.provision import consumer_config
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_gateway.trainings.advisories import Advisories
from polling import poll_until
from servers import NatsServer
from streams import events_of, messages_of, requested

MAX_DELIVER = 3


@asynccontextmanager
async def advised(nats: NatsServer) -> AsyncIterator[Bus]:
    """The gateway's consumer of advisories, at work."""
    bus = Bus("gateway", nats.url, make_tracer_provider("gateway", None))
    await bus.broker.connect()
    advisories = Advisories(bus, CollectorRegistry())
    work = asyncio.create_task(consume_batches(bus, GATEWAY_ADVISORIES, advisories.handle))
    try:
        yield bus
    finally:
        bus.stopping = True
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await bus.broker.stop()


async def impatient(jetstream: JetStreamContext, consumer: Consumer) -> None:
    """The consumer made anew, as it is, but for a server that gives up soon."""
    await jetstream.delete_consumer("EVENTS", consumer.durable)
    short = replace(consumer, ack_wait_s=0.2, max_deliver=MAX_DELIVER)
    await jetstream.add_consumer("EVENTS", config=consumer_config(short))


@asynccontextmanager
async def dying_service(nats: NatsServer, durable: str) -> AsyncIterator[None]:
    """A service that dies whenever it gets a message, and is started anew by its supervisor."""

    async def live_and_die() -> None:
        client = await nats_py.connect(nats.url)
        try:
            subscription = await client.jetstream().pull_subscribe_bind(durable, stream="EVENTS")
            await subscription.fetch(timeout=0.5)
        except nats.errors.Error:
            pass
        finally:
            await client.close()

    async def supervise() -> None:
        while True:
            await live_and_die()

    supervisor = asyncio.create_task(supervise())
    try:
        yield
    finally:
        supervisor.cancel()
        await asyncio.gather(supervisor, return_exceptions=True)


def advisory(consumer: str, sequence: int, stream: str = "EVENTS") -> bytes:
    """As the server words it."""
    told = {"type": "io.nats.jetstream.advisory.v1.max_deliver", "id": "x", "timestamp": "2026-01-01T00:00:00Z"}
    return json.dumps(told | {"stream": stream, "consumer": consumer, "stream_seq": sequence, "deliveries": 3}).encode()


async def tell(jetstream: JetStreamContext, body: bytes) -> None:
    """Publish an advisory as the server does."""
    await jetstream.publish("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.EVENTS.any", body, stream="ADVISORIES")


async def settled(jetstream: JetStreamContext) -> bool:
    info = await jetstream.consumer_info("ADVISORIES", GATEWAY_ADVISORIES.durable)
    return info.num_pending == 0 and info.num_ack_pending == 0


async def test_a_message_that_kills_its_service_each_time_becomes_a_dead_letter_and_its_job_fails(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    event = requested(run=0)
    await impatient(jetstream, ZIPPER)
    async with advised(nats) as bus, dying_service(nats, ZIPPER.durable):
        await bus.publish(event)
        (letter,) = await poll_until(lambda: messages_of(jetstream, "DLQ"), 30)
        await poll_until(lambda: settled(jetstream))
    (failed,) = await events_of(jetstream, e.TrainingFailed)
    (stage_failed,) = await events_of(jetstream, e.StageFailed)
    assert letter.subject == "dlq.zipper"
    assert letter.headers
    assert letter.headers["dlq-event-id"] == str(event.event_id)
    assert letter.headers["dlq-attempts"] == str(MAX_DELIVER)
    assert (failed.training_id, failed.stage, failed.attempts) == (event.training_id, Stage.ZIP_CREATION, MAX_DELIVER)
    assert (failed.category, failed.retryable) == (ErrorCategory.INTERNAL, True)
    assert "log" in failed.hint
    assert (stage_failed.stage, stage_failed.service, stage_failed.attempt) == (failed.stage, "zipper", MAX_DELIVER)


async def test_the_same_advisory_again_changes_nothing(nats: NatsServer, jetstream: JetStreamContext) -> None:
    async with advised(nats) as bus:
        await bus.publish(requested())
        (message,) = await messages_of(jetstream)
        for _ in range(3):
            await tell(jetstream, advisory(ZIPPER.durable, message.seq or 0))
        await poll_until(lambda: messages_of(jetstream, "DLQ"))
        await poll_until(lambda: settled(jetstream))
    assert len(await messages_of(jetstream, "DLQ")) == 1
    assert len(await events_of(jetstream, e.TrainingFailed)) == 1


async def test_what_is_unreadable_gone_or_not_ours_does_not_hold_up_the_next_advisory(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    async with advised(nats) as bus:
        await bus.publish(requested())
        (message,) = await messages_of(jetstream)
        sequence = message.seq or 0
        hopeless = [b"", b"{", b'{"stream": 1}', advisory(ZIPPER.durable, sequence + 1000)]
        for body in [*hopeless, advisory("stranger", sequence), advisory(ZIPPER.durable, 1, stream="OTHER")]:
            await tell(jetstream, body)
        await tell(jetstream, advisory(ZIPPER.durable, sequence))
        await poll_until(lambda: messages_of(jetstream, "DLQ"))
        await poll_until(lambda: settled(jetstream))
    assert [letter.subject for letter in await messages_of(jetstream, "DLQ")] == ["dlq.zipper"]


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"training_id": 1}'])
async def test_a_message_that_nobody_can_read_is_kept_as_a_dead_letter(
    nats: NatsServer, jetstream: JetStreamContext, body: bytes
) -> None:
    async with advised(nats) as bus:
        await bus.publish_raw("training.requested", body, {"Nats-Msg-Id": str(uuid4())})
        (message,) = await messages_of(jetstream)
        await tell(jetstream, advisory(ZIPPER.durable, message.seq or 0))
        (letter,) = await poll_until(lambda: messages_of(jetstream, "DLQ"))
        await poll_until(lambda: settled(jetstream))
    assert (letter.data or b"") == body
    assert len(await messages_of(jetstream)) == 1


async def failures_of(
    nats: NatsServer, jetstream: JetStreamContext, event: Event, *consumers: Consumer
) -> list[e.TrainingFailed]:
    """What follows when none of `consumers` got to the end of `event`."""
    async with advised(nats) as bus:
        await bus.publish(event)
        (message,) = await messages_of(jetstream)
        for consumer in consumers:
            await tell(jetstream, advisory(consumer.durable, message.seq or 0))

        async def all_are_buried() -> bool:
            return len(await messages_of(jetstream, "DLQ")) == len(consumers)

        await poll_until(all_are_buried)
        await poll_until(lambda: settled(jetstream))
    return await events_of(jetstream, e.TrainingFailed)


async def test_a_retry_fails_only_where_its_stage_was_to_act(nats: NatsServer, jetstream: JetStreamContext) -> None:
    job = requested(run=2)
    facts = job.job_facts() | {"from_stage": "replicate_training"}
    retry = e.TrainingRetryRequested.first("r", training_id=job.training_id, **facts)
    (failed,) = await failures_of(nats, jetstream, retry, ZIPPER, TRAINER)
    assert (failed.stage, failed.run) == (Stage.REPLICATE_TRAINING, 2)


async def test_cleaning_up_that_never_ends_fails_no_job(nats: NatsServer, jetstream: JetStreamContext) -> None:
    canceled = e.TrainingCanceled.first("c", training_id=uuid4(), stage="zip_creation")
    assert await failures_of(nats, jetstream, canceled, ZIPPER_CLEANUP) == []


async def test_a_generation_fails_as_a_generation(nats: NatsServer, jetstream: JetStreamContext) -> None:
    asked = e.GenerationRequested.first("g", generation_id=uuid4(), owner="ada", parameters={"prompt": "a cat"})
    assert await failures_of(nats, jetstream, asked, GENERATOR) == []
    (failed,) = await events_of(jetstream, e.GenerationFailed)
    assert (failed.generation_id, failed.category) == (asked.generation_id, ErrorCategory.INTERNAL)
