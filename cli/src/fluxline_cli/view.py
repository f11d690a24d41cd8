"""The console view of a training's events: level, stage, message, data, one line each."""

import json
from collections.abc import Mapping
from typing import Any

MARKS = {"info": "🔵", "debug": "🟢", "warning": "🟡", "error": "🔴"}
_LEVELS = {
    "stage.retried": "warning",
    "stage.failed": "error",
    "training.failed": "error",
    "generation.failed": "error",
}
_SENTENCES = {
    "training.requested": "Training requested",
    "zip.progressed": "Processed image {done}/{total}",
    "zip.created": "Archive of {image_count} images created",
    "training.started": "{provider} accepted the training",
    "training.progressed": "Training at {percent} %, step {step} of {steps}, loss {loss}",
    "training.succeeded": "Training succeeded, the weights are in storage",
    "model.progressed": "Uploaded {done_bytes} of {total_bytes} bytes",
    "model.published": "Model published to {hub}",
    "training.canceled": "Training canceled",
    "training.cancel_requested": "Cancelation requested",
    "training.retry_requested": "Retry requested from {from_stage}",
    "stage.started": "{stage} started, attempt {attempt}",
    "stage.succeeded": "{stage} succeeded in {duration_ms} ms",
    "stage.retried": "Attempt {attempt} failed, next at {next_attempt_at}: {message}",
    "stage.failed": "{message}",
    "training.failed": "{message}",
}
_SHOWN_DATA = (
    "done", "total", "current", "image_count", "size_bytes", "percent", "step", "steps", "loss", "eta_s", "phase",
    "external_id", "destination", "url", "provider_version", "hint", "next_attempt_at", "duration_ms", "attempt",
)  # fmt: skip


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def line_of_event(event: Mapping[str, Any]) -> str:
    """An event of the API as one line."""
    kind = str(event["type"])
    facts = {**(event.get("data") or {})}
    facts |= {name: event[name] for name in ("stage", "attempt", "duration_ms") if event.get(name) is not None}
    facts["hub"] = (facts.get("huggingface") or {}).get("url", "our storage only")
    message = _SENTENCES.get(kind, kind).format_map(_Facts(facts))
    fields = {"stage": event.get("stage"), "message": message}
    level = level_of(kind)
    if level == "error":
        fields |= {"category": event.get("category"), "retryable": facts.get("retryable")}
    return format_line(level, fields, {name: facts[name] for name in _SHOWN_DATA if facts.get(name) is not None})


def level_of(kind: str) -> str:
    """How much an event of this type matters."""
    return _LEVELS.get(kind) or ("debug" if kind.endswith(".progressed") else "info")


def format_line(level: str, fields: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """`🔵 TRAINING INFO: { stage: 'zip_creation', message: '…', data: {…} }`."""
    parts = [f"{name}: {_quoted(value)}" for name, value in fields.items() if value is not None]
    if data:
        parts.append("data: { " + ", ".join(f"{name}: {_quoted(value)}" for name, value in data.items()) + " }")
    return f"{MARKS.get(level, '⚪')} TRAINING {level.upper()}: {{ {', '.join(parts)} }}"


def _quoted(value: object) -> str:
    if isinstance(value, str):
        text = "".join(char if char.isprintable() else " " for char in value)
        return "'" + text.replace("'", "’") + "'"
    return json.dumps(value, ensure_ascii=False, default=str)
