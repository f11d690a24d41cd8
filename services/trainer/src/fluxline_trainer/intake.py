"""What changes a job from outside: archives, retries, cancelations and deletion, one at a time per training.

Each is one transaction under the training's own lock, so that a cancelation and the archive it overtakes, say,
see each other. Whoever works on the job meanwhile is fenced by its orders (`LockedJob.save`).
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from fluxline.contracts.errors import Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import TrainingCanceled, TrainingCancelRequested, TrainingDeleteRequested, ZipCreated
from fluxline.postgres.inbox import first_time
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection, Database
from fluxline.runtime.logs import get_logger
from fluxline_trainer.job import SERVICE, STAGE, JobState
from fluxline_trainer.jobs import RESTART

EVERY_RUN: Final = 2**31 - 1

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('fluxline trainer orders ' || $1::text, 0))"
_STANDING = "SELECT state, run FROM jobs WHERE training_id = $1 FOR UPDATE"
_INSERT = """
INSERT INTO jobs (training_id, state, cause, trace, run, next_check_at) VALUES ($1, 'zip_ready', $2, $3, $4, now())
"""
_NEXT_RUN = """
UPDATE jobs SET cause = $2, trace = $3, run = $4, stage_attempt = 0, stage_started_at = NULL, next_check_at = now(),
    updated_at = now()
WHERE training_id = $1
"""
_NOTE_RUN = "UPDATE jobs SET run = greatest(run, $2) WHERE training_id = $1 AND state = 'succeeded'"
_FLAG = "UPDATE jobs SET cancel = $2, next_check_at = now(), updated_at = now() WHERE training_id = $1"
_END = """
UPDATE jobs SET state = 'canceled', cancel = $2, next_check_at = NULL, updated_at = now() WHERE training_id = $1
"""
_NOTE_CANCEL = """
INSERT INTO cancelations AS c (training_id, run, event, trace) VALUES ($1, $2, $3, $4)
ON CONFLICT (training_id) DO UPDATE SET run = excluded.run, event = excluded.event, trace = excluded.trace,
    outcome = NULL, noted_at = now()
WHERE c.run < excluded.run
"""
_UNDECIDED = "SELECT event, trace FROM cancelations WHERE outcome IS NULL ORDER BY noted_at LIMIT 1000"
_DECIDE = """
UPDATE cancelations SET outcome = $3 WHERE training_id = $1 AND run = $2 AND outcome IS NULL RETURNING true
"""
_CANCELATION = "SELECT event FROM cancelations WHERE training_id = $1 AND run >= $2 AND outcome = 'canceled'"
_PUBLISHED = "UPDATE jobs SET published = true, updated_at = now() WHERE training_id = $1"
_DELETE = "DELETE FROM jobs WHERE training_id = $1"
_REMEMBER_DELETION = """
INSERT INTO cancelations (training_id, run, event, trace, outcome) VALUES ($1, $2, $3, '{}', 'canceled')
ON CONFLICT (training_id) DO UPDATE SET run = excluded.run, event = excluded.event, outcome = 'canceled'
"""

log = get_logger(__name__)


class Cancelation(NamedTuple):
    """A request to stop a run, and the trace that it came by."""

    event: TrainingCancelRequested
    trace: dict[str, str]


class Intake:
    """Takes orders for jobs; every method may be repeated."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, consumer: str, cause: ZipCreated, trace: dict[str, str]) -> None:
        """Make the job of an archive, or its next run; what a cancelation has overtaken is answered with it."""
        async with self._orders(cause.training_id) as connection:
            if not await first_time(connection, consumer, cause.event_id):
                return
            if cancel := await _cancel_of(connection, cause):
                await _announce(connection, cancel, cause, Stage.ZIP_CREATION, trace)
                return
            await _take_on(connection, cause, trace)

    async def note_run(self, training_id: UUID, run: int) -> None:
        """A later stage is tried again: a cancelation of an older run no longer concerns the job."""
        await self._database.pool.execute(_NOTE_RUN, training_id, run)

    async def note_cancel(self, event: TrainingCancelRequested, trace: dict[str, str]) -> None:
        """Keep a request to stop until it is decided; one of an older run, or a repeated one, changes nothing."""
        values = (event.training_id, event.run, event.model_dump_json(), json.dumps(trace))
        await self._database.pool.execute(_NOTE_CANCEL, *values)

    async def undecided(self) -> list[Cancelation]:
        """The requests that have not won or lost yet, oldest first."""
        rows = await self._database.pool.fetch(_UNDECIDED)
        return [
            Cancelation(TrainingCancelRequested.model_validate_json(row["event"]), json.loads(row["trace"]))
            for row in rows
        ]

    async def decide(self, cancelation: Cancelation, *, canceled: bool) -> bool:
        """The register has decided: stop the job, or drop the request. Whether there is something to stop."""
        event = cancelation.event
        async with self._orders(event.training_id) as connection:
            outcome = "canceled" if canceled else "too_late"
            first = await connection.fetchval(_DECIDE, event.training_id, event.run, outcome)
            return bool(first and canceled) and await _cancel(connection, cancelation)

    async def mark_published(self, training_id: UUID) -> None:
        """The model is published: the weights of the provider are needed no more."""
        await self._database.pool.execute(_PUBLISHED, training_id)

    async def delete(self, event: TrainingDeleteRequested) -> None:
        """Forget the job, and remember that nothing may make it again."""
        why = TrainingCancelRequested.caused_by(event, run=EVERY_RUN, reason="deleted")
        async with self._orders(event.training_id) as connection:
            await connection.execute(_DELETE, event.training_id)
            await connection.execute(_REMEMBER_DELETION, event.training_id, EVERY_RUN, why.model_dump_json())

    @asynccontextmanager
    async def _orders(self, training_id: UUID) -> AsyncIterator[Connection]:
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, str(training_id))
            yield connection


