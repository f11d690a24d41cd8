"""Submitting a paid training exactly once: intent first, then one request, then certainty.

A job in `submitting` may have been paid for. Whoever finds one looks for it at the provider; only what is
still not there after the settle window, which must exceed the provider's worst list lag, is submitted again.
"""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from fluxline.contracts.events import TrainingProgressed, TrainingStarted
from fluxline.runtime.logs import get_logger
from fluxline_trainer.errors import NotFound, ProviderError, SubmissionUnclear
from fluxline_trainer.job import Job, JobState
from fluxline_trainer.jobs import LockedJob
from fluxline_trainer.provider import Order, Provider, ProviderRun, RunStatus
from fluxline_trainer.zip_link import ZipLinks

PROVIDER = "replicate"
QUEUED = "starting"
"""The phase of a run that the provider has accepted and not begun."""
MAX_SUBMISSIONS = 3
CLOCK_MARGIN = timedelta(minutes=5)
"""How far the provider's clock may be from ours."""
CRASH_CHECK = timedelta(seconds=30)
FORGOTTEN = timedelta(days=7)
"""How far back a run is looked for that the database knows nothing of: it was restored from a backup."""
_DESTINATION = re.compile(r"[^/]+/fluxline-[0-9a-f]{12}")
_PREFERENCE = (RunStatus.SUCCEEDED, RunStatus.PROCESSING, RunStatus.STARTING, RunStatus.FAILED)

log = get_logger(__name__)


@dataclass(frozen=True)
class SubmissionRules:
    """`trainer` is `owner/name`; `owner` of the results (None: the account); `settle` exceeds the list lag."""

    trainer: str
    owner: str | None
    webhook_url: str | None
    settle: timedelta
    look_again: timedelta
    first_poll: timedelta


