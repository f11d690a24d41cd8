"""A canceled job is canceled once, wherever it meets it, and leaves no paid run behind."""

import asyncio
import random
from contextlib import suppress
from uuid import UUID

import pytest

from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import (
    StageFailed,
    StageStarted,
    TrainingCanceled,
    TrainingFailed,
    TrainingStarted,
    TrainingSucceeded,
)
from fluxline.contracts.outcomes import CANCELED, OPEN, PUBLISHED, outcome_key, publishing
from fluxline.postgres.pool import Database
from fluxline_trainer.auditor import Auditor
from fluxline_trainer.job import JobState
from fluxline_trainer.jobs import Jobs
from polling import poll_until

from .bench import MINUTE, Bench
from .dying import Crash, Dying


async def canceled_at(bench: Bench) -> list[Stage]:
    return [event.stage for event in await bench.told_of(TrainingCanceled)]


async def test_before_the_archive_the_job_never_begins_and_the_late_archive_is_answered(bench: Bench) -> None:
    archive = await bench.archive()
    cancel = await bench.cancel(archive.training_id)
    assert await canceled_at(bench) == [Stage.ZIP_CREATION]
    for _ in range(2):
        await bench.intake.accept("trainer", archive, {})
    await bench.engine().advance(archive.training_id)
    first, second = await bench.told_of(TrainingCanceled)
    assert first == TrainingCanceled.caused_by(cancel, stage=first.stage, occurred_at=first.occurred_at)
    assert second == TrainingCanceled.caused_by(archive, stage=second.stage, occurred_at=second.occurred_at)
    assert (await bench.jobs.find(archive.training_id), bench.stand.calls("models.create")) == (None, [])


async def test_with_an_archive_nothing_is_submitted(bench: Bench) -> None:
    training_id = await bench.job()
    await bench.cancel(training_id)
    assert bench.started == [training_id]
    assert await bench.drive(bench.engine(), training_id) is JobState.CANCELED
    assert await canceled_at(bench) == [Stage.REPLICATE_TRAINING]
    assert (bench.stand.calls("trainings.create"), await bench.told_of(StageStarted)) == ([], [])


async def test_between_the_intent_and_the_paid_call_nothing_is_submitted_any_more(bench: Bench) -> None:
    training_id = await bench.job()
    with pytest.raises(Crash):
        await bench.engine(Dying(bench.api(), after=False)).advance(training_id)
    await bench.cancel(training_id)
    assert await bench.drive(bench.engine(), training_id) is JobState.CANCELED
    assert (await canceled_at(bench), bench.stand.trainings()) == ([Stage.REPLICATE_TRAINING], 0)


