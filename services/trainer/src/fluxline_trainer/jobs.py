"""The jobs in PostgreSQL: one at a time by an advisory lock, every write fenced, events in the same transaction."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from fluxline.contracts.event import Event
from fluxline.contracts.events import TrainingCancelRequested, ZipCreated
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Connection, Database
from fluxline_trainer.job import SERVICE, Job, JobState

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('fluxline trainer ' || $1::text, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('fluxline trainer ' || $1::text, 0))"
_SELECT = "SELECT * FROM jobs WHERE training_id = $1"
_SAVE = """
UPDATE jobs SET state = $6, attempt = $7, doubts = $8, submit_at = $9, first_submit_at = $10, destination = $11,
    trainer_version = $12, provider_id = $13, next_check_at = $14, polls = $15, failures = $16, refusals = $17,
    percent = greatest(percent, $18), step = $19, phase = $20, stage_attempt = $21, stage_started_at = $22,
    error = $23, ended_runs = $24, updated_at = now()
WHERE training_id = $1 AND state = $2 AND attempt = $3 AND run = $4 AND cancel->>'event_id' IS NOT DISTINCT FROM $5
RETURNING true
"""
_ADOPT_OVERTAKEN = """
UPDATE jobs SET state = 'training', provider_id = $3, next_check_at = now(), updated_at = now()
WHERE training_id = $1 AND state = 'submitting' AND attempt = $2
RETURNING true
"""
RESTART = """
UPDATE jobs SET
    state = CASE WHEN provider_id IS NOT NULL THEN 'training' WHEN submit_at IS NOT NULL THEN 'submitting'
        ELSE 'zip_ready' END,
    submit_at = CASE WHEN provider_id IS NOT NULL OR submit_at IS NOT NULL THEN now() END,
    next_check_at = now(), doubts = 0, polls = 0, failures = 0, refusals = 0, percent = 0, step = NULL, phase = '',
    stage_attempt = 0, stage_started_at = NULL, error = NULL, cancel = NULL, published = false, updated_at = now()
WHERE training_id = $1
"""
"""The next run of an ended job, with what there is: a known run is looked at again, a doubtful one looked for first."""
_SAVED = (
    *("state", "attempt", "doubts", "submit_at", "first_submit_at", "destination"),
    *("trainer_version", "provider_id", "next_check_at", "polls", "failures", "refusals"),
    *("percent", "step", "phase", "stage_attempt", "stage_started_at", "error", "ended_runs"),
)
"""The fields that `_SAVE` writes, from its sixth parameter on."""
_OVERDUE = "SELECT training_id FROM jobs WHERE next_check_at < now() - $1::interval ORDER BY next_check_at LIMIT 5000"
_INTERRUPTED = """
SELECT training_id FROM jobs WHERE next_check_at <= now() OR state = 'submitting' ORDER BY next_check_at LIMIT 5000
"""
_BY_PROVIDER_ID = "SELECT training_id FROM jobs WHERE provider_id = $1"
_OWN_RUNS = """
SELECT destination, provider_id, ended_runs, state = 'canceled' AS canceled FROM jobs
WHERE destination = ANY($1::text[]) AND state <> 'submitting'
"""
_DESTINATIONS = "SELECT destination FROM jobs WHERE destination = ANY($1::text[])"
_OVERTAKEN = """
SELECT true FROM jobs WHERE training_id = $1 AND state IN ('zip_ready', 'submitting', 'training')
    AND (run <> $2 OR cancel->>'event_id' IS DISTINCT FROM $3)