class Submitter:
    """Takes a job from `zip_ready` over `submitting` to `training`."""

    def __init__(
        self, provider: Provider, links: ZipLinks, rules: SubmissionRules, clock: Callable[[], datetime]
    ) -> None:
        self._provider = provider
        self._links = links
        self._rules = rules
        self._clock = clock
        self._owner = rules.owner

    async def submit(self, locked: LockedJob) -> None:
        """Verify and prepare what costs nothing, announce the intent, then send the one request."""
        url = await self._links.checked(locked.job.cause.zip_key, locked.job.cause.size_bytes)
        if await self._prepare(locked):
            await self._doubt(locked)
            return
        now = self._clock()
        job = locked.job
        announced = replace(
            job,
            state=JobState.SUBMITTING,
            attempt=job.attempt + 1,
            submit_at=now,
            first_submit_at=job.first_submit_at or now,
            next_check_at=now + CRASH_CHECK,
        )
        await locked.save(announced)
        try:
            run = await self._provider.create(order_of(announced, self._rules, url))
        except ProviderError as error:
            if not error.ambiguous:
                await locked.save(replace(job, attempt=announced.attempt))
            raise
        await self._adopt(locked, run)

    async def reconcile(self, locked: LockedJob) -> None:
        """Look for the training that may exist; wait while it may still appear, submit again when it cannot."""
        if not await self.was_never_made(locked):
            return
        job, now = locked.job, self._clock()
        log.warning("submission.not_found", destination=job.destination, attempt=job.attempt)
        if job.doubts + 1 >= MAX_SUBMISSIONS:
            raise SubmissionUnclear(destination=job.destination, submissions=job.attempt)
        await locked.save(replace(job, state=JobState.ZIP_READY, doubts=job.doubts + 1, next_check_at=now))
        await self.submit(locked)

    async def was_never_made(self, locked: LockedJob) -> bool:
        """True once the announced training can be ruled out; otherwise it was adopted, or is to be waited for."""
        job, now = locked.job, self._clock()
        runs = [run async for run in self._runs_since(job) if belongs(run, job)]
        if runs:
            chosen = min(runs, key=_preference)
            await self._adopt(locked, chosen)
            await self._cancel_others(chosen, runs)
            return False
        settled_at = (job.submit_at or now) + self._rules.settle
        if now < settled_at:
            await locked.save(replace(job, next_check_at=min(now + self._rules.look_again, settled_at), failures=0))
            return False
        return True

    async def _prepare(self, locked: LockedJob) -> bool:
        """Destination and trainer version, decided once and kept with the job.

        True when the destination was there before the job had one: a database that was restored from a backup may have
        forgotten a run.
        """
        job = locked.job
        owner, _, name = (job.destination or "").partition("/")
        if not name:
            owner, name = await self._account(), destination_name(job.training_id)
        version = job.trainer_version or await self._provider.latest_version(self._rules.trainer)
        was_there = await self._provider.ensure_destination(owner, name)
        if (job.destination, job.trainer_version) != (f"{owner}/{name}", version):
            await locked.save(replace(job, destination=f"{owner}/{name}", trainer_version=version))
        return was_there and job.destination is None

    async def _doubt(self, locked: LockedJob) -> None:
        """As if a request had been announced: what may have been paid for is looked for first."""
        job, now = locked.job, self._clock()
        log.warning("submission.destination_known", destination=job.destination)
        doubtful = replace(job, state=JobState.SUBMITTING, submit_at=now, first_submit_at=now - FORGOTTEN)
        await locked.save(replace(doubtful, next_check_at=now + CRASH_CHECK))
        await self.reconcile(locked)

    async def _account(self) -> str:
        if self._owner is None:
            self._owner = await self._provider.account()
        return self._owner

    async def _adopt(self, locked: LockedJob, run: ProviderRun) -> None:
        """From here on the run is ours: its id and the news of it are stored together."""
        job = locked.job
        adopted = replace(
            job,
            state=JobState.TRAINING,
            provider_id=run.id,
            next_check_at=self._clock() + self._rules.first_poll,
            polls=0,
            failures=0,
            refusals=0,
            error=None,
            phase=QUEUED if run.status is RunStatus.STARTING else job.phase,
        )
        started = TrainingStarted.caused_by(
            job.cause,
            provider=PROVIDER,
            external_id=run.id,
            destination=job.destination,
            trainer_version=job.trainer_version,
            url=self._provider.page_of(run.id),
        )
        queued = TrainingProgressed.caused_by(job.cause, discriminator=f"{QUEUED}/{run.id}", percent=0, phase=QUEUED)
        await locked.save(adopted, started, *([queued] if run.status is RunStatus.STARTING else []))
        log.info("training.started", provider_id=run.id, submission=job.attempt)

    async def _runs_since(self, job: Job) -> AsyncIterator[ProviderRun]:
        oldest = (job.first_submit_at or self._clock()) - CLOCK_MARGIN
        async for run in self._provider.newest_first():
            if run.created_at is not None and run.created_at < oldest:
                return
            yield run

    async def _cancel_others(self, chosen: ProviderRun, runs: list[ProviderRun]) -> None:
        """More than one means that a request took effect after the settle window: stop what still costs money."""
        for run in runs:
            if run.id != chosen.id and not run.status.is_final:
                log.error("training.duplicate_canceled", provider_id=run.id, kept=chosen.id)
                try:
                    await self._provider.cancel(run.id)
                except NotFound:
                    continue


def destination_name(training_id: UUID) -> str:
    """The model that a training's result goes to: the same on every attempt, so that it tags the run."""
    return f"fluxline-{training_id.hex[:12]}"


def is_destination(model: str) -> bool:
    """Whether `owner/name` is named as `destination_name` does."""
    return _DESTINATION.fullmatch(model) is not None


def order_of(job: Job, rules: SubmissionRules, zip_url: str) -> Order:
    """The paid request; no token of ours ever travels in the inputs, which the provider stores."""
    parameters = job.cause.parameters
    inputs = {
        "input_images": zip_url,
        "trigger_word": job.cause.trigger_word,
        "steps": parameters.steps,
        "learning_rate": parameters.learning_rate,
        "lora_rank": parameters.lora_rank,
        "resolution": parameters.resolution,
        "autocaption": parameters.autocaption,
    }
    return Order(rules.trainer, str(job.trainer_version), str(job.destination), inputs, rules.webhook_url)


def belongs(run: ProviderRun, job: Job) -> bool:
    """Whether the run is this job's: by its destination, or by the archive's key in its input.

    A run that is known to have ended without weights belongs to nobody any more.
    """
    if run.id in job.ended_runs:
        return False
    if run.destination is not None and run.destination == job.destination:
        return True
    images = (run.input or {}).get("input_images")
    return isinstance(images, str) and _path(images).endswith(f"/{job.cause.zip_key}")


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def _preference(run: ProviderRun) -> tuple[int, float]:
    """The run to keep comes first: the furthest one, of equals the oldest."""
    rank = _PREFERENCE.index(run.status) if run.status in _PREFERENCE else len(_PREFERENCE)
    return rank, run.created_at.timestamp() if run.created_at else float("inf")
