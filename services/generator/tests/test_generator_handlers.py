"""The generator between its events, on a real NATS, a real PostgreSQL and the sandbox."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import GENERATOR_CLEANUP
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import (
    GenerationFailed,
    GenerationRequested,
    GenerationSucceeded,
    StageFailed,
    StageRetried,
    StageSucceeded,
    TrainingDeleteRequested,
    TrainingFailed,
)
from fluxline.runtime.bus import Bus
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_generator.fal_api import FalApi
from fluxline_generator.generator import Generator
from fluxline_generator.handlers import cleanup_handlers, generator_handlers
from fluxline_generator.store import GenerationStore
from fluxline_generator.stored_images import StoredImages
from polling import poll_until
from servers import NatsServer
from streams import events_of, settled

from .conftest import PRICES, QUICK, SandboxReplicate, generator, wanted

FAST = RetryPolicy(attempts=5, base_s=0.05, jitter=0)


@asynccontextmanager
async def running(nats: NatsServer, works: Generator) -> AsyncIterator[Bus]:
    """The service's handlers on a real server."""
    bus = Bus("generator", nats.url, make_tracer_provider("generator", None))
    for handlers in (generator_handlers(works, policy=FAST), cleanup_handlers(StoredImages(works.storage))):
        Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


async def test_a_request_leads_to_images_and_says_how_they_were_made(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    event = wanted(replicate.version, parameters={"prompt": "at sea"})
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    (succeeded,) = await events_of(jetstream, GenerationSucceeded)
    (stage,) = await events_of(jetstream, StageSucceeded)
    assert succeeded.generation_id == stage.generation_id == event.generation_id
    assert stage.stage is Stage.IMAGE_GENERATION
    assert succeeded.prompt_used == "ADATOK, at sea"
    assert succeeded.external_id
    assert succeeded.cost is not None
    assert await storage.stat(succeeded.image_keys[0]) is not None


async def test_a_lost_answer_and_a_second_delivery_lead_to_one_run(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    event = wanted(replicate.version)
    again = GenerationRequested.first("again", **event.model_dump(exclude={"event_id"}))
    replicate.fault("predictions.create", "drop_answer")
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, GenerationSucceeded))
        await bus.publish(again)
        await poll_until(lambda: _two(jetstream))
    assert len(await events_of(jetstream, StageRetried)) == 1
    assert len({item.external_id for item in await events_of(jetstream, GenerationSucceeded)}) == 1
    assert replicate.generations() == 1


async def test_a_refused_content_fails_the_generation_and_not_the_training(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    event = wanted(replicate.version, parameters={"prompt": "nsfw-test"})
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, GenerationFailed))
    (failed,) = await events_of(jetstream, GenerationFailed)
    assert (failed.generation_id, failed.category) == (event.generation_id, ErrorCategory.CONTENT_POLICY)
    assert (failed.retryable, failed.attempts) == (False, 1)
    assert await events_of(jetstream, TrainingFailed) == []


async def test_the_images_of_a_deleted_model_are_deleted_however_often(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    gone, stays = uuid4(), uuid4()
    for number, generation_id in enumerate([gone, gone, stays]):
        await storage.put(f"generations/{generation_id}/{number}.webp", b"RIFF", content_type="image/webp")
    event = TrainingDeleteRequested.first("x", training_id=uuid4(), owner="ada", generation_ids=(gone, uuid4()))
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await bus.publish(event.model_copy(update={"event_id": uuid4()}))
        await poll_until(lambda: settled(jetstream, GENERATOR_CLEANUP))
    assert [item.key async for item in storage.list("generations/")] == [f"generations/{stays}/2.webp"]


async def test_a_throttling_provider_is_left_alone_for_as_long_as_it_says(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    replicate.fault("predictions.create", "status", code=429, body={"detail": "Slow down.", "retry_after": 13})
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(wanted(replicate.version))
        (retried,) = await poll_until(lambda: events_of(jetstream, StageRetried))
    assert retried.category is ErrorCategory.RATE_LIMIT
    assert (retried.next_attempt_at - retried.occurred_at).total_seconds() == pytest.approx(13, abs=1)


async def test_another_provider_s_turn_is_told_while_it_happens(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    fal: FalApi,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    replicate.fault("predictions.create", "status", code=402, body={"detail": "Insufficient credit."})
    works = Generator(store, [replicate.client(), fal], storage, PRICES, pace=QUICK)
    event = wanted(None, parameters={"seed": 7, "output_format": "png"})
    async with running(nats, works) as bus:
        await bus.publish(event)
        (stage,) = await poll_until(lambda: events_of(jetstream, StageSucceeded))
    (retried,) = await events_of(jetstream, StageRetried)
    assert (retried.category, set(retried.provider_ids)) == (ErrorCategory.BILLING, {"replicate"})
    assert "fal" in retried.hint
    assert retried.next_attempt_at <= retried.occurred_at, "without a wait"
    (succeeded,) = await events_of(jetstream, GenerationSucceeded)
    assert (stage.attempt, stage.provider_ids) == (2, {"fal": succeeded.external_id})
    assert (succeeded.provider, succeeded.seed) == ("fal", 7)
    assert [(each.provider, each.category) for each in succeeded.refusals] == [("replicate", ErrorCategory.BILLING)]
    assert succeeded.used["target"] == "fal-ai/flux/dev"
    assert succeeded.used["seed"] == 7
    assert "prompt" not in succeeded.used


async def test_a_failure_names_its_provider_and_whose_remedy_it_is(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    fal: FalApi,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    replicate.fault_at("fal", "requests.submit", "status", code=402, body={"detail": "Exhausted balance."})
    async with running(nats, Generator(store, [fal], storage, PRICES, pace=QUICK)) as bus:
        await bus.publish(wanted(None))
        (failed,) = await poll_until(lambda: events_of(jetstream, GenerationFailed))
    (stage,) = await events_of(jetstream, StageFailed)
    assert set(stage.provider_ids) == {"fal"}
    assert failed.category is ErrorCategory.BILLING
    assert "FAL_KEY" in failed.hint
    assert "eplicate" not in failed.hint + failed.message


async def test_what_was_used_is_enough_to_make_the_same_order_again(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    event = wanted(replicate.version, parameters={"prompt": "at sea", "output_format": "png", "lora_scale": 0.7})
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, GenerationSucceeded))
    (done,) = await events_of(jetstream, GenerationSucceeded)
    order = (await store.read(event.generation_id)).order
    assert {"prompt": done.prompt_used, "target": order.target} | done.used == order.input | {"target": order.target}
    assert (done.seed, done.used["lora_scale"]) == (done.used["seed"], 0.7)


async def _two(jetstream: JetStreamContext) -> bool:
    return len(await events_of(jetstream, GenerationSucceeded)) == 2
