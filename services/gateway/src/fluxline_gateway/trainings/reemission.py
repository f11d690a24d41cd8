"""Publishing once more the event that made a stage begin, should it have been lost on its way.

Body and headers are the first ones, but for the message id, which the stream would know. Consumers are idempotent.
"""

import json
from uuid import UUID

import asyncpg

from fluxline.contracts.catalog import EVENTS
from fluxline.contracts.events import TrainingCancelRequested
from fluxline.contracts.ids import root_event_id
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import MSG_ID, body_of, headers_of
from fluxline.runtime.spans import traceparent_of
from fluxline.runtime.telemetry import continued_trace
from fluxline_gateway.trainings.watches import Job

_OF_OUTBOX = "SELECT subject, body, headers FROM outbox WHERE event_id = $1"
_OF_HISTORY = "SELECT * FROM training_events WHERE event_id = $1"
_COUNT = """
UPDATE stage_watches SET reemitted = $4
WHERE training_id = $1 AND run = $2 AND stage = $3 AND reemitted = $4 - 1 RETURNING true
"""


async def reemit(database: Database, bus: Bus, job: Job, number: int) -> bool:
    """Publish what the job's stage waits for, the `number`-th time; whether there was anything, and nobody else did.

    Counted after it is on the stream, under an id that `number` decides: a crash in between repeats it in vain.
    """
    stored = await _stored(database, job, _awaited(job))
    if stored is None:
        return False
    subject, body, headers = stored
    with continued_trace(headers):
        await bus.publish_raw(subject, body, headers | {MSG_ID: f"{headers[MSG_ID]}:w{number}"})
    return bool(await database.pool.fetchval(_COUNT, job.training_id, job.run, job.stage.value, number))


def _awaited(job: Job) -> UUID:
    if job.status == "canceling":
        return root_event_id(TrainingCancelRequested.subject, f"{job.training_id}/{job.run}")
    return job.began.event_id


async def _stored(database: Database, job: Job, event_id: UUID) -> tuple[str, bytes, dict[str, str]] | None:
    """Subject, body and headers of an event: our own as it was sent, another service's as the history tells it."""
    if row := await database.pool.fetchrow(_OF_OUTBOX, event_id):
        return row["subject"], row["body"], json.loads(row["headers"])
    if row := await database.pool.fetchrow(_OF_HISTORY, event_id):
        return _rebuilt(row, trace_of(job))
    return None


def _rebuilt(row: asyncpg.Record, trace: dict[str, str]) -> tuple[str, bytes, dict[str, str]]:
    own = {name: row[name] for name in ("event_id", "occurred_at", "training_id")}
    event = EVENTS[row["type"]].model_validate({**json.loads(row["data"]), **own})
    return event.subject, body_of(event), headers_of(event, "gateway") | trace


def trace_of(job: Job) -> dict[str, str]:
    """The W3C trace header that continues the trace of the job's request."""
    return {"traceparent": traceparent_of(job.trace_id)} if job.trace_id else {}
