"""What the watchdog keeps of a training at a stage: how long it has been silent, and how long it was worked on.

Seconds are added up look by look, by the database's clock alone and never more than a few looks' worth at once.
So no clock that is wrong, or is put right by an hour, ends a training early; nor does a time in which nobody looked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from fluxline.contracts import events as e
from fluxline.contracts.errors import Stage
from fluxline.contracts.ids import root_event_id
from fluxline.postgres.pool import Connection
from fluxline_gateway.trainings.state import TERMINAL, TrainingState

LONGEST_STEP_LOOKS: Final = 6
_UNDER_WAY = """
SELECT t.id, t.status, t.state, t.trace_id, t.waiting_reason, t.updated_at, coalesce(n.sequence, 0) AS newest,
    s.sequence AS sign_sequence, s.type AS sign_type, s.stage AS sign_stage, s.attempt AS sign_attempt, s.data AS sign
FROM trainings t
LEFT JOIN LATERAL (
    SELECT sequence FROM training_events WHERE training_id = t.id ORDER BY sequence DESC LIMIT 1
) n ON true
LEFT JOIN LATERAL (
    SELECT sequence, type, stage, attempt, data FROM training_events
    WHERE training_id = t.id AND stage IS NOT NULL ORDER BY sequence DESC LIMIT 1
) s ON true
WHERE t.status <> ALL($1::text[]) ORDER BY t.id
"""
_BEGINNINGS = """
SELECT training_id, event_id, sequence, type, data FROM training_events
WHERE training_id = ANY($1::uuid[]) AND type = ANY($2::text[]) ORDER BY sequence
"""
_SEE = """
INSERT INTO stage_watches AS w (training_id, run, stage, newest, at_work)
SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::bigint[], $5::boolean[])
ON CONFLICT (training_id, run, stage) DO UPDATE SET
    newest = greatest(w.newest, excluded.newest),
    news_at = CASE WHEN excluded.newest > w.newest THEN now() ELSE w.news_at END,
    silent_s = CASE WHEN excluded.newest > w.newest THEN 0 ELSE w.silent_s + {step} END,
    worked_s = w.worked_s + CASE WHEN excluded.at_work THEN {step} ELSE 0 END,
    at_work = excluded.at_work,
    watched_at = now()
RETURNING *
""".format(step="least(greatest(extract(epoch FROM now() - w.watched_at), 0), $6::float8)")
_PURGE = """
DELETE FROM stage_watches w
WHERE NOT EXISTS (SELECT 1 FROM trainings t WHERE t.id = w.training_id AND t.status <> ALL($1::text[]))
"""

_STAGE_BEGUN_BY: Final = {
    e.ZipCreated.subject: Stage.REPLICATE_TRAINING,
    e.TrainingSucceeded.subject: Stage.HUGGINGFACE_UPLOAD,
}
_OPENINGS: Final = (e.TrainingRequested.subject, e.TrainingRetryRequested.subject)


@dataclass(frozen=True)
class Beginning:
    """The event that put the stage in charge; `sequence` is None until the stream has brought it back."""

    event_id: UUID
    sequence: int | None


@dataclass(frozen=True)
class Job:
    """A training under way. `sign` is the stage's newest word, `told` why that says it waits."""

    training_id: UUID
    status: str
    run: int
    stage: Stage
    began: Beginning
    newest: int
    sign_type: str | None
    sign: dict[str, Any]
    attempt: int
    told: str | None
    waiting_reason: str | None
    updated_at: datetime
    trace_id: str | None


@dataclass(frozen=True)
class Watch:
    """What is known of a job at its stage; seconds without news, and seconds in which somebody could work on it."""

    silent_s: float
    worked_s: float
    reemitted: int
    news_at: datetime


async def jobs_under_way(connection: Connection) -> list[Job]:
    """Every training that has not ended, by id."""
    rows = await connection.fetch(_UNDER_WAY, sorted(TERMINAL))
    types = [*_STAGE_BEGUN_BY, *_OPENINGS]
    beginnings = await connection.fetch(_BEGINNINGS, [row["id"] for row in rows], types)
    by_key = {_key_of(row): Beginning(row["event_id"], row["sequence"]) for row in beginnings}
    return [_job(row, by_key) for row in rows]


async def see(connection: Connection, seen: Iterable[tuple[Job, bool]], watch_s: float) -> dict[UUID, Watch]:
    """Add the time since the last look to each job; as time of work where the flag beside the job says so."""
    rows = [(job.training_id, job.run, job.stage.value, job.newest, at_work) for job, at_work in seen]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    found = await connection.fetch(_SEE, *columns, LONGEST_STEP_LOOKS * watch_s)
    names = ("silent_s", "worked_s", "reemitted", "news_at")
    return {row["training_id"]: Watch(**{name: row[name] for name in names}) for row in found}


async def purge(connection: Connection) -> None:
    """Forget the trainings that have ended or are gone."""
    await connection.execute(_PURGE, sorted(TERMINAL))


def opening_of(training_id: UUID, run: int) -> UUID:
    """The id of the event that began the run."""
    if run == 0:
        return root_event_id(e.TrainingRequested.subject, str(training_id))
    return root_event_id(e.TrainingRetryRequested.subject, f"{training_id}/{run}")


def _key_of(row: asyncpg.Record) -> tuple[UUID, int, Stage | None]:
    """A stage's beginning by training, run and stage; a run's own has no stage."""
    run: int = json.loads(row["data"]).get("run", 0)
    return row["training_id"], run, _STAGE_BEGUN_BY.get(row["type"])


def _job(row: asyncpg.Record, beginnings: dict[tuple[UUID, int, Stage | None], Beginning]) -> Job:
    state = TrainingState.model_validate_json(row["state"])
    stage, run, training_id = state.stage or Stage.ZIP_CREATION, state.run, row["id"]
    opening = beginnings.get((training_id, run, None)) or Beginning(opening_of(training_id, run), None)
    began = beginnings.get((training_id, run, stage), opening)
    is_its_sign = row["sign_stage"] == stage and row["sign_sequence"] > (began.sequence or 0)
    return Job(
        training_id=training_id,
        run=run,
        stage=stage,
        began=began,
        sign_type=row["sign_type"] if is_its_sign else None,
        sign=json.loads(row["sign"]) if is_its_sign else {},
        attempt=(row["sign_attempt"] if is_its_sign else None) or 1,
        told=state.waiting_reason,
        **{name: row[name] for name in ("status", "newest", "waiting_reason", "updated_at", "trace_id")},
    )
