"""The console view of a training's events: level, stage, message, data, one line each."""

from collections.abc import Mapping
from typing import Any

from fluxline.contracts.narration import log_line, sentence_of

MARKS = {"info": "🔵", "debug": "🟢", "warning": "🟡", "error": "🔴"}
SHOWN_DATA = (
    "done", "total", "current", "image_count", "size_bytes", "percent", "step", "steps", "loss", "eta_s", "phase",
    "external_id", "destination", "url", "provider_version", "hint", "next_attempt_at", "duration_ms", "attempt",
)  # fmt: skip


def line_of_event(event: Mapping[str, Any]) -> str:
    """An event of the API as one line."""
    kind = str(event["type"])
    facts = {**(event.get("data") or {})}
    facts |= {name: event[name] for name in ("stage", "attempt", "duration_ms") if event.get(name) is not None}
    level, message = sentence_of(kind, facts)
    fields = {"stage": event.get("stage"), "message": message}
    if level == "error":
        fields |= {"category": event.get("category"), "retryable": facts.get("retryable")}
    return format_line(level, fields, {name: facts[name] for name in SHOWN_DATA if facts.get(name) is not None})


def level_of(kind: str) -> str:
    """How much an event of this type matters."""
    return sentence_of(kind, {})[0]


def format_line(level: str, fields: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """`🔵 TRAINING INFO: { stage: 'zip_creation', message: '…', data: {…} }`."""
    return f"{MARKS.get(level, '⚪')} {log_line(level, fields, data)}"
