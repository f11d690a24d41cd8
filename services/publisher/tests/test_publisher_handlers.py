"""The publisher between its events, on a real NATS and the sandbox's hub."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import (
    ModelProgressed,
    ModelPublished,
    StageRetried,
    StageSucceeded,
    TrainingFailed,
    TrainingSucceeded,
)
from fluxline.contracts.ids import model_id_of
from fluxline.contracts.job import HubPublication, PublishOptions
from fluxline.runtime.bus import Bus
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_publisher.handlers import publisher_handlers
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publisher import Hub, Publication, Publisher
from polling import poll_until
from servers import NatsServer
from streams import events_of

from .conftest import SandboxHub, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

FAST = RetryPolicy(attempts=3, base_s=0.05, jitter=0)


@asynccontextmanager
async def running(nats: NatsServer, storage: LocalStorage, hub: Hub) -> AsyncIterator[Bus]:
    """The service's handlers on a real server."""
    bus = Bus("publisher", nats.url, make_tracer_provider("publisher", None))
    handlers = publisher_handlers(Publisher(storage, hub), deadline_s=30, policy=FAST)
    Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


async def test_a_trained_model_is_published_with_its_facts_and_progress(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = await trained(storage)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    (published,) = await events_of(jetstream, ModelPublished)
    progress = await events_of(jetstream, ModelProgressed)
    assert published.job_facts() == event.job_facts()
    assert published.model_id == model_id_of(event.training_id)
    assert published.provider_version == event.provider_version
    assert published.huggingface is not None
    assert published.huggingface.commit == hub.state()["repos"][0]["head"]
    assert [item.done_bytes for item in progress] == [0, published.size_bytes]


class LostAfterwards:
    """A hub client whose process dies after the commit, once."""

    def __init__(self, hub: HuggingFace) -> None:
        self.hub = hub
        self.dies = True

    async def repo_id(self, name: str) -> str:
        return await self.hub.repo_id(name)

    async def publish(self, repo_id: str, publication: Publication) -> HubPublication:
        published = await self.hub.publish(repo_id, publication)
        if self.dies:
            self.dies = False
            raise ConnectionResetError
        return published


async def test_a_crash_between_the_commit_and_the_event_leads_to_one_commit_and_one_event(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    async with running(nats, storage, LostAfterwards(hub.client())) as bus:
        await bus.publish(await trained(storage))
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    assert len(await events_of(jetstream, StageRetried)) == 1
    assert len(await events_of(jetstream, ModelPublished)) == 1
    assert hub.state()["commits"] == 1


async def test_the_same_event_twice_leads_to_one_commit(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = await trained(storage)
    again = TrainingSucceeded.first("again", **{**event.model_dump(exclude={"event_id"})})
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        await bus.publish(again)
        await poll_until(lambda: _two(jetstream))
    commits = {item.huggingface.commit for item in await events_of(jetstream, ModelPublished) if item.huggingface}
    assert len(commits) == 1
    assert hub.state()["commits"] == 1


async def test_a_wrong_token_fails_the_training_and_says_which(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    async with running(nats, storage, hub.client(token="hf_wrong")) as bus:
        await bus.publish(await trained(storage))
        await poll_until(lambda: events_of(jetstream, TrainingFailed))
    (failed,) = await events_of(jetstream, TrainingFailed)
    assert (failed.stage, failed.category) == (Stage.HUGGINGFACE_UPLOAD, ErrorCategory.AUTHENTICATION)
    assert "HUGGINGFACE_API_TOKEN" in failed.hint


async def test_a_private_model_is_ready_without_the_hub(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(await trained(storage, publish=PublishOptions(enabled=False)))
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    (published,) = await events_of(jetstream, ModelPublished)
    assert published.huggingface is None
    assert hub.calls() == []


async def _two(jetstream: JetStreamContext) -> bool:
    return len(await events_of(jetstream, ModelPublished)) == 2
