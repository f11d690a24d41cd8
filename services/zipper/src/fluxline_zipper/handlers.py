"""Events in, events out: photos become an archive, an archive that nobody needs any more is deleted."""

from fluxline.contracts.catalog import ZIPPER, ZIPPER_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    ModelPublished,
    TrainingCanceled,
    TrainingDeleteRequested,
    TrainingRequested,
    TrainingRetryRequested,
    ZipCreated,
    ZipProgressed,
)
from fluxline.contracts.job import JobEvent
from fluxline.contracts.outcomes import PUBLISHED, is_over, outcome_key
from fluxline.runtime.handlers import Delivery, Handlers, IsOver, JobOver
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.register import Registers
from fluxline_zipper.archiver import Archiver, StoredArchive, Wanted
from fluxline_zipper.judging import Progress, Report

Request = TrainingRequested | TrainingRetryRequested


def archive_handlers(
    archiver: Archiver, registers: Registers, *, deadline_s: float, policy: RetryPolicy | None = None
) -> Handlers:
    """`training.requested`, or a retry of this stage → `zip.created`."""
    handlers = Handlers(ZIPPER, deadline_s=deadline_s, policy=policy, is_over=_over(registers))

    async def archive(event: Request, delivery: Delivery) -> ZipCreated:
        stored = await archiver.bundle(
            event.training_id,
            event.images,
            default_caption=None if event.parameters.autocaption else event.trigger_word,
            report=_reporting(event, delivery),
            wanted=_wanted(registers, event),
            run=event.run,
        )
        if stored is None:
            raise JobOver
        return _zip_created(event, stored)

    @handlers.on(TrainingRequested, stage=Stage.ZIP_CREATION)
    async def on_training_requested(event: TrainingRequested, delivery: Delivery) -> ZipCreated:
        """Bundle the training's photos into one archive."""
        return await archive(event, delivery)

    @handlers.on(TrainingRetryRequested, stage=Stage.ZIP_CREATION)
    async def on_training_retry_requested(event: TrainingRetryRequested, delivery: Delivery) -> ZipCreated:
        """Bundle them again for a new run."""
        return await archive(event, delivery)

    return handlers


def cleanup_handlers(archiver: Archiver, *, policy: RetryPolicy | None = None) -> Handlers:
    """`model.published`, `training.canceled`, `training.delete_requested` → the archive is deleted.

    A failed training keeps it for a retry.
    """
    handlers = Handlers(ZIPPER_CLEANUP, policy=policy)

    @handlers.on(ModelPublished)
    async def on_model_published(event: ModelPublished, _delivery: Delivery) -> None:
        """The archive has served its purpose."""
        await archiver.clean(event.training_id)

    @handlers.on(TrainingCanceled)
    async def on_training_canceled(event: TrainingCanceled, _delivery: Delivery) -> None:
        """Nobody will train on the archive."""
        await archiver.clean(event.training_id)

    @handlers.on(TrainingDeleteRequested)
    async def on_training_delete_requested(event: TrainingDeleteRequested, _delivery: Delivery) -> None:
        """Nobody will retry the training."""
        await archiver.clean(event.training_id)

    return handlers


def _over(registers: Registers) -> IsOver:
    """A retry of another stage is nothing to work on; neither is a run that is canceled or published."""

    async def over(event: Event) -> JobOver | None:
        if isinstance(event, TrainingRetryRequested) and event.from_stage is not Stage.ZIP_CREATION:
            return JobOver()
        if not isinstance(event, JobEvent):
            return None
        standing = await registers.get(outcome_key(event.training_id, event.run))
        return JobOver(done=standing == PUBLISHED) if is_over(standing) else None

    return over


def _wanted(registers: Registers, event: JobEvent) -> Wanted:
    async def wanted() -> bool:
        return not is_over(await registers.get(outcome_key(event.training_id, event.run)))

    return wanted


def _reporting(event: Request, delivery: Delivery) -> Report:
    async def report(progress: Progress) -> None:
        await delivery.emit(
            ZipProgressed.caused_by(
                event,
                discriminator=f"{delivery.attempt}/{progress.done}",
                done=progress.done,
                total=progress.total,
                current=progress.current,
                size_bytes=progress.size_bytes,
            )
        )

    return report


def _zip_created(event: Request, archive: StoredArchive) -> ZipCreated:
    return ZipCreated.caused_by(
        event,
        **event.job_facts(),
        zip_key=archive.key,
        size_bytes=archive.facts.size_bytes,
        sha256=archive.facts.sha256,
        image_count=archive.facts.image_count,
        verdicts=archive.verdicts,
    )
