"""Cancelation against publication, on a real NATS and the sandbox's hub: one of them wins, and leaves nothing half."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import OUTCOMES_BUCKET, PUBLISHER, PUBLISHER_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import (
    ModelProgressed,
    ModelPublished,
    StageRetried,
    StageStarted,
    StageSucceeded,
    TrainingCanceled,
    TrainingFailed,
    TrainingSucceeded,
)
from fluxline.contracts.job import HubPublication, PublishOptions
from fluxline.contracts.outcomes import (
    CANCELED,
    OPEN,
    PUBLISHED,
    is_over,
    is_publishing,
    is_undecided,
    outcome_key,
    publishing,
)
from fluxline.runtime.bus import Bus
from fluxline.runtime.register import Registers
from fluxline.storage import StoredObject
from fluxline.storage.local import LocalStorage
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publication import Publication
from polling import poll_until
from servers import NatsServer
from streams import events_of, settled

from .conftest import NAMESPACE, SandboxHub, running, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


class Wire:
    """Counts what the publisher does outside itself, and tells when it comes to a certain step."""

    def __init__(self) -> None:
        self.arm(0)

    def arm(self, step: int) -> None:
        self.left = step
        self.reached = asyncio.Event()

    def touch(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.reached.set()


class WiredStorage(LocalStorage):
    """A storage that is watched."""

    wire: Wire

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> StoredObject:
        self.wire.touch()
        return await super().put(key, source, content_type=content_type)

    async def get(self, key: str, target: Path) -> StoredObject:
        self.wire.touch()
        return await super().get(key, target)


class WiredHub(HuggingFace):
    """A hub client that is watched; `gate` holds the answer to the first publication back, once closed."""

    def __init__(self, hub: SandboxHub, wire: Wire | None = None) -> None:
        super().__init__(f"{hub.url}/hf", hub.token, NAMESPACE, timeout_s=10)
        self.wire = wire or Wire()
        self.committed = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls = 0

    async def exists(self, repo_id: str) -> bool:
        self.wire.touch()
        return await super().exists(repo_id)

    async def publish(self, repo_id: str, publication: Publication) -> HubPublication:
        self.wire.touch()
        self.calls += 1
        first = self.calls == 1
        published = await super().publish(repo_id, publication)
        self.committed.set()
        if first:
            await self.gate.wait()
        return published


class Canceler:
    """What the trainer does with a cancelation: wins in the register or is too late."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.registers = Registers(bus, OUTCOMES_BUCKET)

    async def stands(self, event: TrainingSucceeded) -> str | None:
        return await self.registers.get(outcome_key(event.training_id, event.run))

    async def try_once(self, event: TrainingSucceeded) -> str | None:
        return await self.registers.swap(outcome_key(event.training_id, event.run), CANCELED, is_undecided)

    async def cancel(self, event: TrainingSucceeded) -> bool:
        while not is_over(standing := await self.try_once(event)):
            await asyncio.sleep(0.01)
        if standing == CANCELED:
            await self.bus.publish(TrainingCanceled.caused_by(event, stage=Stage.HUGGINGFACE_UPLOAD))
        return standing == CANCELED


@pytest.fixture
async def wired(tmp_path: Path) -> AsyncIterator[WiredStorage]:
    storage = WiredStorage(tmp_path / "wired", "http://127.0.0.1:8000", b"s" * 32)
    storage.wire = Wire()
    yield storage
    await storage.close()


async def kept(storage: LocalStorage, training_id: UUID) -> list[str]:
    return [item.key async for item in storage.list(f"models/{training_id}/")]


async def idle(jetstream: JetStreamContext) -> bool:
    return await settled(jetstream, PUBLISHER)


async def cleaned(jetstream: JetStreamContext) -> bool:
    return await settled(jetstream, PUBLISHER_CLEANUP)