async def test_while_the_paid_call_is_under_way_its_run_is_stopped_in_the_same_breath(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    training_id = await bench.job()
    bench.stand.fault("trainings.create", "latency", seconds=0.5)
    advancing = asyncio.create_task(bench.engine().advance(training_id))
    await poll_until(lambda: bench.stand.calls("trainings.create"))
    await bench.cancel(training_id)
    await advancing
    assert await bench.state(training_id) is JobState.CANCELED
    assert (bench.stand.trainings(), bench.stand.state()["cancels"], await bench.running_trainings()) == (1, 1, 0)
    assert len(await bench.told_of(TrainingStarted)) == len(await bench.told_of(TrainingCanceled)) == 1


@pytest.mark.parametrize("crash", [False, True], ids=["answer lost", "process lost"])
async def test_a_run_that_nobody_knows_of_is_found_and_stopped(bench: Bench, crash: bool) -> None:
    bench.stand.configure(training_seconds=60, list_lag_seconds=0.3)
    training_id = await bench.job()
    if not crash:
        bench.stand.fault("trainings.create", "drop_answer")
    with suppress(Crash):
        await bench.engine(Dying(bench.api(), after=True) if crash else None, settle_s=5).advance(training_id)
    assert await bench.state(training_id) is JobState.SUBMITTING
    await bench.cancel(training_id)
    assert await bench.drive(bench.engine(settle_s=5), training_id) is JobState.CANCELED
    assert (bench.stand.trainings(), await bench.running_trainings()) == (1, 0)
    assert await canceled_at(bench) == [Stage.REPLICATE_TRAINING]


@pytest.mark.parametrize("status", ["starting", "processing"])
async def test_a_training_is_stopped_at_the_provider(bench: Bench, status: str) -> None:
    bench.stand.configure(training_seconds=15 if status == "starting" else 5)
    training_id = await bench.job()
    engine, api = bench.engine(), bench.api()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    run_id = str((await bench.row(training_id)).provider_id)

    async def has_come_to_it() -> bool:
        return (await api.get(run_id)).status.value == status

    await poll_until(has_come_to_it)
    await bench.cancel(training_id)
    await engine.advance(training_id)
    assert await bench.state(training_id) is JobState.CANCELED
    assert (await api.get(run_id)).status.value == "canceled"
    assert await canceled_at(bench) == [Stage.REPLICATE_TRAINING]


async def test_while_weights_are_being_stored_nothing_is_announced_but_the_cancelation(bench: Bench) -> None:
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    bench.stand.fault("weights.download", "latency", seconds=0.7, times=None)
    driving = asyncio.create_task(bench.drive(engine, training_id))
    await poll_until(lambda: bench.stand.calls("weights.download"))
    await bench.cancel(training_id)
    assert await driving is JobState.CANCELED
    assert await canceled_at(bench) == [Stage.REPLICATE_TRAINING]
    assert await bench.told_of(TrainingSucceeded) == []


async def test_after_success_and_before_publication_it_is_the_publishers_stage_that_is_canceled(bench: Bench) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    await bench.cancel(training_id)
    assert (await bench.state(training_id), await canceled_at(bench)) == (
        JobState.CANCELED,
        [Stage.HUGGINGFACE_UPLOAD],
    )
    assert bench.register.values == {outcome_key(training_id, 0): CANCELED}


async def test_after_publication_it_is_too_late(bench: Bench) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    bench.register.values[outcome_key(training_id, 0)] = PUBLISHED
    await bench.cancel(training_id)
    assert (await bench.state(training_id), await canceled_at(bench)) == (JobState.SUCCEEDED, [])
    assert await bench.intake.undecided() == []


@pytest.mark.parametrize(("end", "state"), [(OPEN, JobState.CANCELED), (PUBLISHED, JobState.SUCCEEDED)])
async def test_while_somebody_publishes_it_waits_however_long(bench: Bench, end: str, state: JobState) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    key = outcome_key(training_id, 0)
    bench.register.values[key] = publishing("somebody")
    await bench.cancel(training_id)
    for _ in range(50):
        await bench.canceler.decide_all()
    assert (await bench.state(training_id), len(await bench.intake.undecided())) == (JobState.SUCCEEDED, 1)
    bench.register.values[key] = end
    await bench.canceler.decide_all()
    assert (await bench.state(training_id), len(await canceled_at(bench))) == (state, state is JobState.CANCELED)


async def test_success_and_cancelation_have_one_winner_in_any_order(bench: Bench) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    engine = bench.engine()

    async def race() -> UUID:
        training_id = await bench.job()
        driving = asyncio.create_task(bench.drive(engine, training_id))
        await asyncio.sleep(chance.uniform(0, 1.2))
        await bench.cancel(training_id)
        await driving
        return training_id

    training_ids = await asyncio.gather(*(race() for _ in range(20)))
    succeeded = {event.training_id for event in await bench.told_of(TrainingSucceeded)}
    canceled = {event.training_id: event.stage for event in await bench.told_of(TrainingCanceled)}
    assert len(await bench.told_of(TrainingCanceled)) == len(canceled) == 20, f"seed {seed}"
    for training_id in training_ids:
        assert await bench.state(training_id) is JobState.CANCELED, f"seed {seed}"
        expected = Stage.HUGGINGFACE_UPLOAD if training_id in succeeded else Stage.REPLICATE_TRAINING
        assert canceled[training_id] is expected, f"seed {seed}"
    assert await bench.running_trainings() == 0


async def test_requests_that_repeat_themselves_cancel_once(bench: Bench) -> None:
    training_id = await bench.job()
    for _ in range(3):
        await bench.cancel(training_id)
    assert await bench.drive(bench.engine(), training_id) is JobState.CANCELED
    for reason in ("owner", "deleted"):
        await bench.cancel(training_id, reason=reason)  # type: ignore[arg-type]
    assert len(await canceled_at(bench)) == 1


async def test_an_ended_job_stays_as_it_is(bench: Bench) -> None:
    bench.stand.configure(training_outcome="failed")
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    await bench.cancel(training_id)
    assert (await bench.state(training_id), await canceled_at(bench)) == (JobState.FAILED, [])


async def test_a_request_for_an_older_run_is_history(bench: Bench) -> None:
    archive = await bench.archive(run=2)
    await bench.intake.accept("trainer", archive, {})
    await bench.cancel(archive.training_id, run=1)
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED
    assert await canceled_at(bench) == []


async def test_a_request_that_overtakes_the_retry_it_means_cancels_it(bench: Bench) -> None:
    bench.stand.configure(training_outcome="failed")
    archive = await bench.archive()
    await bench.intake.accept("trainer", archive, {})
    await bench.drive(bench.engine(), archive.training_id)
    await bench.cancel(archive.training_id, run=1)
    await bench.retry(archive, run=1)
    await bench.engine().advance(archive.training_id)
    assert await bench.state(archive.training_id) is JobState.CANCELED
    assert bench.stand.trainings() == 1


@pytest.mark.parametrize("operation", ["trainings.cancel", "trainings.get"])
async def test_a_provider_that_cannot_be_reached_is_insisted_on(bench: Bench, operation: str) -> None:
    bench.stand.configure(training_seconds=60)
    training_id = await bench.job()
    engine = bench.engine(deadline_s=0.01)
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    for kind, details in (("status", {"code": 500}), ("drop_request", {}), ("status", {"code": 401})):
        bench.stand.fault(operation, kind, times=5, **details)
    await bench.cancel(training_id)
    assert await bench.drive(engine, training_id) is JobState.CANCELED
    assert (await bench.running_trainings(), await bench.told_of(TrainingFailed)) == (0, [])


async def test_a_run_that_the_provider_does_not_know_any_more_has_ended(bench: Bench) -> None:
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    bench.stand.fault("trainings.get", "status", code=404, times=None)
    await bench.cancel(training_id)
    assert await bench.drive(engine, training_id) is JobState.CANCELED
    assert len(bench.stand.calls("trainings.get")) >= 3


async def test_at_the_deadline_the_run_stops_and_the_job_has_failed_without_another_word(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    run_id = (await bench.row(training_id)).provider_id
    await bench.cancel(training_id, reason="deadline")
    assert await bench.drive(engine, training_id) is JobState.FAILED
    assert await bench.told_of(TrainingCanceled) == await bench.told_of(TrainingFailed) == []
    (ended,) = await bench.told_of(StageFailed)
    assert (ended.category, ended.attempt) == (ErrorCategory.TIMEOUT, 1)
    assert (await bench.running_trainings(), (await bench.row(training_id)).ended_runs) == (0, (run_id,))


async def test_at_the_deadline_of_the_archive_nothing_is_said_and_a_late_archive_does_not_begin(bench: Bench) -> None:
    archive = await bench.archive()
    await bench.cancel(archive.training_id, reason="deadline")
    await bench.intake.accept("trainer", archive, {})
    assert (await bench.told(), await bench.jobs.find(archive.training_id)) == ([], None)
    await bench.intake.accept("trainer", archive.model_copy(update={"run": 1, "event_id": UUID(int=7)}), {})
    assert await bench.drive(bench.engine(), archive.training_id) is JobState.SUCCEEDED


async def test_two_replicas_stop_a_job_once(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    training_id = await bench.job()
    other = Database(bench.database_url, "trainer")
    await other.open()
    engines = [bench.engine(), bench.engine(jobs=Jobs(other))]
    await bench.drive(engines[0], training_id, until=JobState.TRAINING)
    await bench.cancel(training_id)
    await asyncio.gather(*(engine.advance(training_id) for engine in engines * 5))
    await bench.drive(engines[1], training_id)
    assert (bench.stand.state()["cancels"], len(await canceled_at(bench))) == (1, 1)
    await other.close()


async def test_a_run_that_appears_after_its_job_was_canceled_is_stopped_by_the_auditor(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60, list_lag_seconds=0.6)
    training_id = await bench.job()
    bench.stand.fault("trainings.create", "drop_answer")
    engine = bench.engine(settle_s=0.05)
    await engine.advance(training_id)
    await bench.cancel(training_id)
    assert await bench.drive(engine, training_id) is JobState.CANCELED
    bench.stand.configure(list_lag_seconds=0)
    assert await Auditor(bench.jobs, bench.api(), MINUTE).audit() == 1
    assert await bench.running_trainings() == 0
