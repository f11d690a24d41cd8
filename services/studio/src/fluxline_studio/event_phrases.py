"""An event of a training as one line for people."""

from typing import Any

from fluxline_studio import texts
from fluxline_studio.phrasing import size


def said(event: dict[str, Any]) -> str:
    """`Archive: begun`, `Training: step 240 of 1000, loss 0.479`; an event of a newer gateway is told by its type."""
    kind, data = event["type"], event.get("data") or {}
    name = texts.events.get(kind, kind)
    if kind.startswith("stage.") and event.get("stage"):
        name = f"{texts.stages.get(event['stage'], event['stage'])}: {name[:1].lower()}{name[1:]}"
    details = [*_measure(kind, data), *_attempt(event), *_reason(event, data)]
    return f"{name}{' · ' if details else ''}{', '.join(details)}"


def _measure(kind: str, data: dict[str, Any]) -> list[str]:
    if kind == "zip.progressed":
        return [texts.job.photos_done.format(done=data.get("done"), total=data.get("total"))]
    if kind == "model.progressed":
        return [texts.job.bytes_done.format(done=size(data.get("done_bytes")), total=size(data.get("total_bytes")))]
    if kind != "training.progressed":
        return []
    if data.get("step") is None:
        return [texts.phases[data["phase"]]] if data.get("phase") in texts.phases else []
    step = texts.job.step.format(step=data["step"], steps=data.get("steps") or "?")
    loss = data.get("loss")
    return [step[:1].lower() + step[1:], *([f"loss {loss:.3f}"] if isinstance(loss, int | float) else [])]


def _attempt(event: dict[str, Any]) -> list[str]:
    return [texts.job.attempt.format(count=event["attempt"])] if (event.get("attempt") or 1) > 1 else []


def _reason(event: dict[str, Any], data: dict[str, Any]) -> list[str]:
    if event["type"] == "training.failed":
        return []  # the stage has said why
    category = event.get("category")
    message = str(data.get("message") or "")[:300]
    return [*([texts.categories.get(category, category)] if category else []), *([message] if message else [])]
