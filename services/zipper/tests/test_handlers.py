"""The zipper between its events, on a real server."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

import photos
from fluxline.contracts.catalog import ZIPPER_CLEANUP
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import (
    ModelPublished,
    StageFailed,
    StageSucceeded,
    TrainingCanceled,
    TrainingFailed,
    TrainingRequested,
    ZipCreated,
    ZipProgressed,
)
from fluxline.contracts.ids import model_id_of
from fluxline.runtime.bus import Bus
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline.storage.local import LocalStorage
from fluxline_zipper.archiver import Archiver
from fluxline_zipper.handlers import archive_handlers, cleanup_handlers
from polling import poll_until
from servers import NatsServer
from streams import events_of, requested


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "storage", "http://127.0.0.1:8000", b"s" * 32)


@asynccontextmanager
async def zipper(nats: NatsServer, storage: LocalStorage) -> AsyncIterator[Bus]:
    """The service's handlers on a real server."""
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    archiver = Archiver(storage, longest_side=512)
    for handlers in (archive_handlers(archiver, deadline_s=30), cleanup_handlers(archiver)):
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
    assert (failed.stage, failed.category, failed.attempts) == (Stage.ZIP_CREATION, ErrorCategory.VALIDATION, 1)
    assert "gone.jpg" in failed.hint
    assert len(await events_of(jetstream, StageFailed)) == 1
    assert await events_of(jetstream, ZipCreated) == []


async def test_the_archive_goes_once_its_training_is_published_or_canceled(
    nats: NatsServer, jetstream: JetStreamContext, storage: LocalStorage
) -> None:
    published, canceled = requested(), requested()
    for event in (published, canceled):
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
        await bus.publish(TrainingCanceled.first("unknown", training_id=uuid4(), stage=Stage.ZIP_CREATION))
        await poll_until(lambda: _settled(jetstream))
    assert [item.key async for item in storage.list("zips/")] == []


async def _settled(jetstream: JetStreamContext) -> bool:
    info = await jetstream.consumer_info("EVENTS", ZIPPER_CLEANUP.durable)
    return info.num_pending == 0 and info.num_ack_pending == 0 and info.delivered.stream_seq > 0
