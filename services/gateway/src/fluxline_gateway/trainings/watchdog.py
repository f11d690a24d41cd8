"""The watchdog: says why a training does not move, sends again what may have been lost, ends what takes too long.

It looks at stored rows and at JetStream's consumers, never on behalf of a reader. One replica looks at a time.
What it says goes to `waiting_reason`; what it does are events, which the projection applies like any other.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.events import TrainingCancelRequested, TrainingFailed
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection, Database, database_error
from fluxline.runtime.bus import Bus
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.logs import get_logger
from fluxline_gateway.trainings.diagnosis import Finding, explain, is_at_work
from fluxline_gateway.trainings.reemission import reemit, trace_of
from fluxline_gateway.trainings.state import PIPELINE, TERMINAL
from fluxline_gateway.trainings.watches import Job, jobs_under_way, see
from fluxline_gateway.trainings.work_queues import WorkQueue, WorkQueues

SOURCE = "gateway"
LOCK: Final = 7_340_196
"""The advisory lock that lets one replica look at a time."""
MAX_REEMISSIONS: Final = 2
_SAY = """
UPDATE trainings SET waiting_reason = $2 WHERE id = $1 AND updated_at = $3 AND status <> ALL($4::text[])
"""
_STILL_UNDER_WAY = "SELECT true FROM trainings WHERE id = $1 AND status <> ALL($2::text[]) FOR UPDATE"
_TIME_OUT = """
UPDATE stage_watches SET timed_out = true
WHERE training_id = $1 AND run = $2 AND stage = $3 AND NOT timed_out RETURNING true
"""

log = get_logger(__name__)


def by_stage(zipping_s: float, training_s: float, publishing_s: float) -> dict[Stage, float]:
    """Seconds for each stage of the pipeline."""
    return dict(zip(PIPELINE, (zipping_s, training_s, publishing_s), strict=True))


@dataclass(frozen=True)
class Patience:
    """Seconds: between two looks, without news until a job is looked into, until it is sent again, until its end.

    `deadline_s` counts while somebody could work on the job, so that an outage of ours fails no job; `silence_s` counts
    always, so that no job is open for ever.
    """

    watch_s: float = 10.0
    reemit_s: float = 600.0
    usual_s: Mapping[Stage, float] = field(default_factory=lambda: by_stage(30.0, 120.0, 60.0))
    deadline_s: Mapping[Stage, float] = field(default_factory=lambda: by_stage(3600.0, 14_400.0, 7200.0))
    silence_s: float = 86_400.0

    def exceeded_s(self, stage: Stage, worked_s: float, silent_s: float) -> float | None:
        """The limit that the job is past: of work at its stage, or of silence, whose ever fault that is."""
        if worked_s >= self.deadline_s[stage]:
            return self.deadline_s[stage]
        return self.silence_s if silent_s >= self.silence_s else None


class WatchdogMetrics:
    """What Prometheus sees of waiting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "fluxline_jobs_waiting", "Trainings that wait longer than usual, by reason", ("reason",), registry=registry
        )
        self.timed_out = Counter("fluxline_jobs_timed_out", "Trainings ended at a deadline", registry=registry)
        self.reemitted = Counter("fluxline_events_reemitted", "Events sent again to a silent stage", registry=registry)

    def show(self, findings: list[Finding]) -> None:
        """Count the reasons of one look; a replica that did not look shows none."""
        self.waiting.clear()
        for reason, count in Tally(found.reason.split(":")[0] for found in findings if found.reason).items():
            self.waiting.labels(reason).set(count)


