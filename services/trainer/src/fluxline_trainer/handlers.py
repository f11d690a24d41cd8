"""What the trainer hears from the stream of events."""

from collections.abc import Callable, Iterable
from uuid import UUID

from fluxline.contracts.catalog import TRAINER
from fluxline.contracts.events import ZipCreated
from fluxline.postgres.pool import database_error
from fluxline.runtime.envelope import current_trace
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline_trainer.jobs import Jobs


def make_handlers(jobs: Jobs, start: Callable[[Iterable[UUID]], None]) -> Handlers:
    """The trainer's handlers: they store and return; the work, its stage events and its retries are the engine's."""
    handlers = Handlers(TRAINER, deadline_s=60.0, translators=(database_error,))

    @handlers.on(ZipCreated)
    async def on_zip_created(event: ZipCreated, delivery: Delivery) -> None:
        """Take the job on, with the trace that it came by."""
        await jobs.accept(TRAINER.durable, event, current_trace())
        start([event.training_id])

    return handlers
