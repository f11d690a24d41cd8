"""Events in, events out: a training that succeeded becomes a published model; what nobody wants any more is removed."""

from fluxline.contracts.catalog import PUBLISHER, PUBLISHER_CARDS, PUBLISHER_CLEANUP
from fluxline.contracts.errors import FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    ModelCardFailed,
    ModelCardRequested,
    ModelCardUpdated,
    ModelProgressed,
    ModelPublished,
    TrainingCanceled,
    TrainingDeleteRequested,
    TrainingRetryRequested,
    TrainingSucceeded,
)
from fluxline.contracts.ids import model_id_of
from fluxline.contracts.job import JobEvent
from fluxline.runtime.errors import as_fluxline_error
from fluxline.runtime.handlers import Delivery, Handlers, IsOver, JobOver
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.redaction import redact_text
from fluxline_publisher.claim import Claims
from fluxline_publisher.errors import RetryIncomplete
from fluxline_publisher.publisher import Announce, Model, Publisher, Report
from fluxline_publisher.remover import Remover
from fluxline_publisher.samples import SampleGallery


def publisher_handlers(
    publisher: Publisher, claims: Claims, *, deadline_s: float, policy: RetryPolicy | None = None
) -> Handlers:
    """`training.succeeded`, or a retry of this stage → `model.published`."""
    handlers = Handlers(PUBLISHER, deadline_s=deadline_s, policy=policy, is_over=_over(claims))

    @handlers.on(TrainingSucceeded, stage=Stage.HUGGINGFACE_UPLOAD)
    async def on_training_succeeded(event: TrainingSucceeded, delivery: Delivery) -> None:
        """Publish the trained model."""
        await publisher.publish(event, claims.on(event), _reporting(event, delivery), _announcing(event, delivery))

    @handlers.on(TrainingRetryRequested, stage=Stage.HUGGINGFACE_UPLOAD)
    async def on_training_retry_requested(event: TrainingRetryRequested, delivery: Delivery) -> None:
        """Publish the model of an earlier run."""
        job = _job_of(event)
        await publisher.publish(job, claims.on(job), _reporting(job, delivery), _announcing(job, delivery))

    return handlers


def card_handlers(gallery: SampleGallery, *, deadline_s: float, policy: RetryPolicy | None = None) -> Handlers:
    """`model.card_requested` → `model.card_updated`, or `model.card_failed` once it is not tried any more."""
    handlers = Handlers(PUBLISHER_CARDS, deadline_s=deadline_s, policy=policy)

    @handlers.on(ModelCardRequested)
    async def on_model_card_requested(event: ModelCardRequested, delivery: Delivery) -> ModelCardUpdated | None:
        """Show sample images on the card of a published model."""
        try:
            commit = await gallery.show(event)
        except Exception as error:
            if handlers.gives_up(error, delivery):
                await delivery.emit(_card_failed(event, as_fluxline_error(error, handlers.translators)))
            raise
        return _card_updated(event, commit) if commit else None

    return handlers


def cleanup_handlers(remover: Remover, *, policy: RetryPolicy | None = None) -> Handlers:
    """`training.canceled`, `training.delete_requested` → stored model and repository are removed."""
    handlers = Handlers(PUBLISHER_CLEANUP, policy=policy)

    @handlers.on(TrainingCanceled)
    async def on_training_canceled(event: TrainingCanceled, _delivery: Delivery) -> None:
        """Remove what an attempt to publish left."""
        await remover.canceled(event.training_id)

    @handlers.on(TrainingDeleteRequested)
    async def on_training_delete_requested(event: TrainingDeleteRequested, _delivery: Delivery) -> None:
        """Remove the model, and its repository where that is wanted."""
        await remover.deleted(event.training_id, event.huggingface)

    return handlers


def _over(claims: Claims) -> IsOver:
    """A retry of another stage is nothing to work on; neither is a run that is canceled, or published and announced."""

    async def over(event: Event) -> JobOver | None:
        if isinstance(event, TrainingRetryRequested) and event.from_stage is not Stage.HUGGINGFACE_UPLOAD:
            return JobOver()
        return await claims.over(event) if isinstance(event, JobEvent) else None

    return over


def _job_of(event: TrainingRetryRequested) -> TrainingSucceeded:
    """What was trained, as a job of the new run whose cause is the retry."""
    if event.training_succeeded is None:
        raise RetryIncomplete
    return event.training_succeeded.model_copy(update={"event_id": event.event_id, **event.job_facts()})


def _reporting(event: TrainingSucceeded, delivery: Delivery) -> Report:
    async def report(done_bytes: int, total_bytes: int) -> None:
        await delivery.emit(
            ModelProgressed.caused_by(
                event,
                discriminator=f"{delivery.attempt}/{done_bytes}",
                done_bytes=done_bytes,
                total_bytes=total_bytes,
            )
        )

    return report


def _announcing(event: TrainingSucceeded, delivery: Delivery) -> Announce:
    async def announce(model: Model) -> None:
        await delivery.emit(_model_published(event, model))

    return announce


def _model_published(event: TrainingSucceeded, model: Model) -> ModelPublished:
    return ModelPublished.caused_by(
        event,
        **event.job_facts(),
        model_id=model_id_of(event.training_id),
        weights_key=model.weights_key,
        sha256=model.sha256,
        size_bytes=model.size_bytes,
        huggingface=model.huggingface,
        provider=event.provider,
        provider_version=event.provider_version,
    )


def _card_failed(event: ModelCardRequested, error: FluxlineError) -> ModelCardFailed:
    return ModelCardFailed.caused_by(
        event,
        model_id=event.model_id,
        revision=event.revision,
        category=error.category,
        message=redact_text(error.message),
        hint=error.hint,
    )


def _card_updated(event: ModelCardRequested, commit: str) -> ModelCardUpdated:
    return ModelCardUpdated.caused_by(
        event,
        model_id=event.model_id,
        repo=event.huggingface.repo,
        commit=commit,
        url=event.huggingface.url,
        samples=event.samples,
        revision=event.revision,
    )
