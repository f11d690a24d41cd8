"""A retry goes on with what there is: what was paid for is used, what has ended is not looked at again."""

import asyncio
from typing import Any

import pytest

from fluxline.contracts.errors import Stage
from fluxline.contracts.events import (
    StageStarted,
    TrainingCanceled,
    TrainingFailed,
    TrainingProgressed,
    TrainingSucceeded,
    ZipCreated,
)
from fluxline_trainer.auditor import Auditor
from fluxline_trainer.job import JobState

from .bench import MINUTE, Bench
from .dying import Crash, Dying


async def failed_job(bench: Bench, operation: str = "", kind: str = "status", **fault: Any) -> ZipCreated:
    """A job that has failed for good, because of a fault or of the provider's own doing."""
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    if operation:
        bench.stand.fault(operation, kind, times=None, **fault)
    assert await bench.drive(bench.engine(settle_s=0.1), archive.training_id) is JobState.FAILED
    bench.stand.http.delete("/_sandbox/faults").raise_for_status()
    return archive


FAILURES: list[tuple[str, str, dict[str, Any], int]] = [
    ("trainings.create", "status", {"code": 402}, 1),
    ("trainings.create", "status", {"code": 422}, 1),
    ("trainings.create", "drop_request", {}, 1),
    ("models.create", "status", {"code": 401}, 1),
    ("trainings.get", "status", {"code": 401}, 1),
    ("trainings.get", "status", {"code": 404}, 1),
    ("weights.download", "status", {"code": 404}, 1),
    ("weights.download", "corrupt", {"mode": "flip"}, 1),
]


@pytest.mark.parametrize(("operation", "kind", "fault", "paid"), FAILURES, ids=lambda value: str(value)[:20])
async def test_a_retry_after_any_failure_of_ours_pays_once_in_all(
    bench: Bench, operation: str, kind: str, fault: dict[str, Any], paid: int
) -> None:
    archive = await failed_job(bench, operation, kind, **fault)
    cause = await bench.retry(archive)
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    assert bench.stand.trainings() == paid
    (succeeded,) = await bench.told_of(TrainingSucceeded)
    assert (succeeded.run, succeeded.event_id) == (1, TrainingSucceeded.caused_by(cause, **facts(succeeded)).event_id)


def facts(event: TrainingSucceeded) -> dict[str, Any]:
    return {name: getattr(event, name) for name in TrainingSucceeded.model_fields if name != "event_id"}


@pytest.mark.parametrize("outcome", ["failed", "aborted"])
async def test_a_run_that_ended_at_the_provider_is_followed_by_a_new_one(bench: Bench, outcome: str) -> None:
    bench.stand.configure(training_outcome=outcome)
    archive = await failed_job(bench)
    (ended,) = (await bench.row(archive.training_id)).ended_runs
    bench.stand.configure(training_outcome="succeeded")
    await bench.retry(archive)
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    job = await bench.row(archive.training_id)
    assert (job.ended_runs, job.provider_id != ended, bench.stand.trainings()) == ((ended,), True, 2)


@pytest.mark.parametrize("kind", ["drop_answer", "drop_request"])
async def test_a_lost_call_after_a_retry_never_leads_to_the_run_that_ended(bench: Bench, kind: str) -> None:
    bench.stand.configure(training_outcome="failed")
    archive = await failed_job(bench)
    bench.stand.configure(training_outcome="succeeded")
    await bench.retry(archive)
    bench.stand.fault("trainings.create", kind)
    assert await bench.drive(bench.engine(settle_s=1), archive.training_id) is JobState.SUCCEEDED
    assert bench.stand.trainings() == 2


