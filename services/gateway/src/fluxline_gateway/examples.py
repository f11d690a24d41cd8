"""The ids and times of the examples in the OpenAPI document: the same thing has the same id everywhere.

A model's examples stand in its `json_schema_extra`; a test makes things of these ids and sends every example.
"""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic.config import JsonDict

from fluxline_gateway.pages import encode_cursor, encode_name

OWNER: Final = "ada"
IMAGE_IDS: Final = tuple(f"1a7e5c1a-0000-4000-8000-00000000000{n}" for n in range(1, 6))
UPLOAD_ID: Final = "5e55105e-0000-4000-8000-000000000001"
TRAINING_ID: Final = "7a1a1a60-0000-4000-8000-000000000001"
MODEL_ID: Final = "10de1000-0000-4000-8000-000000000001"
GENERATION_ID: Final = "6e6e2a7e-0000-4000-8000-000000000001"
KEY_ID: Final = "4e754e75-0000-4000-8000-000000000001"
DELIVERY_ID: Final = "de11fe2a-0000-4000-8000-000000000001"
SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TRACE_ID: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CREATED_AT: Final = "2026-11-25T10:00:00Z"
UPDATED_AT: Final = "2026-11-25T10:20:00Z"
EXPIRES_AT: Final = "2026-11-26T10:00:00Z"
SEQUENCE: Final = 1_795_600_800_000_000
LOG_ID: Final = f"{SEQUENCE}.42.3"
HUB: Final[JsonDict] = {
    "repo": "ada/flux-ada-7a1a1a60",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "url": "https://huggingface.co/ada/flux-ada-7a1a1a60",
    "private": True,
}


PUBLISH: Final[JsonDict] = {
    "enabled": True,
    "private": True,
    "repo_name": None,
    "accept_license": True,
    "sample_prompts": ["a portrait of ADATOK on the moon"],
}


def _collected_after(*key: str | int) -> str:
    """A cursor of the debug-collector's lists: when the first page was asked for, and the last row's place."""
    return base64.urlsafe_b64encode(json.dumps([UPDATED_AT, *key]).encode()).decode().rstrip("=")


_AUDIT_CURSOR: Final = encode_cursor((datetime.fromisoformat(UPDATED_AT), 1024))
PARAMETERS: Final[Mapping[str, str | int | bool]] = {
    "image_id": IMAGE_IDS[0],
    "upload_id": UPLOAD_ID,
    "training_id": TRAINING_ID,
    "model_id": MODEL_ID,
    "generation_id": GENERATION_ID,
    "key_id": KEY_ID,
    "delivery_id": DELIVERY_ID,
    "owner": OWNER,
    "limit": 20,
    "cursor": encode_cursor((datetime.fromisoformat(UPDATED_AT), UUID(TRAINING_ID))),
    "list_training_events.cursor": SEQUENCE - 1,
    "list_audit.cursor": _AUDIT_CURSOR,
    "list_audit_of_owners.cursor": _AUDIT_CURSOR,
    "list_training_logs.cursor": LOG_ID,
    "list_logs.cursor": LOG_ID,
    "list_stage_durations.cursor": _collected_after(CREATED_AT, "zip_creation", "storage", "succeeded"),
    "list_failure_rates.cursor": _collected_after(CREATED_AT, -6, "zip_creation", "storage", "1.4.0", "network"),
    "list_jobs.cursor": _collected_after(CREATED_AT, TRAINING_ID),
    "list_retries.cursor": _collected_after(-6, "zip_creation", "network", "automatic"),
    "list_provider_latencies.cursor": _collected_after(CREATED_AT, "replicate", "replicate_training"),
    "list_provider_costs.cursor": _collected_after(CREATED_AT, "fal"),
    "list_alerts.cursor": 18,
    "list_dead_letters.cursor": 17,
    "number": 17,
    "index": 0,
    "list_alerts.status": "open",
    "list_training_logs.q": "503",
    "list_logs.q": "503",
    "list_owners.cursor": encode_name("aaron"),
    "after": SEQUENCE - 1,
    "last_event_id": str(SEQUENCE - 1),
    "Last-Event-ID": str(SEQUENCE - 1),
    "idempotency-key": "8a0c7f4e-order-1",
    "q": "Ada",
    "list_trainings.status": "completed",
}
"""Of parameters by name, or by operation and name."""
DESCRIPTIONS: Final[Mapping[str, str]] = {
    "image_id": "the id of an image",
    "upload_id": "the id of an upload",
    "training_id": "the id of a training",
    "model_id": "the id of a model",
    "generation_id": "the id of a generation",
    "key_id": "the id of an API key (not the key)",
    "delivery_id": "the id of a webhook delivery",
    "owner": "the name of an owner",
    "status": "only those of this status",
    "limit": "how many items a page has at most",
    "Last-Event-ID": "the id of the last event that the client has; the stream goes on after it",
}
"""Of parameters that have no description of their own."""
