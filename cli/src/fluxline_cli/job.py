"""A training as a person watches it: a bar over all stages, step and loss, and a line for each thing of note."""

from typing import Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from fluxline_cli.client import Client, Json
from fluxline_cli.console import console
from fluxline_cli.live import follow
from fluxline_cli.view import level_of, line_of_event

STAGES = {
    "zip_creation": "archive",
    "replicate_training": "training",
    "huggingface_upload": "publishing",
    "completion": "done",
}


async def watch(client: Client, training_id: str) -> Json:
    """Show the training until it has ended; returns it."""
    columns = (
        TextColumn("[bold]{task.description:<11}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("requested", total=100, note="")
        async for event in follow(client, training_id):
            if event.type == "snapshot":
                progress.update(task, completed=event.data["progress"], description=_stage(event.data.get("stage")))
                continue
            progress.update(task, **_changes(event.data))
            if level_of(event.type) != "debug":
                progress.console.print(line_of_event(event.data), highlight=False, markup=False, soft_wrap=True)
            if not event.type.endswith("progressed"):
                progress.update(task, completed=(await client.training(training_id))["progress"])
        training = await client.training(training_id)
        progress.update(task, completed=training["progress"], description=training["status"], note="")
    return training


def _stage(stage: str | None) -> str:
    return STAGES.get(stage or "", stage or "requested")


def _changes(event: dict[str, Any]) -> dict[str, Any]:
    """What an event changes of the bar; the shares of the stages are those of the gateway's own progress."""
    data = event.get("data") or {}
    changes: dict[str, Any] = {"description": _stage(event["stage"])} if event.get("stage") else {}
    if event["type"] == "zip.progressed":
        changes |= {"completed": 15 * data["done"] / data["total"], "note": f"photo {data['done']}/{data['total']}"}
    elif event["type"] == "training.progressed":
        changes |= {"completed": 15 + 0.7 * data["percent"], "note": _training_note(data)}
    elif event["type"] == "model.progressed" and data.get("total_bytes"):
        share = data["done_bytes"] / data["total_bytes"]
        changes |= {"completed": 85 + 14 * share, "note": f"{data['done_bytes'] / 1024**2:.1f} MB"}
    return changes


def _training_note(data: dict[str, Any]) -> str:
    parts = [f"step {data['step']}/{data['steps']}" if data.get("step") is not None else str(data.get("phase", ""))]
    if data.get("loss") is not None:
        parts.append(f"loss {data['loss']:.4f}")
    if data.get("eta_s") is not None:
        parts.append(f"{data['eta_s']:.0f} s left")
    return ", ".join(parts)
