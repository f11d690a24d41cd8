"""What services log, as it travels on the stream LOGS and as it is answered. A message holds one record per line."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

LOGS_SUBJECT: Final = "logs"
"""A service ships to `logs.<its name>`."""
Level = Literal["debug", "info", "warning", "error", "critical"]
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error", "critical")
"""From the least to the most severe."""
TRACEBACK: Final = "exception"
"""The field with a Python traceback."""
LogOrder = Literal["oldest", "newest"]
"""Which record a list begins with."""

_EXAMPLE: Final[dict[str, Any]] = {
    "id": "1764000000000000.42.3",
    "at": "2025-11-24T16:00:00.120Z",
    "level": "warning",
    "logger": "fluxline.runtime.subscription",
    "event": "attempt.failed",
    "service": "publisher",
    "instance": "publisher-7d9f:1",
    "training_id": "6f1d7c1e-2f6b-4c55-9d3e-1f0a2b3c4d5e",
    "generation_id": None,
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "fields": {"stage": "huggingface_upload", "attempt": 1, "error": "Hugging Face answered 503"},
}


class LogRecord(BaseModel):
    """One entry of a service's log: `event` is what happened, `fields` its particulars.

    `instance` is the process, as host:pid. Secrets are taken out and long fields cut before it leaves the process.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    level: Level
    logger: str
    event: str
    service: str
    instance: str
    training_id: UUID | None = None
    generation_id: UUID | None = None
    trace_id: str | None = None
    fields: dict[str, Any] = {}


class StoredLog(LogRecord):
    """A record as the collector answers it; `id` is its place among all records, and a cursor."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_extra={"examples": [_EXAMPLE]})

    id: str


class LogPage(BaseModel):
    """Records in the order asked for. `next_cursor` is null when there is no more, or none yet."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_EXAMPLE], "next_cursor": None}]})

    items: list[StoredLog]
    next_cursor: str | None
