"""What the debug-collector says of a training, as the OpenAPI document shows it."""

import json
from typing import Final

from pydantic import ConfigDict
from pydantic.config import JsonDict

from fluxline.contracts.debugging import Summary, Timeline
from fluxline_gateway import examples

LINE: Final = json.dumps({"id": examples.SEQUENCE, "type": "zip.created", "data": {"image_count": 5}}) + "\n"
"""An example of a line of the export."""
_RETRY_AT: Final = "2026-11-25T10:00:14Z"
_MESSAGE: Final = "The storage does not answer."
_LINE_OF_LOG: Final = "ZIP creation: attempt 1 failed, next at 10:00:14 UTC: The storage does not answer."

SUMMARY: Final[JsonDict] = {
    "training_id": examples.TRAINING_ID,
    "name": "Ada",
    "trace_id": examples.TRACE_ID,
    "trace_url": f"http://127.0.0.1:16686/trace/{examples.TRACE_ID}",
    "status": "running",
    "current_stage": "zip_creation",
    "run": 0,
    "requested_at": examples.CREATED_AT,
    "ended_at": None,
    "duration_ms": None,
    "events": 3,
    "unreadable_events": 0,
    "error_counts": {"network": 1},
    "retryable_errors": 1,
    "last_error": {
        "stage": "zip_creation",
        "category": "network",
        "retryable": True,
        "message": _MESSAGE,
        "hint": "It is tried again by itself; check the storage if it lasts.",
        "occurred_at": "2026-11-25T10:00:04Z",
        "attempt": 1,
        "service": "zipper",
        "resume_from": None,
        "context": {"bucket": "fluxline"},
    },
    "waiting": {"reason": "retry", "since": "2026-11-25T10:00:04Z", "until": _RETRY_AT},
    "stages": [
        {
            "stage": "zip_creation",
            "status": "retrying",
            "attempts": 1,
            "errors": 1,
            "started_at": "2026-11-25T10:00:01Z",
            "ended_at": None,
            "duration_ms": None,
            "work_ms": 3000,
            "wait_ms": 0,
            "queued_ms": 1000,
        }
    ],
    "progress": None,
    "provider_ids": {},
    "cost": None,
    "diagnosis": "ZIP creation waits and is tried again at 10:00:14 UTC, after attempt 1 failed (network): "
    "The storage does not answer. It is tried again by itself; check the storage if it lasts.",
    "log": [
        {
            "occurred_at": "2026-11-25T10:00:04Z",
            "level": "warning",
            "stage": "zip_creation",
            "message": _LINE_OF_LOG,
            "data": {"attempt": 1, "duration_ms": 3000},
            "folded": 0,
        }
    ],
}
TIMELINE: Final[JsonDict] = {
    "training_id": examples.TRAINING_ID,
    "started_at": examples.CREATED_AT,
    "status": "running",
    "entries": [
        {
            "id": examples.SEQUENCE + 2,
            "at": "2026-11-25T10:00:04Z",
            "offset_ms": 4000,
            "level": "warning",
            "stage": "zip_creation",
            "type": "stage.retried",
            "title": _LINE_OF_LOG,
            "detail": "It is tried again by itself; check the storage if it lasts.",
            "duration_ms": 3000,
            "category": "network",
            "attempt": 1,
            "provider_ids": {},
            "folded": 0,
        }
    ],
    "spans": [
        {
            "stage": "zip_creation",
            "kind": "work",
            "reason": None,
            "run": 0,
            "attempt": 1,
            "started_at": "2026-11-25T10:00:01Z",
            "offset_ms": 1000,
            "duration_ms": 3000,
            "outcome": "retried",
            "category": "network",
            "provider": None,
        }
    ],
    "left_out": 0,
}


class DebugSummary(Summary):
    """What the debug-collector knows of a training. It is passed on as it comes: a newer one may say more."""

    model_config = ConfigDict(json_schema_extra={"examples": [SUMMARY]})


class DebugTimeline(Timeline):
    """What happened to a training, in the order of time, and the spans of a waterfall."""

    model_config = ConfigDict(json_schema_extra={"examples": [TIMELINE]})