async def test_a_run_that_was_canceled_before_is_dropped_without_a_word(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = await trained(storage)
    async with running(nats, storage, hub.client()) as bus:
        assert await Canceler(bus).cancel(event)
        await bus.publish(event)
        await poll_until(lambda: idle(jetstream))
    for silent in (StageStarted, ModelProgressed, ModelPublished, TrainingFailed):
        assert await events_of(jetstream, silent) == []
    assert hub.calls() == []


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_cancelation_during_the_publication_waits_and_is_too_late(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, enabled: bool
) -> None:
    client = WiredHub(hub)
    client.gate.clear()
    options = PublishOptions(enabled=enabled, accept_license=True)
    event = await trained(storage, publish=options)
    async with running(nats, storage, client) as bus:
        canceler = Canceler(bus)
        await bus.publish(event)
        if enabled:
            await client.committed.wait()
            assert is_publishing(await canceler.try_once(event))
        cancel = asyncio.create_task(_after(events_of_one(jetstream, ModelPublished), canceler, event))
        client.gate.set()
        assert await cancel is False
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
        assert await canceler.stands(event) == PUBLISHED
    assert len(hub.state()["repos"]) == int(enabled)
    assert await events_of(jetstream, TrainingCanceled) == []


async def test_a_cancelation_between_two_attempts_wins_and_nothing_of_the_first_remains(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    hub.fault("commit", "drop_answer", times=None)  # the hub has the commit, and we do not know
    event = await trained(storage)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        await poll_until(lambda: hub.state()["commits"])
        assert await Canceler(bus).cancel(event)
        await poll_until(lambda: idle(jetstream))
        await poll_until(lambda: cleaned(jetstream))
    assert await events_of(jetstream, ModelPublished) == []
    assert hub.state()["repos"] == []
    assert await kept(storage, event.training_id) == []


@pytest.mark.parametrize("seed", [20, 21])
async def test_in_twenty_interleavings_either_the_model_is_there_or_the_cancelation_and_nothing_else(
    nats: NatsServer, jetstream: JetStreamContext, wired: WiredStorage, hub: SandboxHub, seed: int
) -> None:
    dice = random.Random(seed)
    outcomes = []
    async with running(nats, wired, WiredHub(hub, wired.wire)) as bus:
        for number in range(20):
            event = await trained(wired, UUID(int=dice.getrandbits(128)), publish=_options(dice))
            plan = _plan(dice, hub, steps=6 if event.publish.enabled else 2)
            wired.wire.arm(plan["step"])
            cancel = asyncio.create_task(_after(wired.wire.reached.wait(), Canceler(bus), event))
            await bus.publish(event)
            won = await asyncio.wait_for(cancel, 20)
            await poll_until(lambda: idle(jetstream))
            if won:
                await poll_until(lambda: cleaned(jetstream))
            httpx.delete(f"{hub.url}/_sandbox/faults")
            outcomes.append(won)
            assert await _facts(jetstream, wired, hub, event) == _expected(event, won), f"{seed=} {number=} {plan=}"
    assert set(outcomes) == {True, False}, "the dice must let both sides win"


def _options(dice: random.Random) -> PublishOptions:
    return PublishOptions(enabled=dice.random() < 0.8, accept_license=True)


def _plan(dice: random.Random, hub: SandboxHub, steps: int) -> dict[str, Any]:
    """At which of the publisher's outside steps the cancelation comes, and what fails on the way."""
    operation = dice.choice([None, None, "commit", "repos.create", "model_info", "lfs.upload"])
    kind = dice.choice(["drop_answer", "drop_request", "status"])
    if operation:
        hub.fault(operation, kind)
    return {"step": dice.randint(1, steps), "operation": operation, "kind": kind}


async def _facts(
    jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, event: TrainingSucceeded
) -> dict[str, bool]:
    announced = [item for item in await events_of(jetstream, ModelPublished) if item.training_id == event.training_id]
    assert len(announced) <= 1
    return {
        "announced": bool(announced),
        "repository": any(repo["id"].endswith(event.training_id.hex[:8]) for repo in hub.state()["repos"]),
        "files": bool(await kept(storage, event.training_id)),
    }


def _expected(event: TrainingSucceeded, canceled: bool) -> dict[str, bool]:
    return {"announced": not canceled, "repository": not canceled and event.publish.enabled, "files": not canceled}


async def test_a_process_whose_claim_was_taken_over_says_nothing_more(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    client = WiredHub(hub)
    client.gate.clear()
    event = await trained(storage)
    again = TrainingSucceeded.first("again", **event.model_dump(exclude={"event_id"}))
    async with running(nats, storage, client) as bus:
        await bus.publish(event)
        await client.committed.wait()
        async with running(nats, storage, hub.client()) as other:  # the event stands for the redelivery
            await other.publish(again)
            await poll_until(lambda: events_of(jetstream, StageSucceeded))
        client.gate.set()
        await poll_until(lambda: idle(jetstream))
    (published,) = await events_of(jetstream, ModelPublished)
    assert published.event_id == ModelPublished.caused_by(again, **_facts_of(published)).event_id
    assert len(await events_of(jetstream, StageSucceeded)) == 1
    assert hub.state()["commits"] == 1


async def test_a_process_that_wakes_up_after_the_cancelation_removes_what_it_made(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    client = WiredHub(hub)
    client.gate.clear()
    event = await trained(storage)
    async with running(nats, storage, client) as bus:
        canceler = Canceler(bus)
        await bus.publish(event)
        await client.committed.wait()
        await canceler.registers.swap(outcome_key(event.training_id, 0), OPEN, is_publishing)
        assert await canceler.try_once(event) == CANCELED
        assert len(hub.state()["repos"]) == 1
        client.gate.set()
        await poll_until(lambda: idle(jetstream))
    for silent in (ModelPublished, StageSucceeded, StageRetried, TrainingFailed):
        assert await events_of(jetstream, silent) == []
    assert hub.state()["repos"] == []
    assert await kept(storage, event.training_id) == []


async def test_a_claim_whose_new_holder_died_is_taken_back_after_a_while(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    client = WiredHub(hub)
    client.gate.clear()
    event = await trained(storage)
    async with running(nats, storage, client, patience_s=0.1) as bus:
        await bus.publish(event)
        await client.committed.wait()
        registers = Canceler(bus).registers
        await registers.swap(outcome_key(event.training_id, 0), publishing("somebody-else"), is_publishing)
        client.gate.set()
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    assert len(await events_of(jetstream, ModelPublished)) == 1
    assert len(await events_of(jetstream, StageRetried)) == 1
    assert hub.state()["commits"] == 1


async def test_an_attempt_that_takes_too_long_keeps_its_claim_for_the_next(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    client = WiredHub(hub)
    client.gate.clear()
    event = await trained(storage)
    async with running(nats, storage, client, deadline_s=3) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, StageRetried))
        assert await Canceler(bus).try_once(event) != CANCELED
        await poll_until(lambda: events_of(jetstream, ModelPublished))
    assert hub.state()["commits"] == 1


async def _after(condition: Any, canceler: Canceler, event: TrainingSucceeded) -> bool:
    await condition
    return await canceler.cancel(event)


async def events_of_one(jetstream: JetStreamContext, event_class: type[ModelPublished]) -> None:
    await poll_until(lambda: events_of(jetstream, event_class))


def _facts_of(published: ModelPublished) -> dict[str, Any]:
    return published.model_dump(exclude={"event_id", "occurred_at"})