class Watchdog:
    """Looks after trainings that have not ended."""

    def __init__(
        self, database: Database, bus: Bus, registry: CollectorRegistry, patience: Patience | None = None
    ) -> None:
        self.database = database
        self.bus = bus
        self.patience = patience or Patience()
        self.metrics = WatchdogMetrics(registry)
        self._queues = WorkQueues(bus, PIPELINE)

    async def run(self) -> None:
        """Look for ever; outages are waited out."""
        while True:
            raise_if_canceled()
            try:
                await self.look()
            except Exception as error:
                if database_error(error) is None:
                    raise
                log.warning("watchdog.waiting", reason=type(error).__name__)
            await asyncio.sleep(self.patience.watch_s)

    async def look(self) -> None:
        """One look at every training under way, and what follows from it."""
        queues = await self._queues.look()
        findings = await self._find(queues)
        self.metrics.show(findings)
        for found in findings:
            limit_s = self.patience.exceeded_s(found.job.stage, found.watch.worked_s, found.watch.silent_s)
            if limit_s is not None:
                await self._time_out(found, limit_s)
            elif found.may_be_lost and found.watch.silent_s >= self.patience.reemit_s * (found.watch.reemitted + 1):
                await self._reemit(found)

    async def _find(self, queues: Mapping[Stage, WorkQueue] | None) -> list[Finding]:
        """Look, and write down what is to be said; nothing when another replica is looking."""
        async with self.database.transaction() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return []
            jobs = await jobs_under_way(connection)
            watches = await see(connection, [(job, is_at_work(job, queues)) for job in jobs], self.patience.watch_s)
            findings = explain(jobs, watches, queues, self.patience.usual_s)
            await _say(connection, findings)
            return findings

    async def _reemit(self, found: Finding) -> None:
        job, number = found.job, found.watch.reemitted + 1
        if number > MAX_REEMISSIONS:
            return
        try:
            done = await reemit(self.database, self.bus, job, number)
        except FluxlineError as error:
            log.warning("watchdog.waiting", reason=error.message)
            return
        if done:
            self.metrics.reemitted.inc()
            log.warning("job.reemitted", training_id=str(job.training_id), stage=job.stage, number=number)

    async def _time_out(self, found: Finding, limit_s: float) -> None:
        """End the run: the failure for everybody, and for the trainer the order to stop the provider."""
        job = found.job
        async with self.database.transaction() as connection:
            if not await connection.fetchval(_STILL_UNDER_WAY, job.training_id, sorted(TERMINAL)):
                return
            if not await connection.fetchval(_TIME_OUT, job.training_id, job.run, job.stage.value):
                return
            await enqueue(connection, SOURCE, _timeout(found, limit_s), _stop(job), trace=trace_of(job))
        self.metrics.timed_out.inc()
        log.error("job.timed_out", training_id=str(job.training_id), stage=job.stage, reason=found.reason)


async def _say(connection: Connection, findings: list[Finding]) -> None:
    """Write reasons that changed, unless there has been news in the meantime."""
    changed = [found for found in findings if found.reason != found.job.waiting_reason]
    rows = [(found.job.training_id, found.reason, found.job.updated_at) for found in changed]
    await connection.executemany(_SAY, [(*row, sorted(TERMINAL)) for row in rows])


def _timeout(found: Finding, limit_s: float) -> TrainingFailed:
    job = found.job
    waited_for = found.reason or job.told or f"the end of {job.stage.value}"
    return TrainingFailed.first(
        f"{job.training_id}/{job.run}/deadline",
        training_id=job.training_id,
        stage=job.stage,
        category=ErrorCategory.TIMEOUT,
        retryable=True,
        message=f"{job.stage.value} took longer than {_duration(limit_s)}",
        hint=f"It was waiting for: {waited_for}. Retry the training: it goes on from this stage with what it has.",
        attempts=job.attempt,
        run=job.run,
    )


def _stop(job: Job) -> TrainingCancelRequested:
    key = f"{job.training_id}/{job.run}"
    return TrainingCancelRequested.first(key, training_id=job.training_id, run=job.run, reason="deadline")


def _duration(seconds: float) -> str:
    """Hours where they are whole, minutes where they are, otherwise seconds."""
    for unit_s, unit in ((3600, "h"), (60, "min")):
        if seconds >= unit_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:g} s"
