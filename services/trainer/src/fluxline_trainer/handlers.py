"""What the trainer hears from the stream of events."""

from collections.abc import Callable, Iterable
from uuid import UUID

from fluxline.contracts.catalog import TRAINER, TRAINER_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    ModelPublished,
    TrainingCanceled,
    TrainingCancelRequested,
    TrainingDeleteRequested,
    TrainingRetryRequested,
    ZipCreated,
)
from fluxline.postgres.pool import database_error
from fluxline.runtime.envelope import current_trace
from fluxline.runtime.handlers import Delivery, Handlers, training_failed
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.stages import StageAttempt
from fluxline_trainer.cancel import Canceler
from fluxline_trainer.cleanup import Cleaner
from fluxline_trainer.errors import ArchiveUnknown
from fluxline_trainer.intake import Intake
from fluxline_trainer.job import SERVICE, STAGE

PATIENT = RetryPolicy(attempts=18, base_s=2.0)
"""About an hour for a provider that is away; fewer tries than the consumer has deliveries."""


def make_handlers(intake: Intake, canceler: Canceler, start: Callable[[Iterable[UUID]], None]) -> Handlers:
    """The trainer's handlers: they store and return; the work, its stage events and its retries are the engine's."""
    handlers = Handlers(TRAINER, deadline_s=60.0, translators=(database_error,))

    @handlers.on(ZipCreated)
    async def on_zip_created(event: ZipCreated, delivery: Delivery) -> None:
        """Take the job on, with the trace that it came by."""
        await intake.accept(TRAINER.durable, event, current_trace())
        start([event.training_id])

    @handlers.on(TrainingRetryRequested)
    async def on_retry_requested(event: TrainingRetryRequested, delivery: Delivery) -> Event | None:
        """Begin the job's next run, if it begins here."""
        if event.from_stage is Stage.HUGGINGFACE_UPLOAD:
            await intake.note_run(event.training_id, event.run)
        if event.from_stage is not STAGE:
            return None
        if event.zip_created is None:
            return training_failed(StageAttempt(STAGE, SERVICE, event, 1), ArchiveUnknown())
        await intake.accept(TRAINER.durable, cause_of(event, event.zip_created), current_trace())
        start([event.training_id])
        return None

    @handlers.on(TrainingCancelRequested)
    async def on_cancel_requested(event: TrainingCancelRequested, delivery: Delivery) -> None:
        """Stop the job's run, unless it is published first."""
        await canceler.request(event, current_trace())

    return handlers


def cause_of(retry: TrainingRetryRequested, archive: ZipCreated) -> ZipCreated:
    """The archive as the retry's own fact: every event that follows has an id of its own."""
    return archive.model_copy(update={"event_id": retry.event_id, "run": retry.run})


def make_cleanup_handlers(cleaner: Cleaner) -> Handlers:
    """What an ended training leaves behind is removed."""
    handlers = Handlers(TRAINER_CLEANUP, deadline_s=300.0, policy=PATIENT, translators=(database_error,))

    @handlers.on(ModelPublished)
    async def on_model_published(event: ModelPublished, delivery: Delivery) -> None:
        """The provider's archive of weights has served its purpose."""
        await cleaner.published(event.training_id, event.run)

    @handlers.on(TrainingCanceled)
    async def on_training_canceled(event: TrainingCanceled, delivery: Delivery) -> None:
        """Nothing that was made will be used."""
        await cleaner.canceled(event.training_id)

    @handlers.on(TrainingDeleteRequested)
    async def on_delete_requested(event: TrainingDeleteRequested, delivery: Delivery) -> None:
        """Nothing of the training stays."""
        await cleaner.deleted(event)

    return handlers
