"""The jobs in PostgreSQL: one at a time by an advisory lock, every write fenced, events in the same transaction."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from fluxline.contracts.event import Event
from fluxline.contracts.events import ZipCreated
from fluxline.postgres.inbox import first_time
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Connection, Database
from fluxline_trainer.job import SERVICE, Job, JobState

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('fluxline trainer ' || $1::text, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended('fluxline trainer ' || $1::text, 0))"
_INSERT = """
INSERT INTO jobs (training_id, state, cause, trace, next_check_at) VALUES ($1, 'zip_ready', $2, $3, now())
ON CONFLICT (training_id) DO NOTHING
"""
_SELECT = "SELECT * FROM jobs WHERE training_id = $1"
_SAVE = """
UPDATE jobs SET state = $4, attempt = $5, doubts = $6, submit_at = $7, first_submit_at = $8, destination = $9,
    trainer_version = $10, provider_id = $11, next_check_at = $12, polls = $13, failures = $14, refusals = $15,
    percent = greatest(percent, $16), step = $17, phase = $18, stage_attempt = $19, stage_started_at = $20,
    error = $21, updated_at = now()
WHERE training_id = $1 AND state = $2 AND attempt = $3
RETURNING true
"""
_SAVED = (
    *("state", "attempt", "doubts", "submit_at", "first_submit_at", "destination"),
    *("trainer_version", "provider_id", "next_check_at", "polls", "failures", "refusals"),
    *("percent", "step", "phase", "stage_attempt", "stage_started_at", "error"),
)
"""The fields that `_SAVE` writes, from its fourth parameter on."""
_OVERDUE = "SELECT training_id FROM jobs WHERE next_check_at < now() - $1::interval ORDER BY next_check_at LIMIT 500"
_INTERRUPTED = """
SELECT training_id FROM jobs WHERE next_check_at <= now() OR state = 'submitting' ORDER BY next_check_at LIMIT 500
"""
_BY_PROVIDER_ID = "SELECT training_id FROM jobs WHERE provider_id = $1"
_OWN_RUNS = "SELECT destination, provider_id FROM jobs WHERE destination = ANY($1::text[]) AND state <> 'submitting'"
_FIELDS = tuple(field.name for field in fields(Job))


class LostJob(Exception):
    """Another process has moved the job on: what this one knows of it is over."""


class LockedJob:
    """A job that this process alone works on, over the connection that holds the lock: losing one loses both."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection = connection
        self.job = job

    async def save(self, changed: Job, *events: Event) -> None:
        """Store the change and its events together; raises LostJob unless state and attempt are as we know them."""
        async with self._connection.transaction():
            values = [getattr(changed, name) for name in _SAVED]
            fence = (self.job.training_id, self.job.state, self.job.attempt)
            if not await self._connection.fetchval(_SAVE, *fence, *values):
                raise LostJob(str(self.job.training_id))
            if events:
                await enqueue(self._connection, SERVICE, *events, trace=self.job.trace)
        self.job = changed


class Jobs:
    """The table of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, consumer: str, event: ZipCreated, trace: dict[str, str]) -> None:
        """Make the job of an archive, once; a repeated event changes nothing."""
        async with self._database.transaction() as connection:
            if await first_time(connection, consumer, event.event_id):
                await connection.execute(_INSERT, event.training_id, event.model_dump_json(), json.dumps(trace))

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

    async def runs_of(self, destinations: Sequence[str]) -> dict[str, str | None]:
        """The provider id that each of these destinations belongs to, as far as its submission is settled."""
        rows = await self._database.pool.fetch(_OWN_RUNS, list(destinations))
        return {row["destination"]: row["provider_id"] for row in rows}


def _ids(rows: Sequence[asyncpg.Record]) -> list[UUID]:
    return [row["training_id"] for row in rows]


def _job(row: asyncpg.Record) -> Job:
    values: dict[str, Any] = {name: row[name] for name in _FIELDS}
    values |= {
        "state": JobState(row["state"]),
        "cause": ZipCreated.model_validate_json(row["cause"]),
        "trace": json.loads(row["trace"]),
    }
    return Job(**values)
