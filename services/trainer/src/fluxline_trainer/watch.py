"""Watching a paid training to its end: each look is one short step, nothing is held between two of them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fluxline.contracts.events import TrainingProgressed, TrainingSucceeded
from fluxline.runtime.logs import get_logger
from fluxline_trainer.errors import NotFound, TrainingLost, TrainingTooSlow
from fluxline_trainer.job import Job, JobState
from fluxline_trainer.jobs import LockedJob
from fluxline_trainer.patience import GRACE
from fluxline_trainer.progress import Progress, log_tail, parse_progress
from fluxline_trainer.provider import Provider, ProviderRun, RunStatus
from fluxline_trainer.results import Results, cost_of, metrics_of
from fluxline_trainer.submission import PROVIDER, QUEUED
from fluxline_trainer.verdict import verdict_of

JITTER = 0.1
STOPPING = timedelta(seconds=3)
"""Between two looks at a run that was told to stop."""

log = get_logger(__name__)


class RunEnded(Exception):
    """The run ended without weights; `__cause__` is why. No second look can change that."""


@dataclass(frozen=True)
class WatchRules:
    """`polls` are the waits between looks, the last one for ever; `deadline` counts from the submission."""

    polls: Sequence[timedelta]
    deadline: timedelta
    usd_per_second: float

    def next_poll(self, polls: int) -> timedelta:
        """The wait after `polls` looks, give or take a tenth."""
        wait = self.polls[min(polls, len(self.polls) - 1)]
        return wait * (1 + JITTER * (2 * random.random() - 1))  # noqa: S311 - spreads load


class Watcher:
    """Takes a job from `training` to its end."""

    def __init__(self, provider: Provider, results: Results, rules: WatchRules, clock: Callable[[], datetime]) -> None:
        self._provider = provider
        self._results = results
        self._rules = rules
        self._clock = clock

    async def watch(self, locked: LockedJob) -> None:
        """One look at the run. Raises RunEnded when it failed, and errors of the look itself."""
        run = await self._look(locked.job)
        if run.status is RunStatus.SUCCEEDED:
            await self._succeed(locked, run)
        elif run.status.is_final:
            raise RunEnded from verdict_of(run)
        elif locked.job.age_s(self._clock()) > self._rules.deadline.total_seconds():
            await self._stop(locked, run)
        else:
            await self._report(locked, run)

    async def _stop(self, locked: LockedJob, run: ProviderRun) -> None:
        """Past the deadline: cancel, then trust what the provider says; it may have succeeded just now."""
        await self._provider.cancel(run.id)
        run = await self._look(locked.job)
        if run.status is RunStatus.SUCCEEDED:
            await self._succeed(locked, run)
            return
        deadline_s = self._rules.deadline.total_seconds()
        if run.status.is_final or locked.job.age_s(self._clock()) > GRACE * deadline_s:
            raise RunEnded from TrainingTooSlow(provider_id=run.id, deadline_s=deadline_s)
        await locked.save(replace(locked.job, next_check_at=self._clock() + STOPPING))

    async def _look(self, job: Job) -> ProviderRun:
        try:
            return await self._provider.get(str(job.provider_id))
        except NotFound as error:
            raise TrainingLost(provider_id=job.provider_id) from error

    async def _report(self, locked: LockedJob, run: ProviderRun) -> None:
        """The next look, and the news if there are any."""
        job, now = locked.job, self._clock()
        seen = parse_progress(run.logs or "")
        if run.status is RunStatus.PROCESSING and seen.phase == QUEUED:  # begun, without a word yet
            seen = seen._replace(phase="preparing")
        changed = replace(
            job,
            polls=job.polls + 1,
            failures=0,
            refusals=0,
            error=None,
            next_check_at=now + self._rules.next_poll(job.polls + 1),
        )
        if not is_news(seen, job):
            await locked.save(changed)
            return
        changed = replace(changed, percent=max(job.percent, seen.percent), step=seen.step, phase=seen.phase)
        await locked.save(changed, _progressed(changed, seen, run.logs or ""))

    async def _succeed(self, locked: LockedJob, run: ProviderRun) -> None:
        """Success is what our own storage holds."""
        job = locked.job
        stored = await self._results.store(job.training_id, run)
        succeeded = TrainingSucceeded.caused_by(
            job.cause,
            **job.cause.job_facts(),
            weights_key=stored.key,
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            provider=PROVIDER,
            external_id=run.id,
            provider_version=stored.provider_version,
            metrics=metrics_of(run),
            cost=cost_of(run, self._rules.usd_per_second),
        )
        done = replace(job, state=JobState.SUCCEEDED, percent=100.0, next_check_at=None, failures=0, error=None)
        ids: dict[str, Any] = {PROVIDER: run.id, "provider_version": stored.provider_version}
        await locked.save(done, succeeded, job.stage(self._clock()).succeeded(ids))
        log.info("training.succeeded", provider_id=run.id, size_bytes=stored.size_bytes)


def is_news(seen: Progress, job: Job) -> bool:
    """Whether the log tells more than we have told; what runs backwards is no news."""
    if seen.percent < job.percent or (seen.step is not None and job.step is not None and seen.step < job.step):
        return False
    return (seen.percent, seen.step, seen.phase) != (job.percent, job.step, job.phase)


def _progressed(job: Job, seen: Progress, logs: str) -> TrainingProgressed:
    return TrainingProgressed.caused_by(
        job.cause,
        discriminator=f"{seen.phase}/{seen.step}/{job.percent}",
        percent=job.percent,
        step=seen.step,
        steps=seen.steps,
        loss=seen.loss,
        eta_s=seen.eta_s,
        phase=seen.phase,
        log_tail=log_tail(logs),
    )
