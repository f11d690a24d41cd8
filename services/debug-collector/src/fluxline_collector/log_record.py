"""Messages of the stream LOGS as rows: one per line, and none is lost because it cannot be read."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from fluxline.contracts.logs import LogRecord
from fluxline.runtime.envelope import Received
from fluxline.runtime.redaction import might_hold_secret, redact_bytes

MAX_LINES = 10_000
"""Of one message; services send 500."""
MAX_TEXT = 2000
MAX_TRACE_ID = 64
"""Twice what one has; PostgreSQL does not index a text of any length."""
MAX_FIELDS_BYTES = 256 * 1024
UNREADABLE = "log.unreadable"
"""The event of a row whose line is no record; the line is in its fields."""


@dataclass(frozen=True)
class LogRow:
    """A row of `logs`; field names are column names."""

    stored_at: datetime
    sequence: int
    line: int
    at: datetime
    level: str
    logger: str
    event: str
    service: str
    instance: str
    training_id: UUID | None
    generation_id: UUID | None
    trace_id: str | None
    readable: bool
    fields: str


def rows_of(message: Received) -> Iterator[LogRow]:
    """The rows of a message, whatever it holds; never raises."""
    lines = [line for line in message.body.split(b"\n", MAX_LINES) if line.strip()]
    if might_hold_secret(message.body):  # services redact; not everybody who may publish is one
        lines = [redact_bytes(line) for line in lines]
    for number, line in enumerate(lines[:MAX_LINES]):
        yield _row(message, number, line)


def _row(message: Received, number: int, line: bytes) -> LogRow:
    record, readable = _record(line), True
    if record is None:
        record, readable = _stand_in(message, line), False
    return LogRow(
        stored_at=message.stored_at,
        sequence=message.sequence,
        line=number,
        at=record.at,
        level=record.level,
        logger=_text(record.logger),
        event=_text(record.event),
        service=_text(record.service),
        instance=_text(record.instance),
        training_id=record.training_id,
        generation_id=record.generation_id,
        trace_id=_text(record.trace_id)[:MAX_TRACE_ID] if record.trace_id else None,
        readable=readable,
        fields=_storable(record.fields),
    )


def _record(line: bytes) -> LogRecord | None:
    try:
        record = LogRecord.model_validate(json.loads(line, parse_constant=str, parse_float=_finite))
        at = record.at.replace(tzinfo=UTC) if record.at.tzinfo is None else record.at.astimezone(UTC)
    except (ValidationError, ValueError, RecursionError, OverflowError):
        return None
    return record.model_copy(update={"at": at})


def _stand_in(message: Received, line: bytes) -> LogRecord:
    return LogRecord(
        at=message.stored_at,
        level="warning",
        logger="",
        event=UNREADABLE,
        service=message.subject.rpartition(".")[2],
        instance="",
        fields={"line": line.decode(errors="replace")[:MAX_TEXT]},
    )


def _finite(number: str) -> float | str:
    """JSON knows no infinity, nor does PostgreSQL's."""
    value = float(number)
    return value if math.isfinite(value) else number


def _storable(fields: dict[str, Any]) -> str:
    """As JSON that PostgreSQL takes: without NUL and lone surrogates, and not of any length."""
    text = json.dumps(fields, ensure_ascii=False)
    if len(text) > MAX_FIELDS_BYTES:
        text = json.dumps({"cut": text[:MAX_TEXT]}, ensure_ascii=False)
    return text.replace("\\u0000", "\\ufffd").encode(errors="replace").decode()


def _text(text: str) -> str:
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:MAX_TEXT]
