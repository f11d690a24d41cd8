"""One message of the stream as a row: what can be read of it, and all of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from fluxline.contracts.catalog import EVENTS
from fluxline.runtime.envelope import Received, read_event
from fluxline.runtime.errors import Unreadable
from fluxline.runtime.redaction import redact

NUL = "\x00"
"""PostgreSQL stores no NUL in text or JSON; the body keeps it."""


class Correlation(BaseModel):
    """What joins a message to a job, read leniently: a message that does not fit its event may still have it."""

    model_config = ConfigDict(extra="ignore")
    event_id: UUID | None = None
    training_id: UUID | None = None
    generation_id: UUID | None = None
    occurred_at: datetime | None = None
    stage: str | None = None
    service: str | None = None
    category: str | None = None
    retryable: bool | None = None
    attempt: int | None = None
    duration_ms: int | None = None


@dataclass(frozen=True)
class Record:
    """A row of `events`; field names are column names."""

    sequence: int
    stored_at: datetime
    occurred_at: datetime | None
    subject: str
    event_id: UUID | None
    training_id: UUID | None
    generation_id: UUID | None
    stage: str | None
    service: str | None
    category: str | None
    retryable: bool | None
    attempt: int | None
    duration_ms: int | None
    trace_id: str | None
    readable: bool
    problem: str | None
    redacted: bool
    facts: str | None
    headers: str
    body: bytes


def record_of(message: Received) -> Record:
    """The row of a message; never raises, whatever the message holds."""
    problem = _problem(message)
    parsed = _json_object(message.body)
    facts: Mapping[str, Any] | None = redact(parsed) if parsed is not None else None
    redacted = facts != parsed
    known = _correlation(parsed or {})
    event_class = EVENTS.get(message.subject)
    implied_stage = event_class.stage_of_job if event_class else None
    return Record(
        sequence=message.sequence,
        stored_at=message.stored_at,
        occurred_at=known.occurred_at if known.occurred_at and known.occurred_at.tzinfo else None,
        subject=message.subject,
        event_id=known.event_id,
        training_id=known.training_id,
        generation_id=known.generation_id,
        stage=known.stage or implied_stage,
        service=known.service or _source(message.headers),
        category=known.category,
        retryable=known.retryable,
        attempt=known.attempt,
        duration_ms=known.duration_ms,
        trace_id=_trace_id(message.headers),
        readable=problem is None,
        problem=problem,
        redacted=redacted,
        facts=_storable(json.dumps(facts)) if facts is not None else None,
        headers=_storable(json.dumps(redact(dict(message.headers)))),
        body=json.dumps(facts).encode() if redacted else message.body,
    )


def _problem(message: Received) -> str | None:
    try:
        read_event(message.subject, message.body)
    except Unreadable as error:
        return error.message.replace(NUL, "")
    return None


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _correlation(facts: Mapping[str, Any]) -> Correlation:
    """Every field that can be read, however wrong its neighbours are."""
    try:
        return Correlation.model_validate(facts)
    except ValidationError as error:
        wrong = {item["loc"][0] for item in error.errors()}
        return Correlation.model_validate({name: value for name, value in facts.items() if name not in wrong})


def _storable(text: str) -> str:
    return text.replace("\\u0000", "\\ufffd")


def _source(headers: Mapping[str, str]) -> str | None:
    return headers.get("ce-source", "").rpartition("/")[2] or None


def _trace_id(headers: Mapping[str, str]) -> str | None:
    parts = headers.get("traceparent", "").split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 else None
