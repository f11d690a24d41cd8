"""Stopping a job that is canceled, without leaving a paid run behind."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from fluxline.contracts.errors import FluxlineError
from fluxline.contracts.events import TrainingCanceled, TrainingCancelRequested
from fluxline.runtime.logs import get_logger
from fluxline.runtime.redaction import redact_text
from fluxline_trainer.errors import NotFound, TrainingLost, TrainingTooSlow
from fluxline_trainer.job import STAGE, Job, JobState
from fluxline_trainer.jobs import LockedJob
from fluxline_trainer.patience import CONFIRMATIONS, Patience
from fluxline_trainer.provider import Provider, ProviderRun, RunStatus
from fluxline_trainer.submission import Submitter
from fluxline_trainer.watch import STOPPING

ALARM_AFTER = 10
"""How many failures in a row make a cancelation an operator's problem."""

log = get_logger(__name__)


class Stopper:
    """Takes a job with a cancelation to its end: nothing more is submitted, and what runs is stopped first."""

    def __init__(
        self, provider: Provider, submitter: Submitter, patience: Patience, clock: Callable[[], datetime]
    ) -> None:
        self._provider = provider
        self._submitter = submitter
        self._patience = patience
        self._clock = clock

    async def stop(self, locked: LockedJob) -> None:
        """One step. Raises errors of the look, for `put_off`."""
        state = locked.job.state
        if state is JobState.ZIP_READY or (
            state is JobState.SUBMITTING and await self._submitter.was_never_made(locked)
        ):
            await self._end(locked, locked.job)
        if locked.job.state is JobState.TRAINING:
            await self._stop_run(locked)

    async def put_off(self, locked: LockedJob, error: FluxlineError) -> None:
        """After a failed step: again later, for ever; only a run that is confirmed to be unknown counts as ended."""
        job = locked.job
        refusals = job.refusals + (not error.category.retryable)
        if isinstance(error, TrainingLost) and refusals >= CONFIRMATIONS:
            await self._end(locked, job.without_run())
            return
        tell = log.error if job.failures >= ALARM_AFTER else log.warning
        tell("cancel.failed", category=error.category, error=error.message, failures=job.failures + 1)
        wait = timedelta(seconds=self._patience.insist_s(job, error))
        text = redact_text(error.message)
        await locked.save(
            replace(job, failures=job.failures + 1, refusals=refusals, error=text, next_check_at=self._clock() + wait)
        )

    async def _stop_run(self, locked: LockedJob) -> None:
        """Cancel, then trust what the provider says of the run, whatever that is."""
        job = locked.job
        try:
            run = await self._canceled_run(str(job.provider_id))
        except NotFound as error:
            raise TrainingLost(provider_id=job.provider_id) from error
        if not run.status.is_final:
            await locked.save(replace(job, failures=0, refusals=0, next_check_at=self._clock() + STOPPING))
            return
        await self._end(locked, job if run.status is RunStatus.SUCCEEDED else job.without_run())

    async def _canceled_run(self, run_id: str) -> ProviderRun:
        run = await self._provider.get(run_id)
        if run.status.is_final:
            return run
        await self._provider.cancel(run_id)
        return await self._provider.get(run_id)

    async def _end(self, locked: LockedJob, job: Job) -> None:
        """The end of the run: canceled, failed when it is the deadline's, or the beginning of the next run."""
        cancel = locked.job.cancel
        if cancel is None:
            raise TypeError("only a job with a cancelation is stopped")
        state = JobState.FAILED if cancel.reason == "deadline" else JobState.CANCELED
        ended = replace(job, state=state, next_check_at=None, stage_started_at=None, failures=0, refusals=0)
        log.info("job.stopped", reason=cancel.reason, provider_id=locked.job.provider_id)
        if job.run > cancel.run:
            await locked.end_and_restart(ended)
        elif state is JobState.CANCELED:
            await locked.save(ended, TrainingCanceled.caused_by(cancel, stage=STAGE, run=cancel.run))
        else:
            await self._end_late(locked, ended, cancel)

    async def _end_late(self, locked: LockedJob, ended: Job, cancel: TrainingCancelRequested) -> None:
        """Past its deadline the training has failed, as was said by who watches it; its attempt ends here."""
        error = TrainingTooSlow("The training took longer than it may and was stopped.", run=cancel.run)
        attempt = locked.job.stage(self._clock())
        running = locked.job.stage_started_at is not None
        await locked.save(replace(ended, error=error.message), *([attempt.failed(error)] if running else []))
