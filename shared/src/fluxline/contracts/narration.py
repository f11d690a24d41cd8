"""Each event as a line a person reads: how much it matters, and a sentence. One wording for every screen."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

Level = Literal["info", "debug", "warning", "error"]
STAGE_NAMES: Final = {
    "zip_creation": "ZIP creation",
    "replicate_training": "Training",
    "huggingface_upload": "Publishing",
    "completion": "Completion",
    "image_generation": "Image generation",
}
_LINES: Final[dict[str, tuple[Level, str]]] = {
    "training.requested": ("info", "Training requested: {name}"),
    "zip.progressed": ("debug", "Processed image {done}/{total}"),
    "zip.created": ("info", "Archive of {image_count} images created"),
    "training.started": ("info", "{provider} accepted the training as {external_id}"),
    "training.progressed": ("debug", "{progress}"),
    "training.succeeded": ("info", "Training succeeded; the weights are in storage"),
    "model.progressed": ("debug", "Uploaded {done_size} of {total_size}"),
    "model.published": ("info", "{published}"),
    "model.card_requested": ("info", "Sample images are ready for the model card"),
    "model.card_updated": ("info", "Model card with sample images at {url}"),
    "model.card_failed": ("warning", "The model card shows no new images: {message}"),
    "training.failed": ("error", "The training failed at {stage_name}: {message}"),
    "training.cancel_requested": ("info", "Cancelation requested ({reason})"),
    "training.canceled": ("info", "The training was canceled at {stage_name}"),
    "training.retry_requested": ("info", "Retry requested from {from_stage}"),
    "training.delete_requested": ("info", "Deletion requested"),
    "stage.started": ("info", "{stage_name} started (attempt {attempt})"),
    "stage.succeeded": ("info", "{stage_name} succeeded in {took}"),
    "stage.retried": ("warning", "{stage_name}: attempt {attempt} failed, next at {next_at}: {message}"),
    "stage.failed": ("error", "{stage_name} failed in attempt {attempt}: {message}"),
    "generation.requested": ("info", "Images requested"),
    "generation.succeeded": ("info", "Images generated"),
    "generation.failed": ("error", "{message}"),
    "generation.cancel_requested": ("info", "Cancelation of the images requested"),
    "generation.canceled": ("info", "The images were canceled"),
}


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def line_of(subject: str, facts: Mapping[str, Any] | None, problem: str | None) -> tuple[Level, str]:
    """Level and sentence of an event; an unreadable or unknown one is a warning that says so."""
    if problem is not None or facts is None or subject not in _LINES:
        return "warning", f"{subject} could not be read: {problem or 'its body is no JSON object'}"
    return sentence_of(subject, facts)


def sentence_of(subject: str, facts: Mapping[str, Any]) -> tuple[Level, str]:
    """Level and sentence of a readable event; one of a later version is shown by its subject."""
    level, template = _LINES.get(subject, ("info", subject))
    derived = {
        "stage_name": STAGE_NAMES.get(str(facts.get("stage")), str(facts.get("stage"))),
        "took": duration_text(facts.get("duration_ms")),
        "next_at": clock_text(facts.get("next_attempt_at")),
        "done_size": size_text(facts.get("done_bytes")),
        "total_size": size_text(facts.get("total_bytes")),
        "progress": _progress(facts),
        "published": _published(facts),
    }
    return level, template.format_map(_Facts({**facts, **derived}))


def log_line(level: str, fields: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """`TRAINING INFO: { stage: 'zip_creation', message: '…', data: {…} }`, on one line that moves no cursor."""
    parts = [f"{name}: {_quoted(value)}" for name, value in fields.items() if value is not None]
    if data:
        parts.append("data: { " + ", ".join(f"{name}: {_quoted(value)}" for name, value in data.items()) + " }")
    return f"TRAINING {level.upper()}: {{ {', '.join(parts)} }}"


def duration_text(milliseconds: object) -> str:
    """`0 s`, `350 ms`, `2.3 s`, `4 min 05 s`, `3 h 10 min`; `?` for what is no number."""
    if not isinstance(milliseconds, int | float):
        return "?"
    if not milliseconds:
        return "0 s"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{milliseconds / 1000:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def size_text(size_bytes: object) -> str:
    """`512 bytes`, `8.1 MB` (of 1024² bytes); `?` for what is no number."""
    if not isinstance(size_bytes, int | float):
        return "?"
    return f"{size_bytes:.0f} bytes" if size_bytes < 100_000 else f"{size_bytes / 1024**2:.1f} MB"


def clock_text(moment: object) -> str:
    """`10:00:12 UTC` of a time or its ISO text; a text that is no time comes back as it is."""
    try:
        at = moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    except ValueError:
        return str(moment)
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def _progress(facts: Mapping[str, Any]) -> str:
    if facts.get("step") is None:
        waits = facts.get("phase") == "starting"
        return "Waiting in the provider's queue" if waits else f"The provider is {facts.get('phase', 'training')}"
    loss = facts.get("loss")
    told = f", loss {loss:.4f}" if isinstance(loss, int | float) else ""
    return f"Training at {_plain(facts.get('percent'))} %, step {facts['step']} of {facts.get('steps', '?')}{told}"


def _plain(number: object) -> str:
    return f"{number:g}" if isinstance(number, int | float) else "?"


def _published(facts: Mapping[str, Any]) -> str:
    hub = facts.get("huggingface")
    return f"Model published to {hub.get('url', '?')}" if isinstance(hub, Mapping) else "Model ready; it stays private"


def _quoted(value: object) -> str:
    if isinstance(value, str):
        text = "".join(char if char.isprintable() else " " for char in value)
        return "'" + text.replace("'", "’") + "'"
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False, default=str)
