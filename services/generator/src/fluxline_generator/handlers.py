"""Events in, events out: a request for images becomes images, or a reason why not; a deleted model's images go."""

from fluxline.contracts.catalog import GENERATOR, GENERATOR_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import (
    GenerationRequested,
    GenerationSucceeded,
    TrainingDeleteRequested,
)
from fluxline.postgres.pool import database_error
from fluxline.runtime.handlers import Delivery, Handlers, generation_failed
from fluxline.runtime.policy import RetryPolicy
from fluxline_generator.generator import Generator
from fluxline_generator.stored_images import StoredImages

PROVIDER = "replicate"


def generator_handlers(generator: Generator, *, policy: RetryPolicy | None = None) -> Handlers:
    """`generation.requested` → `generation.succeeded` or `generation.failed`."""
    handlers = Handlers(GENERATOR, policy=policy, deadline_s=3600, translators=(database_error,))

    @handlers.on(GenerationRequested, stage=Stage.IMAGE_GENERATION, on_give_up=generation_failed)
    async def on_generation_requested(event: GenerationRequested, _delivery: Delivery) -> GenerationSucceeded:
        """Make the images."""
        generation = await generator.generate(event)
        return GenerationSucceeded.caused_by(
            event,
            generation_id=event.generation_id,
            prompt_used=generation.order.prompt,
            provider=PROVIDER,
            external_id=generation.prediction_id,
            **(generation.outcome or {}),
        )

    return handlers


def cleanup_handlers(images: StoredImages, *, policy: RetryPolicy | None = None) -> Handlers:
    """`training.delete_requested` → the images that were made with its model are deleted."""
    handlers = Handlers(GENERATOR_CLEANUP, policy=policy)

    @handlers.on(TrainingDeleteRequested)
    async def on_training_delete_requested(event: TrainingDeleteRequested, _delivery: Delivery) -> None:
        """Delete the images; that the generations were paid for stays on record."""
        for generation_id in event.generation_ids:
            await images.remove(generation_id)

    return handlers
