"""Cancelation, retry and deletion as they arrive on a real NATS, in the process that also runs the jobs."""

from uuid import UUID

from nats.js import JetStreamContext

from fluxline.contracts.catalog import OUTCOMES_BUCKET
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import (
    TrainingCanceled,
    TrainingCancelRequested,
    TrainingDeleteRequested,
    TrainingFailed,
    TrainingRetryRequested,
    TrainingStarted,
    TrainingSucceeded,
)
from fluxline.contracts.outcomes import CANCELED, PUBLISHED, outcome_key, publishing
from fluxline.runtime.register import Registers
from fluxline_trainer.errors import AnswerUnreadable, NotFound
from fluxline_trainer.job import STAGE, JobState
from polling import poll_until
from streams import events_of

from .bench import Bench
from .test_service import Trainer, trainer

__all__ = ["trainer"]


def cancel_of(training_id: UUID) -> TrainingCancelRequested:
    return TrainingCancelRequested.first(f"{training_id}/0", training_id=training_id)


async def test_a_training_is_canceled_at_the_provider_and_its_model_is_removed(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    bench.stand.configure(training_seconds=60)
    event = await bench.archive()
    async with trainer() as service:
        await service.bus.publish(event)
        (started,) = await poll_until(lambda: events_of(jetstream, TrainingStarted), timeout_s=20)
        for copy in range(3):
            await service.bus.publish(cancel_of(event.training_id), headers={"Nats-Msg-Id": f"copy {copy}"})
        (canceled,) = await poll_until(lambda: events_of(jetstream, TrainingCanceled), timeout_s=20)
        assert canceled.stage is Stage.REPLICATE_TRAINING
        register = Registers(service.bus, OUTCOMES_BUCKET)
        assert await register.get(outcome_key(event.training_id, 0)) == CANCELED

        async def model_is_gone() -> bool:
            try:
                await bench.api().latest_version(started.destination)
            except NotFound as error:
                return "404" in error.message
            except AnswerUnreadable:  # a model without a version yet has no latest one
                return False
            return False

        await poll_until(model_is_gone)
    assert await bench.state(event.training_id) is JobState.CANCELED
    assert (await bench.running_trainings(), len(await events_of(jetstream, TrainingCanceled))) == (0, 1)


async def test_a_cancelation_waits_for_the_publisher_without_holding_its_message(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    event = await bench.archive()
    key = outcome_key(event.training_id, 0)
    async with trainer() as service:
        await service.bus.publish(event)
        await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=20)
        register = Registers(service.bus, OUTCOMES_BUCKET)
        await register.swap(key, publishing("a token"), lambda _: True)
        await service.bus.publish(cancel_of(event.training_id))
        await poll_until(bench.intake.undecided)

        async def nothing_is_held() -> bool:
            info = await jetstream.consumer_info("EVENTS", "trainer")
            return info.num_ack_pending == info.num_pending == 0

        await poll_until(nothing_is_held)
        await register.swap(key, PUBLISHED, lambda _: True)

        async def is_decided() -> bool:
            return not await bench.intake.undecided()

        await poll_until(is_decided)
    assert (await bench.state(event.training_id), await events_of(jetstream, TrainingCanceled)) == (
        JobState.SUCCEEDED,
        [],
    )


async def test_a_retry_on_the_stream_is_a_new_run_for_its_own_stage_alone(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    bench.stand.configure(credit_exhausted=True)
    event = await bench.archive()
    retry = TrainingRetryRequested.first(
        f"{event.training_id}/1",
        training_id=event.training_id,
        **(event.job_facts() | {"run": 1}),
        from_stage=STAGE,
        zip_created=event,
    )
    async with trainer() as service:
        await service.bus.publish(event)
        await poll_until(lambda: events_of(jetstream, TrainingFailed), timeout_s=20)
        bench.stand.configure(credit_exhausted=False)
        other = {"from_stage": Stage.ZIP_CREATION, "event_id": UUID(int=1)}
        await service.bus.publish(retry.model_copy(update=other))
        await service.bus.publish(retry)
        (succeeded,) = await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=20)
    assert (succeeded.run, bench.stand.trainings()) == (1, 1)


async def test_a_retry_without_an_archive_fails_with_the_way_out(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    event = await bench.archive(run=1)
    retry = TrainingRetryRequested.first("1", training_id=event.training_id, **event.job_facts(), from_stage=STAGE)
    async with trainer() as service:
        await service.bus.publish(retry)
        (failed,) = await poll_until(lambda: events_of(jetstream, TrainingFailed), timeout_s=20)
    assert (failed.run, failed.resume_from) == (1, Stage.ZIP_CREATION)


async def test_a_deletion_removes_the_job_and_its_weights(
    trainer: Trainer, bench: Bench, jetstream: JetStreamContext
) -> None:
    event = await bench.archive()
    async with trainer() as service:
        await service.bus.publish(event)
        (succeeded,) = await poll_until(lambda: events_of(jetstream, TrainingSucceeded), timeout_s=20)
        await service.bus.publish(
            TrainingDeleteRequested.first(str(event.training_id), training_id=event.training_id, owner="ada")
        )

        async def is_gone() -> bool:
            return await bench.jobs.find(event.training_id) is None

        await poll_until(is_gone)
    assert await bench.storage.stat(succeeded.weights_key) is None
