"""The zipper between its events, on a real server."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

import photos
from fluxline.contracts.catalog import OUTCOMES_BUCKET, ZIPPER, ZIPPER_CLEANUP
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import (
    ModelPublished,
    StageFailed,
    StageRetried,
    StageStarted,
    StageSucceeded,
    TrainingCanceled,
    TrainingDeleteRequested,
    TrainingFailed,
    TrainingRequested,
    TrainingRetryRequested,
    ZipCreated,
    ZipProgressed,
)
from fluxline.contracts.ids import model_id_of
from fluxline.contracts.outcomes import CANCELED, PUBLISHED, is_undecided, outcome_key
from fluxline.runtime.bus import Bus
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.register import Registers
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline.storage import StoredObject
from fluxline.storage.errors import StorageThrottled
from fluxline.storage.local import LocalStorage
from fluxline_zipper.archiver import Archiver
from fluxline_zipper.handlers import archive_handlers, cleanup_handlers
from polling import poll_until
from servers import NatsServer
from streams import events_of, requested, settled

FAST = RetryPolicy(attempts=3, base_s=0.05, jitter=0)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)


@asynccontextmanager
async def zipper(nats: NatsServer, storage: LocalStorage) -> AsyncIterator[Bus]:
    """The service's handlers on a real server."""
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    archiver = Archiver(storage, longest_side=512)
    registers = Registers(bus, OUTCOMES_BUCKET)
    archiving = archive_handlers(archiver, registers, deadline_s=30, policy=FAST)
    for handlers in (archiving, cleanup_handlers(archiver, policy=FAST)):
        Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        yield bus
    finally:
        bus.stopping = True
        await bus.broker.stop()


async def request(storage: LocalStorage, folder: Path, count: int) -> TrainingRequested:
    """A training of `count` stored photos and one that is not there."""
    images = [{"key": "uploads/ada/gone.jpg", "sha256": "0" * 64}]
    for path in photos.write_photos(folder, count, size=(600, 520)):
        content = path.read_bytes()
        await storage.put(f"uploads/ada/{path.name}", content, content_type="image/jpeg")
        images.append({"key": f"uploads/ada/{path.name}", "sha256": hashlib.sha256(content).hexdigest()})
    facts = requested(parameters={"autocaption": False}).model_dump()
    return TrainingRequested.model_validate(facts | {"images": images})


async def test_a_request_leads_to_an_archive_and_progress_for_each_photo(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, tmp_path: Path
) -> None:
    event = await request(storage, tmp_path, 5)
    async with zipper(nats, storage) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, StageSucceeded))
    (created,) = await events_of(jetstream, ZipCreated)
    progress = await events_of(jetstream, ZipProgressed)
    assert [item.done for item in progress] == [1, 2, 3, 4, 5, 6]
    assert created.job_facts() == event.job_facts()
    assert created.image_count == 5
    assert [verdict.accepted for verdict in created.verdicts] == [False, *[True] * 5]
    stored = await storage.stat(created.zip_key)
    assert stored is not None
    assert stored.size_bytes == created.size_bytes


async def test_too_few_photos_fail_the_training_with_what_to_do(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, tmp_path: Path
) -> None:
    async with zipper(nats, storage) as bus:
        await bus.publish(await request(storage, tmp_path, 4))
        await poll_until(lambda: events_of(jetstream, TrainingFailed))
    (failed,) = await events_of(jetstream, TrainingFailed)
    assert (failed.stage, failed.category, failed.attempts) == (Stage.ZIP_CREATION, ErrorCategory.FILE_ERROR, 1)
    assert "gone.jpg" in failed.hint
    assert len(await events_of(jetstream, StageFailed)) == 1
    assert await events_of(jetstream, ZipCreated) == []


async def test_the_archive_goes_once_its_training_is_published_canceled_or_deleted(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage
) -> None:
    published, canceled, deleted = requested(), requested(), requested()
    for event in (published, canceled, deleted):
        await storage.put(f"zips/{event.training_id}/a.zip", b"PK", content_type="application/zip")
    async with zipper(nats, storage) as bus:
        await bus.publish(
            ModelPublished.caused_by(
                published,
                **published.job_facts(),
                model_id=model_id_of(published.training_id),
                weights_key="models/x/lora.safetensors",
                sha256="0" * 64,
                size_bytes=1,
                provider="replicate",
                provider_version="me/model:1",
            )
        )
        await bus.publish(TrainingCanceled.caused_by(canceled, stage=Stage.REPLICATE_TRAINING))
        await bus.publish(TrainingDeleteRequested.caused_by(deleted, owner="ada"))
        await bus.publish(TrainingCanceled.first("unknown", training_id=uuid4(), stage=Stage.ZIP_CREATION))
        await poll_until(lambda: settled(jetstream, ZIPPER_CLEANUP))
    assert [item.key async for item in storage.list("zips/")] == []


