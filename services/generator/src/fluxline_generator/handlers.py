"""Events in, events out: a request for images becomes images, or a reason why not; a deleted model's images go."""

from fluxline.contracts.catalog import GENERATOR, GENERATOR_CANCEL, GENERATOR_CLEANUP
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import (
    GenerationCanceled,
    GenerationCancelRequested,
    GenerationEvent,
    GenerationRequested,
    GenerationSucceeded,
    ProviderRefusal,
    TrainingDeleteRequested,
)
from fluxline.postgres.pool import database_error
from fluxline.runtime.handlers import Delivery, Handlers, JobOver, generation_failed
from fluxline.runtime.policy import RetryPolicy
from fluxline_generator.generator import CANCELED, Generator
from fluxline_generator.store import Generation, GenerationStore
from fluxline_generator.stored_images import StoredImages


def generator_handlers(generator: Generator, *, policy: RetryPolicy | None = None) -> Handlers:
    """`generation.requested` → `generation.succeeded`, `generation.failed` or `generation.canceled`."""
    handlers = Handlers(GENERATOR, policy=policy, deadline_s=3600, translators=(database_error,))

    @handlers.on(GenerationRequested, stage=Stage.IMAGE_GENERATION, on_give_up=generation_failed)
    async def on_generation_requested(event: GenerationRequested, delivery: Delivery) -> GenerationSucceeded:
        """Make the images; a failure is recorded before it is told, so that no cancel follows it."""
        try:
            generation = await generator.generate(event)
        except Exception as error:
            if not handlers.gives_up(error, delivery):
                raise
            generation = await generator.give_up(event.generation_id)
            if generation.state not in CANCELED:
                raise
        if generation.state in CANCELED:
            await _tell_canceled(generation, event, delivery)
            raise JobOver
        return succeeded(event, generation)

    return handlers


async def _tell_canceled(generation: Generation, event: GenerationRequested, delivery: Delivery) -> None:
    """Who has stopped it tells so: of what was withdrawn the request to cancel tells."""
    if generation.state == "canceled":
        await delivery.emit(canceled(event, generation))


def canceled(event: GenerationEvent, generation: Generation) -> GenerationCanceled:
    """What is told of a generation that was stopped, with one id whatever made it stop."""
    ids = {"generation_id": generation.generation_id, "training_id": event.training_id}
    cost = (generation.outcome or {}).get("cost")
    return GenerationCanceled.first(str(generation.generation_id), **ids, cost=cost)


def succeeded(event: GenerationRequested, generation: Generation) -> GenerationSucceeded:
    """What is told of images that were made."""
    refusals = tuple(ProviderRefusal.model_validate(_without_hint(refusal)) for refusal in generation.refusals)
    return GenerationSucceeded.caused_by(
        event,
        generation_id=event.generation_id,
        prompt_used=generation.order.prompt,
        provider=generation.provider,
        external_id=generation.prediction_id,
        seed=generation.order.input["seed"],
        used=generation.order.used,
        refusals=refusals,
        **(generation.outcome or {}),
    )


def _without_hint(refusal: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in refusal.items() if name != "hint"}


def cancel_handlers(store: GenerationStore, *, policy: RetryPolicy | None = None) -> Handlers:
    """`generation.cancel_requested` → `generation.canceled`, at once where nobody was asked yet."""
    handlers = Handlers(GENERATOR_CANCEL, policy=policy, translators=(database_error,))

    @handlers.on(GenerationCancelRequested)
    async def on_generation_cancel_requested(
        event: GenerationCancelRequested, _delivery: Delivery
    ) -> GenerationCanceled | None:
        """Mark it; whoever waits for its run stops it at the next look."""
        generation = await store.want_cancel(event.generation_id)
        return canceled(event, generation) if generation.state == "withdrawn" else None

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
