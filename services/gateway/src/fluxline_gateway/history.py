"""An event as the API shows it, in the history and live."""

import json
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import BaseModel

from fluxline.contracts.event import Event


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


def sse(event_id: int | None, name: str, data: str) -> bytes:
    """One message of `text/event-stream` (WHATWG HTML, 9.2.5); `data` has no line breaks."""
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {name}\ndata: {data}\n\n".encode()
