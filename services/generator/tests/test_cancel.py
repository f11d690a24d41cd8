"""Canceling: what is stopped, what it costs, and that a generation has one end whoever is quicker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import GENERATOR, GENERATOR_CANCEL
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    GenerationCanceled,
    GenerationCancelRequested,
    GenerationFailed,
    GenerationRequested,
    GenerationSucceeded,
)
from fluxline.runtime.bus import Bus
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_generator.generator import Generator
from fluxline_generator.handlers import cancel_handlers, generator_handlers
from fluxline_generator.orders import Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.provider import Provider
from fluxline_generator.replicate_api import ReplicateApi
from fluxline_generator.store import GenerationStore
from polling import poll_until
from servers import NatsServer
from streams import events_of, settled

from .conftest import PRICES, QUICK, SandboxReplicate, generator, wanted

FAST = RetryPolicy(attempts=2, base_s=0.05, jitter=0)
ENDS = (GenerationSucceeded, GenerationFailed, GenerationCanceled)


@asynccontextmanager
async def running(nats: NatsServer, works: Generator) -> AsyncIterator[Bus]:
    """The service's work and its cancelation on a real server."""
    bus = Bus("generator", nats.url, make_tracer_provider("generator", None))
    for handlers in (generator_handlers(works, policy=FAST), cancel_handlers(works.store, policy=FAST)):
        Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


def cancel_of(event: GenerationRequested, key: str = "once") -> GenerationCancelRequested:
    return GenerationCancelRequested.first(f"{event.generation_id}/{key}", generation_id=event.generation_id)


async def ends(jetstream: JetStreamContext) -> list[str]:
    """The subjects of all ends that were told."""
    found: list[Event] = []
    for end in ENDS:
        found.extend(await events_of(jetstream, end))
    return [event.subject for event in found]


async def all_done(jetstream: JetStreamContext) -> bool:
    return bool(await settled(jetstream, GENERATOR) and await settled(jetstream, GENERATOR_CANCEL))


