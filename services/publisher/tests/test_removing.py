"""Removing what was published: ours, all of it, as often as one likes; never what is somebody else's."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from huggingface_hub import CommitOperationAdd
from nats.js import JetStreamContext

from fluxline.contracts.catalog import PUBLISHER_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import (
    ModelPublished,
    StageStarted,
    TrainingCanceled,
    TrainingDeleteRequested,
    TrainingFailed,
    TrainingSucceeded,
)
from fluxline.contracts.job import HubPublication, PublishOptions
from fluxline.storage.local import LocalStorage
from fluxline_publisher.remover import Remover
from fluxline_publisher.repositories import CreatedRepository, Repositories
from polling import poll_until
from servers import NatsServer
from streams import events_of, settled

from .conftest import NAMESPACE, SandboxHub, running, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CHOSEN = PublishOptions(enabled=True, private=True, accept_license=True, repo_name="my-model")
Published = Callable[[TrainingSucceeded], Awaitable[HubPublication]]


@pytest.fixture
def published(nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub) -> Published:
    """Publishes a trained job to its end."""

    async def publish(job: TrainingSucceeded) -> HubPublication:
        async with running(nats, storage, hub.client()) as bus:
            await bus.publish(job)
            (event,) = await poll_until(lambda: events_of(jetstream, ModelPublished))
        assert event.huggingface is not None
        publication: HubPublication = event.huggingface
        return publication

    return publish


def delete(job: TrainingSucceeded, publication: HubPublication | None) -> TrainingDeleteRequested:
    return TrainingDeleteRequested.caused_by(job, owner=job.owner, huggingface=publication)


async def everything(storage: LocalStorage, prefix: str = "models/") -> list[str]:
    return [item.key async for item in storage.list(prefix)]


async def test_a_deleted_training_takes_its_model_and_its_repository_along_however_often(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, published: Published
) -> None:
    job = await trained(storage)
    event = delete(job, await published(job))
    again = event.model_copy(update={"event_id": uuid4()})
    hub.fault("repos.delete", "drop_answer")
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        await bus.publish(again)
        await poll_until(lambda: settled(jetstream, PUBLISHER_CLEANUP))
    assert hub.state()["repos"] == []
    assert await everything(storage) == []
    assert len(await events_of(jetstream, StageStarted)) == 1, "removing is no stage of the job"
    assert await events_of(jetstream, TrainingFailed) == []


async def test_a_repository_that_its_owner_keeps_stays(
    storage: LocalStorage, hub: SandboxHub, published: Published
) -> None:
    job = await trained(storage)
    await published(job)
    await Remover(storage, hub.client()).deleted(job.training_id, None)
    assert len(hub.state()["repos"]) == 1
    assert await everything(storage) == []


async def test_a_repository_with_another_s_commits_stays(
    storage: LocalStorage, hub: SandboxHub, published: Published
) -> None:
    job = await trained(storage)
    publication = await published(job)
    operation = CommitOperationAdd("notes.txt", b"mine")
    hub.api.create_commit(publication.repo, operations=[operation], commit_message="My notes")
    await Remover(storage, hub.client()).deleted(job.training_id, publication)
    assert len(hub.state()["repos"]) == 1
    assert await everything(storage) == []


async def test_a_repository_that_was_there_before_stays(
    storage: LocalStorage, hub: SandboxHub, published: Published
) -> None:
    hub.api.create_repo(f"{NAMESPACE}/my-model", private=True)
    job = await trained(storage, publish=CHOSEN)
    publication = await published(job)
    await Remover(storage, hub.client()).deleted(job.training_id, publication)
    await Remover(storage, hub.client()).canceled(job.training_id)
    assert len(hub.state()["repos"]) == 1


async def test_another_training_s_repository_is_not_removed_by_naming_it(
    storage: LocalStorage, hub: SandboxHub, published: Published
) -> None:
    publication = await published(await trained(storage))
    other = await trained(storage)
    await Repositories(storage).note(other.training_id, CreatedRepository(repo=publication.repo))
    await Remover(storage, hub.client()).deleted(other.training_id, publication)
    assert len(hub.state()["repos"]) == 1


async def test_a_repository_that_is_gone_already_is_fine(
    storage: LocalStorage, hub: SandboxHub, published: Published
) -> None:
    job = await trained(storage)
    publication = await published(job)
    hub.api.delete_repo(publication.repo)
    await Remover(storage, hub.client()).deleted(job.training_id, publication)
    assert await everything(storage) == []


@pytest.mark.parametrize("canceled", [True, False])
async def test_the_empty_repository_of_a_publication_that_failed_goes(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, canceled: bool
) -> None:
    hub.fault("commit", "status", code=402)
    job = await trained(storage)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(job)
        await poll_until(lambda: events_of(jetstream, TrainingFailed))
        assert (len(hub.state()["repos"]), hub.state()["commits"]) == (1, 0)
        end = TrainingCanceled.caused_by(job, stage=Stage.HUGGINGFACE_UPLOAD) if canceled else delete(job, None)
        await bus.publish(end)
        await poll_until(lambda: settled(jetstream, PUBLISHER_CLEANUP))
    assert hub.state()["repos"] == []
    assert await everything(storage) == []


async def test_a_training_of_which_nothing_is_kept_is_deleted_too(storage: LocalStorage, hub: SandboxHub) -> None:
    await Remover(storage, hub.client()).canceled(uuid4())
    await Remover(storage, hub.client()).deleted(uuid4(), None)
    assert hub.calls() == []
