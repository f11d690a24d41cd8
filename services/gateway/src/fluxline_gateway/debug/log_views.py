"""What services logged, as callers see it: operators all of it, owners without the insides."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from fluxline.contracts.logs import TRACEBACK, Level, StoredLog
from fluxline_gateway import examples

INTERNAL_FIELDS = frozenset({TRACEBACK, "exc_info", "stack", "stack_info"})
"""Of operators alone: they tell how fluxline is built, not what happened to the job."""


class LogEntry(BaseModel):
    """One entry of a service's log: `event` is what happened, `fields` its particulars.

    `logger` and `instance` (the process, as host:pid) and the traceback in `fields.exception` are shown to keys with
    the scope admin. `id` works as a cursor.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": examples.LOG_ID,
                    "at": examples.UPDATED_AT,
                    "level": "warning",
                    "service": "publisher",
                    "event": "attempt.failed",
                    "fields": {"stage": "huggingface_upload", "attempt": 1, "error": "Hugging Face answered 503"},
                    "training_id": examples.TRAINING_ID,
                    "generation_id": None,
                    "trace_id": examples.TRACE_ID,
                    "logger": None,
                    "instance": None,
                }
            ]
        }
    )

    id: str
    at: datetime
    level: Level
    service: str
    event: str
    fields: dict[str, Any]
    training_id: UUID | None
    generation_id: UUID | None
    trace_id: str | None
    logger: str | None
    instance: str | None


def log_entry(record: StoredLog, *, with_internals: bool) -> LogEntry:
    """The record as it is shown."""
    facts = record.model_dump()
    if not with_internals:
        fields = {name: value for name, value in record.fields.items() if name not in INTERNAL_FIELDS}
        facts |= {"fields": fields, "logger": None, "instance": None}
    return LogEntry(**facts)
