"""Each event as a line a person reads: a level and a sentence."""

from collections.abc import Mapping
from typing import Any, Literal

Level = Literal["info", "debug", "warning", "error"]
STAGE_NAMES = {
    "zip_creation": "ZIP creation",
    "replicate_training": "Training",
    "huggingface_upload": "Publishing",
    "completion": "Completion",
    "image_generation": "Image generation",
}

_LINES: dict[str, tuple[Level, str]] = {
    "training.requested": ("info", "Training requested: {name}"),
    "zip.progressed": ("debug", "Processed image {done}/{total}"),
    "zip.created": ("info", "Archive of {image_count} images created ({size_bytes} bytes)"),
    "training.started": ("info", "{provider} accepted the training as {external_id}"),
    "training.progressed": ("debug", "Training at {percent} % (step {step} of {steps})"),
    "training.succeeded": ("info", "Training succeeded; the weights are in storage ({size_bytes} bytes)"),
    "model.progressed": ("debug", "Uploaded {done_bytes} of {total_bytes} bytes"),
    "training.failed": ("error", "{message}"),
    "training.cancel_requested": ("info", "Cancelation requested ({reason})"),
    "training.canceled": ("info", "Training canceled"),
    "training.retry_requested": ("info", "Retry requested from {from_stage}"),
    "training.delete_requested": ("info", "Deletion requested"),
    "stage.started": ("info", "{stage_name} started (attempt {attempt})"),
    "stage.succeeded": ("info", "{stage_name} succeeded in {duration_ms} ms"),
    "stage.retried": ("warning", "{stage_name}: attempt {attempt} failed, next at {next_attempt_at}: {message}"),
    "stage.failed": ("error", "{stage_name} failed after {attempt} attempt(s): {message}"),
    "generation.requested": ("info", "Images requested"),
    "generation.succeeded": ("info", "Images generated"),
    "generation.failed": ("error", "{message}"),
}


class _Facts(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def line_of(subject: str, facts: Mapping[str, Any] | None, problem: str | None) -> tuple[Level, str]:
    """Level and sentence of an event; an unreadable or unknown one is a warning that says so."""
    if problem is not None or facts is None or (subject not in _LINES and subject != "model.published"):
        return "warning", f"{subject} could not be read: {problem or 'its body is no JSON object'}"
    if subject == "model.published":
        return "info", _published(facts)
    level, template = _LINES[subject]
    stage_name = STAGE_NAMES.get(str(facts.get("stage")), str(facts.get("stage")))
    return level, template.format_map(_Facts({**facts, "stage_name": stage_name}))


def _published(facts: Mapping[str, Any]) -> str:
    hub = facts.get("huggingface")
    return f"Model published to {hub['url']}" if hub else "Model ready in storage; publishing is off"
