"""What the trainer removes once it is needed no more: weights in our storage, the model at the provider, the job."""

from uuid import UUID

from fluxline.contracts.events import TrainingCancelRequested, TrainingDeleteRequested
from fluxline.runtime.envelope import current_trace
from fluxline.runtime.logs import get_logger
from fluxline.storage import Storage
from fluxline_trainer.cancel import Canceler
from fluxline_trainer.errors import RequestRefused, StillRunning
from fluxline_trainer.intake import Intake
from fluxline_trainer.job import Job
from fluxline_trainer.jobs import Jobs
from fluxline_trainer.provider import Provider

log = get_logger(__name__)


class Cleaner:
    """Removes what belongs to an ended training; every method may be repeated. Raises Provider- and StorageErrors."""

    def __init__(self, jobs: Jobs, intake: Intake, canceler: Canceler, provider: Provider, storage: Storage) -> None:
        self._jobs = jobs
        self._intake = intake
        self._canceler = canceler
        self._provider = provider
        self._storage = storage

    async def published(self, training_id: UUID, run: int) -> None:
        """The publisher has its own copy of the weights; the provider's model stays, to generate with.

        The register says so before they go: an attempt to publish whose end was lost comes back, and looks there.
        """
        await self._canceler.concede(training_id, run)
        await self._delete_weights(training_id)
        await self._intake.mark_published(training_id)

    async def canceled(self, training_id: UUID) -> None:
        """Nobody will use what was made; a job that runs (again) keeps everything."""
        job = await self._jobs.find(training_id)
        if job is None or job.state.is_final:
            await self._delete_weights(training_id)
            await self._delete_model(job)

    async def deleted(self, event: TrainingDeleteRequested) -> None:
        """Everything of the training; raises StillRunning while a run has to be canceled first."""
        job = await self._jobs.find(event.training_id)
        if job is not None and not job.state.is_final:
            await self._canceler.request(
                TrainingCancelRequested.caused_by(event, run=job.run, reason="deleted"), current_trace()
            )
            raise StillRunning(state=job.state)
        await self._delete_weights(event.training_id)
        await self._delete_model(job)
        await self._intake.delete(event)

    async def _delete_weights(self, training_id: UUID) -> None:
        async for stored in self._storage.list(f"weights/{training_id}/"):
            await self._storage.delete(stored.key)

    async def _delete_model(self, job: Job | None) -> None:
        """A provider that will not delete the model does not keep the rest alive."""
        if job is None or job.destination is None:
            return
        try:
            await self._provider.delete_model(job.destination)
        except RequestRefused as error:
            log.error("model.kept_by_provider", model=job.destination, error=error.message)
