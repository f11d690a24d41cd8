"""Retries: by the owner, of this stage or another; by the runtime, no sooner than the other side wants."""

from pathlib import Path
from typing import Any

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import PUBLISHER
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import (
    ModelPublished,
    StageRetried,
    StageStarted,
    StageSucceeded,
    TrainingFailed,
    TrainingRetryRequested,
    TrainingSucceeded,
)
from fluxline.storage import StoredObject
from fluxline.storage.errors import StorageThrottled
from fluxline.storage.local import LocalStorage
from polling import poll_until
from servers import NatsServer
from streams import events_of, settled

from .conftest import SandboxHub, running, succeeded, trained

# the client itself uploads through a deprecated argument of its HTTP library
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def retry(job: TrainingSucceeded, from_stage: Stage = Stage.HUGGINGFACE_UPLOAD, **facts: Any) -> TrainingRetryRequested:
    """The first retry of a training."""
    defaults: dict[str, Any] = job.job_facts() | {"run": 1, "training_succeeded": job}
    return TrainingRetryRequested.first(
        f"{job.training_id}/1", training_id=job.training_id, from_stage=from_stage, **(defaults | facts)
    )


async def test_a_retry_goes_on_with_what_the_failed_run_left_and_commits_once(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = await trained(storage)
    hub.fault("commit", "drop_answer")  # the hub has the commit, and we do not know …
    hub.fault("model_info", "status", after=2, code=403)  # … and may not look
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        (failed,) = await poll_until(lambda: events_of(jetstream, TrainingFailed))
        await bus.publish(retry(event))
        (published,) = await poll_until(lambda: events_of(jetstream, ModelPublished))
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    assert (failed.run, failed.category) == (0, ErrorCategory.AUTHENTICATION)
    assert published.run == 1
    assert published.event_id == ModelPublished.caused_by(retry(event), **_facts_of(published)).event_id
    assert hub.state()["commits"] == 1


@pytest.mark.parametrize("stage", [Stage.ZIP_CREATION, Stage.REPLICATE_TRAINING])
async def test_a_retry_of_another_stage_is_none_of_our_business(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub, stage: Stage
) -> None:
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(retry(await trained(storage), stage, training_succeeded=None))
        await poll_until(lambda: settled(jetstream, PUBLISHER))
    assert await events_of(jetstream, StageStarted) == []
    assert hub.calls() == []


async def test_a_retry_that_does_not_say_what_was_trained_ends_as_a_failure(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(retry(await trained(storage), training_succeeded=None))
        (failed,) = await poll_until(lambda: events_of(jetstream, TrainingFailed))
    assert (failed.run, failed.category) == (1, ErrorCategory.INTERNAL)


async def test_a_throttling_hub_is_left_alone_for_as_long_as_it_says(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    hub.fault("lfs.batch", "status", code=429, headers={"Retry-After": "17"})
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(await trained(storage))
        (retried,) = await poll_until(lambda: events_of(jetstream, StageRetried))
    assert retried.category is ErrorCategory.RATE_LIMIT
    assert (retried.next_attempt_at - retried.occurred_at).total_seconds() == pytest.approx(17, abs=1)


class Throttling(LocalStorage):
    """A storage that asks to slow down."""

    async def get(self, key: str, target: Path) -> StoredObject:
        raise StorageThrottled(retry_after_s=9)


async def test_a_throttling_storage_is_left_alone_for_as_long_as_it_says(
    nats: NatsServer, jetstream: JetStreamContext, tmp_path: Path, hub: SandboxHub
) -> None:
    storage = Throttling(tmp_path / "throttling", "http://127.0.0.1:8000", b"s" * 32)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(await trained(storage))
        (retried,) = await poll_until(lambda: events_of(jetstream, StageRetried))
    assert (retried.next_attempt_at - retried.occurred_at).total_seconds() == pytest.approx(9, abs=1)


async def test_damaged_weights_send_the_retry_back_to_the_trainer(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = await trained(storage)
    await storage.delete(event.weights_key)
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        (failed,) = await poll_until(lambda: events_of(jetstream, TrainingFailed))
    assert (failed.category, failed.resume_from) == (ErrorCategory.FILE_ERROR, Stage.REPLICATE_TRAINING)
    assert hub.state()["repos"] == []


async def test_an_archive_that_cannot_be_read_ends_the_training_with_what_to_do(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, hub: SandboxHub
) -> None:
    event = succeeded(tar=b"no tar at all")
    await storage.put(event.weights_key, b"no tar at all", content_type="application/x-tar")
    async with running(nats, storage, hub.client()) as bus:
        await bus.publish(event)
        (failed,) = await poll_until(lambda: events_of(jetstream, TrainingFailed))
    assert (failed.category, failed.attempts, failed.retryable) == (ErrorCategory.FILE_ERROR, 1, False)
    assert failed.hint
    assert hub.state()["repos"] == []


def _facts_of(published: ModelPublished) -> dict[str, Any]:
    return published.model_dump(exclude={"event_id", "occurred_at"})