def retry(event: TrainingRequested, from_stage: Stage) -> TrainingRetryRequested:
    """The first retry of a training."""
    facts = event.job_facts() | {"run": 1, "images": event.images if from_stage is Stage.ZIP_CREATION else ()}
    key = f"{event.training_id}/1"
    return TrainingRetryRequested.first(key, training_id=event.training_id, from_stage=from_stage, **facts)


async def test_a_retry_of_this_stage_leads_to_the_archive_of_a_new_run(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, tmp_path: Path
) -> None:
    event = await request(storage, tmp_path, 5)
    async with zipper(nats, storage) as bus:
        await bus.publish(event)
        await poll_until(lambda: events_of(jetstream, ZipCreated))
        await bus.publish(retry(event, Stage.ZIP_CREATION))
        await poll_until(lambda: _two(jetstream))
    first, second = await events_of(jetstream, ZipCreated)
    assert (first.run, second.run) == (0, 1)
    assert first.sha256 == second.sha256
    assert first.zip_key.replace("/0/", "/1/") == second.zip_key
    assert first.event_id != second.event_id


async def test_a_retry_of_another_stage_is_none_of_our_business(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage
) -> None:
    async with zipper(nats, storage) as bus:
        for stage in (Stage.REPLICATE_TRAINING, Stage.HUGGINGFACE_UPLOAD):
            await bus.publish(retry(requested(), stage))
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert await events_of(jetstream, StageStarted) == []


@pytest.mark.parametrize("decided", [CANCELED, PUBLISHED])
async def test_a_run_that_is_over_is_dropped_without_a_word(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage, tmp_path: Path, decided: str
) -> None:
    event = await request(storage, tmp_path, 5)
    async with zipper(nats, storage) as bus:
        await Registers(bus, OUTCOMES_BUCKET).swap(outcome_key(event.training_id, 0), decided, is_undecided)
        await bus.publish(event)
        await poll_until(lambda: settled(jetstream, ZIPPER))
    for silent in (StageStarted, ZipProgressed, ZipCreated, TrainingFailed):
        assert await events_of(jetstream, silent) == []


class CanceledMeanwhile(LocalStorage):
    """A storage during whose `put` of an archive the run is canceled, and cleaned up after."""

    registers: Registers
    key: str

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> StoredObject:
        if key.startswith("zips/"):
            await self.registers.swap(self.key, CANCELED, is_undecided)
        return await super().put(key, source, content_type=content_type)


async def test_an_archive_that_is_stored_while_its_run_is_canceled_is_removed_and_not_announced(
    nats: NatsServer, jetstream: JetStreamContext, tmp_path: Path
) -> None:
    storage = CanceledMeanwhile(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)
    event = await request(storage, tmp_path, 5)
    async with zipper(nats, storage) as bus:
        storage.registers, storage.key = Registers(bus, OUTCOMES_BUCKET), outcome_key(event.training_id, 0)
        await bus.publish(event)
        await poll_until(lambda: settled(jetstream, ZIPPER))
    assert await events_of(jetstream, StageStarted) != []
    for silent in (ZipCreated, StageSucceeded, TrainingFailed):
        assert await events_of(jetstream, silent) == []
    assert [item.key async for item in storage.list("zips/")] == []


class Throttling(LocalStorage):
    """A storage that asks to slow down."""

    async def read(self, key: str, *, max_bytes: int) -> bytes:
        raise StorageThrottled(retry_after_s=9)


async def test_a_throttling_storage_is_left_alone_for_as_long_as_it_says(
    nats: NatsServer, jetstream: JetStreamContext, tmp_path: Path
) -> None:
    storage = Throttling(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)
    async with zipper(nats, storage) as bus:
        await bus.publish(await request(storage, tmp_path, 5))
        (retried,) = await poll_until(lambda: events_of(jetstream, StageRetried))
    assert retried.category is ErrorCategory.RATE_LIMIT
    assert (retried.next_attempt_at - retried.occurred_at).total_seconds() == pytest.approx(9, abs=1)


async def _two(jetstream: JetStreamContext) -> bool:
    return len(await events_of(jetstream, ZipCreated)) == 2