async def _take_on(connection: Connection, cause: ZipCreated, trace: dict[str, str]) -> None:
    """A new job, or the next run of a known one: an ended one goes on with what it has, a running one just goes on."""
    values = (cause.training_id, cause.model_dump_json(), json.dumps(trace), cause.run)
    standing = await connection.fetchrow(_STANDING, cause.training_id)
    if standing is None:
        await connection.execute(_INSERT, *values)
        return
    state = JobState(standing["state"])
    if cause.run <= standing["run"] or state is JobState.CANCELED:
        log.info("job.known", training_id=str(cause.training_id), state=state, run=standing["run"])
        return
    await connection.execute(_NEXT_RUN, *values)
    if state.is_final:
        await connection.execute(RESTART, cause.training_id)


async def _cancel(connection: Connection, cancelation: Cancelation) -> bool:
    """Stop the job where it is. True when the engine has to: there may be a paid run."""
    event = cancelation.event
    standing = await connection.fetchrow(_STANDING, event.training_id)
    if standing is None:
        await _announce(connection, event, event, Stage.ZIP_CREATION, cancelation.trace)
    elif standing["run"] <= event.run and not JobState(standing["state"]).is_final:
        await connection.execute(_FLAG, event.training_id, event.model_dump_json())
        return True
    elif event.reason != "deadline" and (stage := _stage_to_end(standing, event)):
        await connection.execute(_END, event.training_id, event.model_dump_json())
        await _announce(connection, event, event, stage, cancelation.trace)
    return False


def _stage_to_end(standing: asyncpg.Record, event: TrainingCancelRequested) -> Stage | None:
    """Where an ended job's training is stopped: on its way to the hub, or in a run that has not reached us yet."""
    if standing["state"] == JobState.SUCCEEDED and standing["run"] <= event.run:
        return Stage.HUGGINGFACE_UPLOAD
    if standing["state"] == JobState.FAILED and standing["run"] < event.run:
        return STAGE
    return None


async def _cancel_of(connection: Connection, cause: ZipCreated) -> TrainingCancelRequested | None:
    text = await connection.fetchval(_CANCELATION, cause.training_id, cause.run)
    return TrainingCancelRequested.model_validate_json(text) if text else None


async def _announce(
    connection: Connection, cancel: TrainingCancelRequested, cause: Event, stage: Stage, trace: dict[str, str]
) -> None:
    """`training.canceled`, unless it is the deadline that stopped the run: then it has failed, as was said before."""
    if cancel.reason != "deadline":
        await enqueue(connection, SERVICE, TrainingCanceled.caused_by(cause, stage=stage, run=cancel.run), trace=trace)