"""
_FIELDS = tuple(field.name for field in fields(Job))


class LostJob(Exception):
    """Somebody else has moved the job on, or its orders: what this process knows of it is over."""


class OwnRuns(NamedTuple):
    """The provider's runs that a destination may have: the job's own one, and those that ended before."""

    provider_id: str | None
    ended_runs: frozenset[str]
    canceled: bool


class LockedJob:
    """A job that this process alone works on, over the connection that holds the lock: losing one loses both."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection = connection
        self.job = job

    async def save(self, changed: Job, *events: Event) -> None:
        """Store the change and its events together; raises LostJob unless state and orders are as we know them.

        A run that was just found or made is stored all the same: whoever has the new orders needs to know it.
        """
        job = self.job
        values = [getattr(changed, name) for name in _SAVED]
        async with self._connection.transaction():
            known = await self._connection.fetchval(
                _SAVE, job.training_id, job.state, job.attempt, *job.orders, *values
            )
            if not known and not await self._adopt_overtaken(changed):
                raise LostJob(str(job.training_id))
            if events:
                await enqueue(self._connection, SERVICE, *events, trace=job.trace)
        if not known:
            raise LostJob(str(job.training_id))
        self.job = changed

    async def end_and_restart(self, changed: Job) -> None:
        """End the run as `changed` says, and begin the next one, whose cause the row already has, at once."""
        async with self._connection.transaction():
            await self.save(changed)
            await self._connection.execute(RESTART, changed.training_id)

    async def _adopt_overtaken(self, changed: Job) -> bool:
        if (self.job.state, changed.state) != (JobState.SUBMITTING, JobState.TRAINING):
            return False
        fence = (changed.training_id, changed.attempt)
        return bool(await self._connection.fetchval(_ADOPT_OVERTAKEN, *fence, changed.provider_id))


class Jobs:
    """The table of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def locked(self, training_id: UUID) -> AsyncIterator[LockedJob | None]:
        """The job under its session-level lock; None when somebody else is at it, or there is no such job."""
        async with self._database.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
            if not await connection.fetchval(_LOCK, str(training_id)):
                yield None
                return
            try:
                row = await connection.fetchrow(_SELECT, training_id)
                yield LockedJob(connection, _job(row)) if row else None
            finally:
                if not connection.is_closed():  # a lost session has lost its locks
                    await connection.execute(_UNLOCK, str(training_id))

    async def overdue(self, by: timedelta) -> list[UUID]:
        """Jobs whose check is late by more than that: their timer was lost."""
        return _ids(await self._database.pool.fetch(_OVERDUE, by))

    async def interrupted(self) -> list[UUID]:
        """Jobs that a process which ended may have been at."""
        return _ids(await self._database.pool.fetch(_INTERRUPTED))

    async def of_provider_id(self, provider_id: str) -> UUID | None:
        """The training that the provider knows under this id."""
        found: UUID | None = await self._database.pool.fetchval(_BY_PROVIDER_ID, provider_id)
        return found

    async def find(self, training_id: UUID) -> Job | None:
        """The job as it stands, without its lock."""
        row = await self._database.pool.fetchrow(_SELECT, training_id)
        return _job(row) if row else None

    async def overtaken(self, job: Job) -> bool:
        """Whether the job has other orders by now, and work left to do."""
        return bool(await self._database.pool.fetchval(_OVERTAKEN, job.training_id, *job.orders))

    async def runs_of(self, destinations: Sequence[str]) -> dict[str, OwnRuns]:
        """The runs that each of these destinations has, as far as its submission is settled."""
        rows = await self._database.pool.fetch(_OWN_RUNS, list(destinations))
        return {
            row["destination"]: OwnRuns(row["provider_id"], frozenset(row["ended_runs"]), row["canceled"])
            for row in rows
        }

    async def known(self, destinations: Sequence[str]) -> set[str]:
        """Those of the destinations that a job has, whatever its state."""
        rows = await self._database.pool.fetch(_DESTINATIONS, list(destinations))
        return {row["destination"] for row in rows}


def _ids(rows: Sequence[asyncpg.Record]) -> list[UUID]:
    return [row["training_id"] for row in rows]


def _job(row: asyncpg.Record) -> Job:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values |= {
        "state": JobState(row["state"]),
        "cause": ZipCreated.model_validate_json(row["cause"]),
        "trace": json.loads(row["trace"]),
        "cancel": TrainingCancelRequested.model_validate_json(row["cancel"]) if row["cancel"] else None,
        "ended_runs": tuple(row["ended_runs"]),
    }
    return Job(**values)
