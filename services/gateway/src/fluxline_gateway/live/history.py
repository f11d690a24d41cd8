"""An event as the API shows it, in the history and live."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from fluxline.contracts.event import Event
from fluxline.postgres.pool import Database

MAX_EVENTS = 1_000
"""How many events are read at a time."""
_AFTER = """
SELECT * FROM training_events WHERE training_id = $1 AND sequence > $2 AND ($3::bigint IS NULL OR sequence <= $3)
ORDER BY sequence LIMIT $4
"""
_STORED = "SELECT sequence FROM training_events WHERE training_id = $1 AND sequence = ANY($2::bigint[])"


class EventOut(BaseModel):
    """Something that happened to a training; `id` is its place in the stream, growing but with gaps."""

    id: int
    type: str
    occurred_at: datetime
    stage: str | None
    category: str | None
    attempt: int | None
    duration_ms: int | None
    data: dict[str, Any]


_OWN_FIELDS = {"event_id", "occurred_at", "training_id"}


def is_of_training(event: Event) -> bool:
    """Whether the event belongs to a training's history; a generation's has the training of its model, too."""
    return event.training_id is not None and getattr(event, "generation_id", None) is None


def event_out(event: Event, sequence: int) -> EventOut:
    """The event that the stream stored as `sequence`."""
    data = event.model_dump(mode="json", exclude=_OWN_FIELDS)
    return EventOut(
        id=sequence,
        type=event.subject,
        occurred_at=event.occurred_at,
        stage=data.get("stage") or event.stage_of_job,
        category=data.get("category"),
        attempt=data.get("attempt"),
        duration_ms=data.get("duration_ms"),
        data=data,
    )


def event_of_row(row: asyncpg.Record) -> EventOut:
    """The event in a row of `training_events`."""
    columns = ("type", "occurred_at", "stage", "category", "attempt", "duration_ms")
    return EventOut(id=row["sequence"], data=json.loads(row["data"]), **{name: row[name] for name in columns})


async def events_after(
    database: Database, training_id: UUID, after: int, limit: int, *, until: int | None = None
) -> list[EventOut]:
    """The training's stored events with `after` < id ≤ `until`, at most `limit`, by id."""
    return [event_of_row(row) for row in await database.pool.fetch(_AFTER, training_id, after, until, limit)]


async def stored_sequences(database: Database, training_id: UUID, sequences: list[int]) -> set[int]:
    """Which of these sequences the history holds."""
    return {row["sequence"] for row in await database.pool.fetch(_STORED, training_id, sequences)}


def sse(event_id: int | None, name: str, data: str) -> bytes:
    """One message of `text/event-stream` (WHATWG HTML, 9.2.5); `data` has no line breaks."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


def event_message(event: EventOut) -> bytes:
    """The event as a message of a live stream."""
    return sse(event.id, event.type, event.model_dump_json())


def event_of_message(message: bytes) -> EventOut:
    """The event of such a message."""
    return EventOut.model_validate_json(message.partition(b"\ndata: ")[2])
