"""The publisher between its events, on a real NATS and the sandbox's hub."""

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import PUBLISHER
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
from fluxline.storage.local import LocalStorage
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publication import Publication
from polling import poll_until
from servers import NatsServer
from streams import events_of, settled

from .conftest import NAMESPACE, SandboxHub, running, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


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


class LostAfterwards(HuggingFace):
    """A hub client whose process dies after the commit, once."""

    def __init__(self, hub: SandboxHub) -> None:
        super().__init__(f"{hub.url}/hf", hub.token, NAMESPACE, timeout_s=10)
        self.dies = True

    async def publish(self, repo_id: str, publication: Publication) -> HubPublication:
        published = await super().publish(repo_id, publication)
        if self.dies:
            self.dies = False
            raise ConnectionResetError
        return published


async def test_a_crash_between_the_commit_and_the_event_leads_to_one_commit_and_one_event(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    async with running(nats, storage, LostAfterwards(hub)) as bus:
        await bus.publish(await trained(storage))
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    assert len(await events_of(jetstream, StageRetried)) == 1
    assert len(await events_of(jetstream, ModelPublished)) == 1
    assert hub.state()["commits"] == 1


async def test_the_same_training_twice_at_once_is_published_and_announced_once(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = await trained(storage)
    again = TrainingSucceeded.first("again", **{**event.model_dump(exclude={"event_id"})})
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        await bus.publish(again)
        await poll_until(lambda: events_of(jetstream, ModelPublished))
        await poll_until(lambda: settled(jetstream, PUBLISHER))
    assert len(await events_of(jetstream, ModelPublished)) == 1
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
