"""Events in, events out: photos become an archive, an archive that nobody needs any more is deleted."""

from fluxline.contracts.catalog import ZIPPER, ZIPPER_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import ModelPublished, TrainingCanceled, TrainingRequested, ZipCreated, ZipProgressed
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline_zipper.archiver import Archiver, Progress, Report, StoredArchive


def archive_handlers(archiver: Archiver, *, deadline_s: float) -> Handlers:
    """`training.requested` → `zip.created`."""
    handlers = Handlers(ZIPPER, deadline_s=deadline_s)

    @handlers.on(TrainingRequested, stage=Stage.ZIP_CREATION)
    async def on_training_requested(event: TrainingRequested, delivery: Delivery) -> ZipCreated:
        """Bundle the training's photos into one archive."""
        archive = await archiver.bundle(
            event.training_id,
            event.images,
            default_caption=None if event.parameters.autocaption else event.trigger_word,
            report=_reporting(event, delivery),
        )
        return _zip_created(event, archive)

    return handlers


def cleanup_handlers(archiver: Archiver) -> Handlers:
    """`model.published`, `training.canceled` → the archive is deleted. A failed training keeps it for a retry."""
    handlers = Handlers(ZIPPER_CLEANUP)

    @handlers.on(ModelPublished)
    async def on_model_published(event: ModelPublished, _delivery: Delivery) -> None:
        """The archive has served its purpose."""
        await archiver.clean(event.training_id)

    @handlers.on(TrainingCanceled)
    async def on_training_canceled(event: TrainingCanceled, _delivery: Delivery) -> None:
        """Nobody will train on the archive."""
        await archiver.clean(event.training_id)

    return handlers


def _reporting(event: TrainingRequested, delivery: Delivery) -> Report:
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


def _zip_created(event: TrainingRequested, archive: StoredArchive) -> ZipCreated:
    return ZipCreated.caused_by(
        event,
        **event.job_facts(),
        zip_key=archive.key,
        size_bytes=archive.facts.size_bytes,
        sha256=archive.facts.sha256,
        image_count=archive.facts.image_count,
        verdicts=archive.verdicts,
    )
