"""One step of one job at a time: what is due is done, under the job's lock, and the next step is scheduled."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from structlog.contextvars import bound_contextvars

from fluxline.contracts.errors import FluxlineError
from fluxline.postgres.pool import database_error
from fluxline.runtime.errors import BrokerUnavailable, as_fluxline_error
from fluxline.runtime.exemplars import exemplar
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.logs import get_logger
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.policy import Retry
from fluxline.runtime.redaction import redact_text
from fluxline.runtime.spans import completed
from fluxline.runtime.stages import StageAttempt
from fluxline.runtime.telemetry import continued_trace
from fluxline_trainer.errors import SubmissionUnclear
from fluxline_trainer.job import STAGE, Job, JobState
from fluxline_trainer.jobs import Jobs, LockedJob, LostJob
from fluxline_trainer.patience import Patience
from fluxline_trainer.stopping import Stopper
from fluxline_trainer.submission import PROVIDER, Submitter
from fluxline_trainer.watch import RunEnded, Watcher

TIMER = "trainer"

log = get_logger(__name__)


class Timers(Protocol):
    """What wakes a job up later."""

    async def schedule(self, timer: str, key: str, at: datetime) -> None:
        """Deliver `key` at `at`; a later call with the same key replaces it. Raises BrokerUnavailable."""
        ...


class Engine:
    """Advances jobs. Any number of processes may advance any job: one of them does, once."""

    def __init__(
        self,
        jobs: Jobs,
        submitter: Submitter,
        watcher: Watcher,
        stopper: Stopper,
        patience: Patience,
        timers: Timers,
        metrics: Metrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._jobs = jobs
        self._stopper = stopper
        self._patience = patience
        self._timers = timers
        self._metrics = metrics
        self._clock = clock
        self._steps: dict[JobState, Callable[[LockedJob], Awaitable[None]]] = {
            JobState.ZIP_READY: submitter.submit,
            JobState.SUBMITTING: submitter.reconcile,
            JobState.TRAINING: watcher.watch,
        }

    async def advance(self, training_id: UUID) -> None:
        """Do the job's next step, whoever woke us and however often; raises only when PostgreSQL fails.

        Orders that came during the step (a cancelation, a new run) are followed at once.
        """
        while await self._advance_once(training_id):
            log.info("job.overtaken", training_id=str(training_id))

    async def _advance_once(self, training_id: UUID) -> bool:
        """One step; whether the job was given other orders meanwhile."""
        async with self._jobs.locked(training_id) as locked:
            if locked is None or locked.job.state.is_final:
                return False
            known = locked.job
            with continued_trace(known.trace):
                try:
                    with bound_contextvars(training_id=str(training_id), state=known.state.value):
                        await (self._stop(locked) if known.cancel else self._step(locked))
                        await self._schedule(locked.job)
                except LostJob:
                    log.warning("job.lost", training_id=str(training_id))
        return await self._jobs.overtaken(known)

    async def _stop(self, locked: LockedJob) -> None:
        try:
            await self._stopper.stop(locked)
        except LostJob:
            raise
        except Exception as error:
            if database_error(error):
                raise
            log.warning("cancel.step_failed", exc_info=not isinstance(error, FluxlineError), error=str(error))
            await self._stopper.put_off(locked, as_fluxline_error(error))

    async def _step(self, locked: LockedJob) -> None:
        try:
            await self._begin_attempt(locked)
            await self._steps[locked.job.state](locked)
        except LostJob:
            raise
        except RunEnded as ended:
            await self._fail(locked, as_fluxline_error(ended.__cause__ or ended), ended=True)
        except SubmissionUnclear as error:
            await self._fail(locked, error)
        except Exception as error:
            if database_error(error):
                raise
            log.warning("step.failed", exc_info=not isinstance(error, FluxlineError), error=str(error))
            await self._after_failure(locked, as_fluxline_error(error))
        if locked.job.state is JobState.SUCCEEDED:
            self._observe(locked.job, locked.job.stage(self._clock()), "succeeded")

    async def _begin_attempt(self, locked: LockedJob) -> None:
        """A new attempt of the stage, unless one is running."""
        job = locked.job
        if job.stage_started_at is None:
            now = self._clock()
            begun = replace(job, stage_attempt=job.stage_attempt + 1, stage_started_at=now)
            await locked.save(begun, begun.stage(now).started())

    async def _after_failure(self, locked: LockedJob, error: FluxlineError) -> None:
        job, now = locked.job, self._clock()
        outcome = self._patience.decide(job, error, now)
        if not isinstance(outcome, Retry):
            await self._fail(locked, _unclear(job, error) if outcome.exhausted else error)
            return
        later = replace(job, next_check_at=now + timedelta(seconds=outcome.delay_s), error=redact_text(error.message))
        if not error.category.retryable:  # to be confirmed: the attempt goes on
            await locked.save(replace(later, refusals=job.refusals + 1))
            return
        attempt = job.stage(now)
        ended = replace(later, failures=job.failures + 1, stage_started_at=None)
        await locked.save(ended, attempt.retried(error, outcome.delay_s))
        self._observe(job, attempt, "retried", error)

    async def _fail(self, locked: LockedJob, error: FluxlineError, *, ended: bool = False) -> None:
        """The end of the run; `ended` says that the provider's run is over and has no weights."""
        attempt = locked.job.stage(self._clock())
        job = locked.job.without_run() if ended else locked.job
        failed = replace(job, state=JobState.FAILED, next_check_at=None, error=redact_text(error.message))
        end = training_failed(attempt, error)
        await locked.save(failed, attempt.failed(error), *([end] if end else []))
        log.error("training.failed", category=error.category, error=error.message, **error.context)
        self._observe(locked.job, attempt, "failed", error)

    async def _schedule(self, job: Job) -> None:
        """A timer for the next step; without one the sweep does it later."""
        if job.next_check_at is None:
            return
        try:
            await self._timers.schedule(TIMER, str(job.training_id), job.next_check_at)
        except BrokerUnavailable as error:
            log.warning("timer.not_set", reason=error.message)

    def _observe(self, job: Job, attempt: StageAttempt, outcome: str, error: FluxlineError | None = None) -> None:
        category = error.category.value if error else ""
        self._metrics.stage_seconds.labels(STAGE.value, outcome, category).observe(
            attempt.duration_ms / 1000, exemplar()
        )
        completed(
            STAGE.value,
            time.time_ns() - attempt.duration_ms * 1_000_000,
            {
                "fluxline.training_id": str(job.training_id),
                "fluxline.stage": STAGE.value,
                "fluxline.attempt": attempt.attempt,
                "fluxline.outcome": outcome,
                "fluxline.provider": PROVIDER,
                "fluxline.provider_id": job.provider_id,
                "fluxline.polls": job.polls,
            },
            error=category or None,
            said=redact_text(error.message) if error else "",
        )


def _unclear(job: Job, error: FluxlineError) -> FluxlineError:
    """What giving up means: while submitting, a paid run may exist that we could not look for."""
    if job.state is not JobState.SUBMITTING:
        return error
    message = f"Whether Replicate has begun the training could not be found out: {error.message}"
    return SubmissionUnclear(message, destination=job.destination, submissions=job.attempt)
