"""Events in, events out: a training that succeeded becomes a published model."""

from fluxline.contracts.catalog import PUBLISHER
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import ModelProgressed, ModelPublished, TrainingSucceeded
from fluxline.contracts.ids import model_id_of
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline.runtime.policy import RetryPolicy
from fluxline_publisher.publisher import Model, Publisher, Report


def publisher_handlers(publisher: Publisher, *, deadline_s: float, policy: RetryPolicy | None = None) -> Handlers:
    """`training.succeeded` → `model.published`."""
    handlers = Handlers(PUBLISHER, deadline_s=deadline_s, policy=policy)

    @handlers.on(TrainingSucceeded, stage=Stage.HUGGINGFACE_UPLOAD)
    async def on_training_succeeded(event: TrainingSucceeded, delivery: Delivery) -> ModelPublished:
        """Publish the trained model."""
        model = await publisher.publish(event, _reporting(event, delivery))
        return _model_published(event, model)

    return handlers


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
