"""What an ended training leaves behind is removed, and nothing that is still needed."""

from uuid import UUID, uuid4

import pytest

from fluxline.contracts.events import TrainingCanceled, TrainingDeleteRequested
from fluxline_trainer.cleanup import Cleaner
from fluxline_trainer.errors import NotFound, ProviderFailed, StillRunning
from fluxline_trainer.job import JobState

from .bench import Bench


@pytest.fixture
def cleaner(bench: Bench) -> Cleaner:
    return Cleaner(bench.jobs, bench.intake, bench.canceler, bench.api(), bench.storage)


def deletion(training_id: UUID) -> TrainingDeleteRequested:
    return TrainingDeleteRequested.first(str(training_id), training_id=training_id, owner="ada")


async def stored(bench: Bench, training_id: UUID) -> list[str]:
    return [item.key async for item in bench.storage.list(f"weights/{training_id}/")]


async def has_model(bench: Bench, training_id: UUID) -> bool:
    try:
        await bench.api().latest_version(str((await bench.row(training_id)).destination))
    except NotFound:
        return False
    return True


async def test_a_published_training_keeps_its_model_at_the_provider_alone(bench: Bench, cleaner: Cleaner) -> None:
    training_id, other = await bench.job(), await bench.job()
    for job in (training_id, other):
        await bench.drive(bench.engine(), job)
    for _ in range(2):
        await cleaner.published(training_id, 0)
    assert (await stored(bench, training_id), len(await stored(bench, other))) == ([], 1)
    assert (await bench.row(training_id)).published
    assert await has_model(bench, training_id)


async def test_a_canceled_training_leaves_nothing(bench: Bench, cleaner: Cleaner) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    await bench.cancel(training_id)
    for _ in range(2):
        await cleaner.canceled(training_id)
    assert (await stored(bench, training_id), await has_model(bench, training_id)) == ([], False)
    assert await bench.state(training_id) is JobState.CANCELED


async def test_a_canceled_training_that_never_became_a_job_is_no_error(cleaner: Cleaner) -> None:
    await cleaner.canceled(uuid4())


async def test_a_provider_that_is_away_is_asked_again(bench: Bench, cleaner: Cleaner) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    await bench.cancel(training_id)
    bench.stand.fault("models.delete", "status", code=503)
    with pytest.raises(ProviderFailed):
        await cleaner.canceled(training_id)
    await cleaner.canceled(training_id)
    assert not await has_model(bench, training_id)


async def test_a_model_that_the_provider_keeps_does_not_keep_the_job(bench: Bench, cleaner: Cleaner) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    bench.stand.fault("models.delete", "status", code=422)
    await cleaner.deleted(deletion(training_id))
    assert await bench.jobs.find(training_id) is None


async def test_a_deleted_training_leaves_no_trace_and_does_not_come_back(bench: Bench, cleaner: Cleaner) -> None:
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    await bench.drive(bench.engine(), archive.training_id)
    for _ in range(2):
        await cleaner.deleted(deletion(archive.training_id))
    assert (await bench.jobs.find(archive.training_id), await stored(bench, archive.training_id)) == (None, [])
    await bench.retry(archive, run=5)
    await bench.engine().advance(archive.training_id)
    assert (await bench.jobs.find(archive.training_id), bench.stand.trainings()) == (None, 1)


async def test_an_archive_that_comes_after_the_deletion_is_answered_so_that_it_is_removed(
    bench: Bench, cleaner: Cleaner
) -> None:
    archive = await bench.archive()
    await bench.cancel(archive.training_id, reason="deleted")
    await cleaner.deleted(deletion(archive.training_id))
    await bench.intake.accept("trainer", archive, {})
    assert len(await bench.told_of(TrainingCanceled)) == 2
    assert await bench.jobs.find(archive.training_id) is None


async def test_a_training_that_still_runs_is_stopped_before_it_is_deleted(bench: Bench, cleaner: Cleaner) -> None:
    bench.stand.configure(training_seconds=60)
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    for _ in range(2):
        with pytest.raises(StillRunning):
            await cleaner.deleted(deletion(training_id))
        await bench.canceler.decide_all()
    assert await bench.drive(engine, training_id) is JobState.CANCELED
    await cleaner.deleted(deletion(training_id))
    assert (await bench.jobs.find(training_id), await bench.running_trainings()) == (None, 0)
