"""What the debug-collector says of a training, as the OpenAPI document shows it; it is passed on as it comes."""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from fluxline_gateway import examples

LINE: Final = json.dumps({"id": examples.SEQUENCE, "type": "zip.created", "data": {"image_count": 5}}) + "\n"
"""An example of a line of the export."""


EXAMPLE: Final[JsonDict] = {
    "training_id": examples.TRAINING_ID,
    "trace_id": examples.TRACE_ID,
    "status": "running",
    "current_stage": "zip_creation",
    "events": 3,
    "error_counts": {"network": 1},
    "retryable_errors": 1,
    "last_error": {
        "stage": "zip_creation",
        "category": "network",
        "retryable": True,
        "message": "The storage does not answer.",
        "hint": "It is tried again by itself.",
        "occurred_at": examples.CREATED_AT,
        "context": {"attempt": 1},
    },
    "stages": [
        {
            "stage": "zip_creation",
            "status": "running",
            "attempts": 2,
            "started_at": examples.CREATED_AT,
            "ended_at": None,
            "duration_ms": None,
            "work_ms": 1200,
            "wait_ms": None,
        }
    ],
    "provider_ids": {},
    "diagnosis": "zip_creation is running, attempt 2.",
    "log": [
        {
            "occurred_at": examples.CREATED_AT,
            "level": "info",
            "stage": "zip_creation",
            "message": "stage.started",
            "data": {"attempt": 1},
        }
    ],
}
"""Of a summary."""


class DebugStage(BaseModel):
    """One stage as it went: `work_ms` was spent working, `wait_ms` between attempts."""

    stage: str
    status: str
    attempts: int
    started_at: datetime
    ended_at: datetime | None
    duration_ms: int | None
    work_ms: int
    wait_ms: int | None


class DebugError(BaseModel):
    """The newest error, with its context."""

    stage: str | None
    category: str | None
    retryable: bool | None
    message: str
    hint: str
    occurred_at: datetime
    context: dict[str, Any]


class DebugLogLine(BaseModel):
    """One line of the training's log."""

    occurred_at: datetime
    level: str
    stage: str | None
    message: str
    data: dict[str, Any]


class DebugSummary(BaseModel):
    """What the debug-collector knows of a training. It is passed on as it comes: a newer one may say more."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    training_id: UUID
    trace_id: str | None
    status: str
    current_stage: str | None
    events: int
    error_counts: dict[str, int]
    retryable_errors: int
    last_error: DebugError | None
    stages: list[DebugStage]
    provider_ids: dict[str, str]
    diagnosis: str
    log: list[DebugLogLine]