async def test_a_submission_that_stayed_unclear_is_looked_for_before_anything_is_paid(bench: Bench) -> None:
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    with pytest.raises(Crash):
        await bench.engine(Dying(bench.api(), after=True)).advance(archive.training_id)
    bench.stand.fault("trainings.list", "status", code=500, times=None)
    assert await bench.drive(bench.engine(deadline_s=0.5), archive.training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert "review" in failed.hint
    bench.stand.http.delete("/_sandbox/faults")
    await bench.retry(archive)
    assert await bench.state(archive.training_id) is JobState.SUBMITTING
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    assert bench.stand.trainings() == 1


async def test_each_run_fails_with_an_id_of_its_own_and_its_attempts_too(bench: Bench) -> None:
    bench.stand.configure(training_outcome="failed")
    archive = await failed_job(bench)
    for run in (1, 2):
        await bench.retry(archive, run)
        assert await bench.drive(bench.engine(), archive.training_id) is JobState.FAILED
    failures = await bench.told_of(TrainingFailed)
    assert [event.run for event in failures] == [0, 1, 2]
    assert len({event.event_id for event in failures}) == 3
    assert len({event.event_id for event in await bench.told_of(StageStarted)}) == 3
    assert bench.stand.trainings() == 3


async def test_a_new_archive_of_a_later_run_is_taken_on(bench: Bench) -> None:
    archive = await bench.archive()
    await bench.storage.delete(archive.zip_key)
    await bench.intake.accept("trainer", archive, {})
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert failed.resume_from is Stage.ZIP_CREATION
    await bench.storage.put(archive.zip_key, bench.photos_zip, content_type="application/zip")
    again = ZipCreated.first("again", **(archive.model_dump(exclude={"event_id"}) | {"run": 1}))
    for event in (again, archive, again):
        await bench.intake.accept("trainer", event, {})
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    assert bench.stand.trainings() == 1


async def test_a_retry_of_a_job_that_nobody_remembers_begins_it(bench: Bench) -> None:
    archive = await bench.archive()
    await bench.retry(archive)
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    (succeeded,) = await bench.told_of(TrainingSucceeded)
    assert (succeeded.run, bench.stand.trainings()) == (1, 1)


async def test_a_retry_of_a_job_that_still_runs_only_gives_it_the_new_number(bench: Bench) -> None:
    bench.stand.configure(training_seconds=1)
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    engine = bench.engine()
    await bench.drive(engine, archive.training_id, until=JobState.TRAINING)
    for _ in range(3):
        await bench.retry(archive)
    assert await bench.drive(engine, archive.training_id) is JobState.SUCCEEDED
    (succeeded,) = await bench.told_of(TrainingSucceeded)
    assert (succeeded.run, bench.stand.trainings()) == (1, 1)


async def test_a_retry_during_the_paid_call_leads_to_one_training_of_the_new_run(bench: Bench) -> None:
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    bench.stand.fault("trainings.create", "latency", seconds=0.4)
    engine = bench.engine()
    driving = asyncio.create_task(bench.drive(engine, archive.training_id))
    while not bench.stand.calls("trainings.create"):
        await asyncio.sleep(0.01)
    await bench.retry(archive)
    assert await driving is JobState.SUCCEEDED
    (succeeded,) = await bench.told_of(TrainingSucceeded)
    assert (succeeded.run, bench.stand.trainings()) == (1, 1)


async def test_a_success_whose_archive_was_lost_is_fetched_again_and_not_paid_again(bench: Bench) -> None:
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    await bench.drive(bench.engine(), archive.training_id)
    key = f"weights/{archive.training_id}/trained_model.tar"
    await bench.storage.delete(key)
    await bench.retry(archive)
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    assert await bench.storage.stat(key) is not None
    assert [event.run for event in await bench.told_of(TrainingSucceeded)] == [0, 1]
    assert bench.stand.trainings() == 1


async def test_a_retry_that_comes_while_the_deadlines_run_is_being_stopped_begins_after_it(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    engine = bench.engine()
    await bench.drive(engine, archive.training_id, until=JobState.TRAINING)
    await bench.cancel(archive.training_id, reason="deadline")
    await bench.retry(archive)
    bench.stand.configure(training_seconds=0.2)
    assert await bench.drive(engine, archive.training_id) is JobState.SUCCEEDED
    assert (bench.stand.trainings(), bench.stand.state()["cancels"]) == (2, 1)
    assert [event.run for event in await bench.told_of(TrainingSucceeded)] == [1]
    assert await bench.told_of(TrainingCanceled) == await bench.told_of(TrainingFailed) == []


async def test_a_retry_after_the_deadline_is_canceled_by_its_owner_like_any_run(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    engine = bench.engine()
    await bench.drive(engine, archive.training_id, until=JobState.TRAINING)
    await bench.cancel(archive.training_id, reason="deadline")
    await bench.retry(archive)
    await bench.cancel(archive.training_id, run=1)
    assert await bench.drive(engine, archive.training_id) is JobState.CANCELED
    assert (len(await bench.told_of(TrainingCanceled)), await bench.running_trainings()) == (1, 0)


async def test_a_later_stages_retry_outdates_the_cancelation_of_the_run_before(bench: Bench) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    await bench.intake.note_run(training_id, 1)
    await bench.cancel(training_id, run=0)
    assert (await bench.state(training_id), await bench.told_of(TrainingCanceled)) == (JobState.SUCCEEDED, [])


async def test_the_auditor_leaves_runs_alone_that_have_ended(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    await bench.drive(bench.engine(), archive.training_id, until=JobState.TRAINING)
    auditor = Auditor(bench.jobs, bench.api(), MINUTE)
    known = (await bench.row(archive.training_id)).provider_id
    update = "UPDATE jobs SET provider_id = 'another', ended_runs = $1"
    await bench.database.pool.execute(update, [known])
    assert await auditor.audit() == 0
    await bench.database.pool.execute(update, [])
    assert await auditor.audit() == 1


async def test_waiting_in_the_providers_queue_is_told_once(bench: Bench) -> None:
    bench.stand.configure(training_seconds=3)
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    phases = [event.phase for event in await bench.told_of(TrainingProgressed)]
    assert (phases[0], phases.count("starting")) == ("starting", 1)