async def test_a_running_generation_is_canceled_at_its_provider(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    replicate.configure(generation_seconds=60)
    event = wanted(None)
    task = asyncio.create_task(generator(store, replicate.client(), storage).generate(event))
    await poll_until(lambda: replicate.generations() == 1)
    assert (await store.want_cancel(event.generation_id)).state != "withdrawn"
    assert (await task).state == "canceled"
    assert replicate.cancels() == 1


async def test_what_was_withdrawn_before_it_was_asked_for_is_never_paid(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    event = wanted(None)
    for _ in range(2):
        assert (await store.want_cancel(event.generation_id)).state == "withdrawn"
    assert (await generator(store, replicate.client(), storage).generate(event)).state == "withdrawn"
    assert replicate.generations() == 0


async def test_a_cancel_of_what_was_never_there_waits_for_a_request_that_is_on_its_way(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    event = wanted(None)
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(cancel_of(event))
        await poll_until(lambda: ends(jetstream))
        await bus.publish(event)
        await bus.publish(cancel_of(event, "twice"))
        await poll_until(lambda: all_done(jetstream))
    assert await ends(jetstream) == ["generation.canceled"]
    assert replicate.generations() == 0


async def test_a_cancel_in_the_middle_is_told_once_however_often_it_is_asked_for(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    replicate.configure(generation_seconds=60)
    event = wanted(None)
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: replicate.generations() == 1)
        for key in ("once", "twice"):
            await bus.publish(cancel_of(event, key))
        await poll_until(lambda: ends(jetstream))
        await bus.publish(cancel_of(event, "late"))
        await poll_until(lambda: all_done(jetstream))
    assert await ends(jetstream) == ["generation.canceled"]
    assert replicate.cancels() == 1


@pytest.mark.parametrize("prompt", ["nsfw-test", "a cat"])
async def test_a_cancel_after_the_end_changes_nothing(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
    prompt: str,
) -> None:
    event = wanted(None, parameters={"prompt": prompt})
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        (before,) = await poll_until(lambda: ends(jetstream))
        await bus.publish(cancel_of(event))
        await poll_until(lambda: all_done(jetstream))
    assert before == ("generation.failed" if prompt == "nsfw-test" else "generation.succeeded")
    assert await ends(jetstream) == [before]


async def test_a_cancel_after_a_failure_before_anything_was_stored_changes_nothing(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    event = wanted(None, model_id=uuid4())
    async with running(nats, generator(store, replicate.client(), storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: ends(jetstream))
        await bus.publish(cancel_of(event))
        await poll_until(lambda: all_done(jetstream))
    assert await ends(jetstream) == ["generation.failed"]


async def test_what_fails_after_its_owner_canceled_it_is_canceled(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    class Refusing(ReplicateApi):
        """Refuses what was canceled while it was asked."""

        async def create(self, order: Order) -> Prediction:
            await store.want_cancel(event.generation_id)
            return await super().create(order)

    client = Refusing(replicate.token, f"{replicate.url}/replicate", timeout_s=5)
    replicate.clients.append(client)
    replicate.fault("predictions.create", "status", code=422)
    event = wanted(None)
    async with running(nats, generator(store, client, storage)) as bus:
        await bus.publish(event)
        await poll_until(lambda: settled(jetstream, GENERATOR))
    assert await ends(jetstream) == ["generation.canceled"]


async def test_a_failed_generation_that_is_asked_for_again_goes_on_and_can_be_canceled(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage
) -> None:
    works, event = generator(store, replicate.client(), storage), wanted(None)
    assert (await works.give_up(event.generation_id)).failed
    assert not (await store.want_cancel(event.generation_id)).cancel_requested
    assert (await works.generate(event)).state == "succeeded"
    assert not (await works.give_up(event.generation_id)).failed, "what has succeeded does not fail"


class Late(ReplicateApi):
    """A client whose download is the moment at which the owner cancels."""

    store: GenerationStore
    event: GenerationRequested

    async def download(self, url: str, target: Path) -> None:
        await super().download(url, target)
        await self.store.want_cancel(self.event.generation_id)


async def test_a_cancel_while_images_are_copied_wins_costs_and_keeps_no_image(
    nats: NatsServer,
    jetstream: JetStreamContext,
    replicate: SandboxReplicate,
    store: GenerationStore,
    storage: LocalStorage,
) -> None:
    client = Late(replicate.token, f"{replicate.url}/replicate", timeout_s=5)
    replicate.clients.append(client)
    client.store, client.event = store, wanted(None, parameters={"num_outputs": 2})
    async with running(nats, generator(store, client, storage)) as bus:
        await bus.publish(client.event)
        await poll_until(lambda: ends(jetstream))
    (canceled,) = await events_of(jetstream, GenerationCanceled)
    assert canceled.cost is not None
    assert canceled.cost.amount_usd == 0.05, "the provider was paid"
    assert [item.key async for item in storage.list("generations/")] == []


@pytest.mark.parametrize("number", range(6))
async def test_cancel_and_success_have_one_winner(
    replicate: SandboxReplicate, store: GenerationStore, storage: LocalStorage, number: int
) -> None:
    event = wanted(None)
    works = [generator(store, replicate.client(), storage) for _ in range(2)]

    async def cancel() -> str:
        await poll_until(lambda: _submitted(store, event))
        await asyncio.sleep(number * 0.02)  # the moment varies, the outcome has to be told by the row
        return (await store.want_cancel(event.generation_id)).state

    done, _ = await asyncio.gather(works[0].generate(event), cancel())
    again = await works[1].generate(event)
    assert again.state == done.state
    images = [item.key async for item in storage.list("generations/")]
    assert bool(images) == (done.state == "succeeded")


async def _submitted(store: GenerationStore, event: GenerationRequested) -> bool:
    try:
        return (await store.read(event.generation_id)).state in ("submitted", "succeeded")
    except LookupError:
        return False


async def test_what_together_has_made_is_not_kept_once_it_is_canceled(
    replicate: SandboxReplicate, together: Provider, store: GenerationStore, storage: LocalStorage
) -> None:
    replicate.configure(generation_seconds=0.5)
    event = wanted(None)
    task = asyncio.create_task(Generator(store, [together], storage, PRICES, pace=QUICK).generate(event))
    await poll_until(lambda: _asked(store, event))
    await store.want_cancel(event.generation_id)
    done = await task
    assert (done.state, done.run) == ("canceled", None)
    assert [item.key async for item in storage.list("generations/")] == []


async def _asked(store: GenerationStore, event: GenerationRequested) -> bool:
    try:
        return (await store.read(event.generation_id)).state == "submitting"
    except LookupError:
        return False
